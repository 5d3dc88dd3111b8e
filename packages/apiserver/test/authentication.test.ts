import { pods, secrets, serviceAccounts } from '@naru/api';
import { decodeJwt, signJwt, verifyJwt } from '@naru/component';
import { VirtualClock } from '@naru/testkit';
import { generateKeyPairSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { createAuthenticator } from '../src/authentication/cluster-authenticator.ts';
import { ServiceAccountTokens } from '../src/authentication/service-account-tokens.ts';
import { parseTokenFile } from '../src/authentication/token-file-authenticator.ts';
import { userOfSubject } from '../src/authentication/x509-authenticator.ts';
import { createAuthorizer } from '../src/authorization/cluster-authorizer.ts';
import { createReviewResources } from '../src/registry/review-resources.ts';
import { createTokenRequest } from '../src/registry/token-request.ts';
import { MemoryObjects, refusalOf } from './object-fixture.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const issuer = 'https://kubernetes.default.svc';
const alice = { name: 'alice', groups: ['devs', 'system:authenticated'] };

function fixture() {
  const clock = new VirtualClock();
  const store = new MemoryObjects()
    .set(serviceAccounts, { metadata: { name: 'sa', namespace: 'ns', uid: 'sa-uid' } })
    .set(pods, {
      metadata: { name: 'p', namespace: 'ns', uid: 'pod-uid' },
      spec: { serviceAccountName: 'sa', nodeName: 'n1', containers: [] },
    });
  const tokens = new ServiceAccountTokens({ issuers: [issuer], signingKey: rsa.privateKey, store, clock });
  const account = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sa', namespace: 'ns', uid: 'sa-uid' },
  };
  const requestToken = async (spec: Record<string, unknown>) => {
    const answer = await createTokenRequest({ tokens, store }).create(
      account,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: {}, spec },
      { user: alice, namespace: 'ns', dryRun: false },
    );
    return answer['status'] as { token: string; expirationTimestamp: string };
  };
  return { clock, store, tokens, requestToken };
}

const requestWith = (url: string, authorization?: string): IncomingMessage =>
  ({ url, headers: authorization === undefined ? {} : { authorization }, socket: {} }) as unknown as IncomingMessage;

void t.test('JWTs are verified by the algorithm of the key', async (t) => {
  for (const { privateKey, publicKey } of [rsa, ec]) {
    const token = signJwt({ iss: 'x' }, privateKey);
    t.ok(verifyJwt(token, [publicKey]));
    t.ok(verifyJwt(token, [ec.publicKey, rsa.publicKey]), 'any of the keys');
    const [header = '', , signature = ''] = token.split('.');
    const forged = `${header}.${Buffer.from('{"iss":"y"}').toString('base64url')}.${signature}`;
    t.notOk(verifyJwt(forged, [publicKey]), 'claims were changed');
  }
  t.notOk(verifyJwt(signJwt({}, rsa.privateKey), [ec.publicKey]));
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`;
  t.notOk(verifyJwt(none, [rsa.publicKey]), 'alg none');
  t.equal(decodeJwt('a.b'), undefined);
});

void t.test('a ServiceAccount token names its account and pod, and ends with either', async (t) => {
  const { clock, store, tokens, requestToken } = fixture();
  const { token, expirationTimestamp } = await requestToken({
    expirationSeconds: 600,
    boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'pod-uid' },
  });
  t.equal(expirationTimestamp, '2026-01-01T00:10:00Z');
  t.match(decodeJwt(token)?.claims, {
    aud: [issuer],
    iss: issuer,
    sub: 'system:serviceaccount:ns:sa',
    'kubernetes.io': { namespace: 'ns', pod: { name: 'p', uid: 'pod-uid' }, node: { name: 'n1' } },
  });
  t.match(await tokens.authenticate(token, []), {
    name: 'system:serviceaccount:ns:sa',
    uid: 'sa-uid',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:ns'],
    extra: { 'authentication.kubernetes.io/pod-name': ['p'], 'authentication.kubernetes.io/node-name': ['n1'] },
  });
  t.equal(await tokens.authenticate(token, ['other']), undefined, 'another audience');
  store.set(pods, { metadata: { name: 'p', namespace: 'ns', uid: 'another' } });
  t.equal(await tokens.authenticate(token, []), undefined, 'another pod of that name');
  store.set(pods, { metadata: { name: 'p', namespace: 'ns', uid: 'pod-uid' } });
  t.ok(await tokens.authenticate(token, []));
  await clock.advance(600_000);
  t.equal(await tokens.authenticate(token, []), undefined, 'expired');
  const { token: plain } = await requestToken({});
  t.ok(await tokens.authenticate(plain, []));
  store.delete(serviceAccounts, 'ns', 'sa');
  t.equal(await tokens.authenticate(plain, []), undefined, 'the account is gone');
});

void t.test('tokens of the automatic volume live longer than they say', async (t) => {
  const { requestToken } = fixture();
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'pod-uid' };
  const { token, expirationTimestamp } = await requestToken({ expirationSeconds: 3607, boundObjectRef });
  t.equal(expirationTimestamp, '2026-01-01T01:00:07Z');
  const claims = decodeJwt(token)?.claims;
  t.equal(Number(claims?.['exp']) - Number(claims?.['iat']), 365 * 24 * 3600);
});

void t.test('bad token requests are refused as upstream', async (t) => {
  const { requestToken } = fixture();
  const pod = { apiVersion: 'v1', kind: 'Pod', name: 'p' };
  for (const [spec, message] of [
    [
      { expirationSeconds: 60 },
      'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes',
    ],
    [{ boundObjectRef: { ...pod, name: 'q' } }, 'pods "q" not found'],
    [
      { boundObjectRef: { ...pod, uid: 'x' } },
      'Operation cannot be fulfilled on pods "p": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated',
    ],
    [
      { boundObjectRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } },
      'cannot bind token to object of type apps/v1, Kind=Deployment',
    ],
  ] as const)
    await t.rejects(requestToken(spec), { message });
});

void t.test('callers are known by token, or are 401', async (t) => {
  const { tokens, requestToken } = fixture();
  const authenticator = createAuthenticator({
    clientCertificates: true,
    tokens: parseTokenFile('secret,alice,7,"devs,ops"\n\nother,bob,8\n'),
    serviceAccounts: tokens,
  });
  t.same(await authenticator.authenticate(requestWith('/api', 'Bearer secret')), {
    name: 'alice',
    uid: '7',
    groups: ['devs', 'ops', 'system:authenticated'],
  });
  const { token } = await requestToken({});
  t.match(await authenticator.authenticate(requestWith('/api', `Bearer ${token}`)), {
    name: 'system:serviceaccount:ns:sa',
  });
  const unauthorized = { code: 401, reason: 'Unauthorized', message: 'Unauthorized' };
  for (const [url, header] of [
    ['/api', undefined],
    ['/api/v1/pods', undefined],
    ['/healthzz', undefined],
    ['/healthz', 'Bearer wrong'],
    ['/api', 'Bearer wrong'],
    ['/version', 'Basic YTpi'],
  ] as const)
    t.match(
      await refusalOf(authenticator.authenticate(requestWith(url, header))),
      unauthorized,
      `${url} ${header ?? ''}`,
    );
  for (const url of ['/healthz', '/livez/ping', '/readyz?verbose', '/version'])
    t.same(await authenticator.authenticate(requestWith(url)), {
      name: 'system:anonymous',
      groups: ['system:unauthenticated'],
    });
  t.throws(() => parseTokenFile('a,b'), { message: /line 1/u });
});

void t.test('a certificate’s subject is the user', async (t) => {
  t.same(userOfSubject({ CN: 'system:node:n1', O: 'system:nodes' }), {
    name: 'system:node:n1',
    groups: ['system:nodes'],
  });
  t.same(userOfSubject({ CN: 'a', O: ['x', 'y'] }), { name: 'a', groups: ['x', 'y'] });
  t.equal(userOfSubject({ O: 'x' }), undefined);
});

void t.test('reviews answer who one is and what one may do', async (t) => {
  const { tokens, requestToken } = fixture();
  const authenticator = createAuthenticator({ clientCertificates: false, serviceAccounts: tokens });
  const authorizer = createAuthorizer();
  const role = { apiVersion: '', kind: '', metadata: { name: 'r', namespace: 'ns' } };
  const group = 'rbac.authorization.k8s.io';
  authorizer.observe({
    type: 'ADDED',
    resource: { group, resource: 'roles' },
    object: Object.assign(role, { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] }),
  });
  authorizer.observe({
    type: 'ADDED',
    resource: { group, resource: 'rolebindings' },
    object: Object.assign(structuredClone(role), {
      roleRef: { kind: 'Role', name: 'r' },
      subjects: [{ kind: 'User', name: 'alice' }],
    }),
  });
  const reviews = createReviewResources({ authenticator, authorizer, audiences: [issuer] });
  const ask = async (resource: string, spec: Record<string, unknown>): Promise<unknown> => {
    const review = reviews.find((each) => each.resource.resource === resource);
    const object = { apiVersion: '', kind: '', metadata: {}, spec };
    return (await review?.create?.(object, { user: alice, namespace: 'ns', dryRun: false }))?.['status'];
  };
  t.same(await ask('selfsubjectreviews', {}), { userInfo: { username: 'alice', groups: alice.groups } });
  const pods = { namespace: 'ns', verb: 'get', resource: 'pods' };
  t.match(await ask('selfsubjectaccessreviews', { resourceAttributes: pods }), { allowed: true });
  t.same(await ask('selfsubjectaccessreviews', { resourceAttributes: { ...pods, verb: 'list' } }), { allowed: false });
  t.match(await ask('subjectaccessreviews', { user: 'bob', resourceAttributes: pods }), { allowed: false });
  t.match(await ask('localsubjectaccessreviews', { user: 'alice', resourceAttributes: pods }), { allowed: true });
  t.same(await ask('selfsubjectrulesreviews', { namespace: 'ns' }), {
    resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }],
    nonResourceRules: [],
    incomplete: false,
  });
  const { token } = await requestToken({});
  t.match(await ask('tokenreviews', { token }), {
    authenticated: true,
    user: { username: 'system:serviceaccount:ns:sa' },
    audiences: [issuer],
  });
  t.same(await ask('tokenreviews', { token: 'x' }), { user: {}, error: 'invalid bearer token' });
  await t.rejects(ask('subjectaccessreviews', { user: 'bob' }), {
    message:
      '.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified',
  });
  await t.rejects(ask('localsubjectaccessreviews', { user: 'a', resourceAttributes: { ...pods, namespace: 'x' } }), {
    message:
      '.authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "x": must match metadata.namespace',
  });
});

void t.test('a token of a Secret is good as long as the Secret holds it', async (t) => {
  const { store, tokens } = fixture();
  const claims = {
    iss: 'kubernetes/serviceaccount',
    sub: 'system:serviceaccount:ns:sa',
    'kubernetes.io/serviceaccount/namespace': 'ns',
    'kubernetes.io/serviceaccount/secret.name': 's',
    'kubernetes.io/serviceaccount/service-account.name': 'sa',
    'kubernetes.io/serviceaccount/service-account.uid': 'sa-uid',
  };
  const token = signJwt(claims, rsa.privateKey);
  const secret = { metadata: { name: 's', namespace: 'ns' }, data: { token: Buffer.from(token).toString('base64') } };
  t.equal(await tokens.authenticate(token, []), undefined, 'no Secret');
  store.set(secrets, secret);
  t.match(await tokens.authenticate(token, []), {
    name: 'system:serviceaccount:ns:sa',
    uid: 'sa-uid',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:ns'],
  });
  store.set(secrets, { ...secret, data: { token: 'b3RoZXI=' } });
  t.equal(await tokens.authenticate(token, []), undefined, 'another token');
  store.set(secrets, secret).delete(serviceAccounts, 'ns', 'sa');
  t.equal(await tokens.authenticate(token, []), undefined, 'no account');
});
