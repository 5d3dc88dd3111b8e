// Bootstrap tokens, OpenID Connect and the webhooks that say who somebody is and what they may do.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { keyIdOf, parseFlags, signJwt, silentLogger, UsageError } from '@naru/component';
import { eventually, VirtualClock } from '@naru/testkit';
import t from 'tap';
import { OidcAuthenticator } from '../src/authentication/oidc-authenticator.ts';
import { readTokenConfig, tokenFlags, type TokenConfig } from '../src/authentication/token-flags.ts';
import { authorizationWebhookFlags, readAuthorizationWebhook } from '../src/authorization/webhook-flags.ts';
import { ExpiringCache } from '../src/expiring-cache.ts';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

const folder = await mkdtemp(join(tmpdir(), 'naru-tokens-'));
const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
await promisify(execFile)(
  'openssl',
  // prettier-ignore
  ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
   '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', keyFile, '-out', certFile],
);

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** An OpenID issuer and a webhook. */
const issuerKeys: KeyObject[] = [];
const reviews: Review[] = [];
const asked: string[] = [];
let answer: (review: Review) => unknown = () => ({});
const server = createServer({ key: await readFile(keyFile), cert: await readFile(certFile) }, (request, response) => {
  const serve = async (): Promise<void> => {
    asked.push(request.url ?? '');
    const value = await valueOf(request);
    response.writeHead(value === undefined ? 500 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value ?? {}));
  };
  void serve();
}).listen(0, 'localhost');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const issuer = `https://localhost:${port}`;
t.teardown(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function valueOf(request: IncomingMessage): Promise<unknown> {
  if (request.url === '/.well-known/openid-configuration') return { issuer, jwks_uri: `${issuer}/keys` };
  if (request.url === '/keys')
    return { keys: issuerKeys.map((key) => ({ ...key.export({ format: 'jwk' }), use: 'sig', kid: keyIdOf(key) })) };
  let text = '';
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  const review = JSON.parse(text) as Review;
  reviews.push(review);
  const status = answer(review);
  return status === undefined ? undefined : { ...review, status };
}

const webhookFile = join(folder, 'webhook.yaml');
await writeFile(
  webhookFile,
  `clusters: [{name: c, cluster: {server: "${issuer}/review", certificate-authority: cert.pem}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
);

async function configOf(...args: string[]): Promise<TokenConfig> {
  return await readTokenConfig(parseFlags(tokenFlags, args));
}

const none = await configOf();
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

async function whoAmI(fixture: ApiFixture, token: string): Promise<Answer> {
  return await fixture.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body: {}, token });
}

const userOf = (answer: Answer): unknown => (answer.body.status as { userInfo?: unknown } | undefined)?.userInfo;

void t.test('tokens of several kinds log in', async (t) => {
  await using store = await startStore('etcd');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  issuerKeys.push(publicKey);
  await using fixture = await ApiFixture.start(store, {
    authorizationModes: ['AlwaysAllow'],
    otherTokens: await configOf(
      '--enable-bootstrap-token-auth',
      `--oidc-issuer-url=${issuer}`,
      '--oidc-client-id=naru',
      '--oidc-groups-claim=groups',
      '--oidc-groups-prefix=oidc:',
      '--oidc-required-claim=hd=example.com',
      `--oidc-ca-file=${certFile}`,
      `--authentication-token-webhook-config-file=${webhookFile}`,
      '--authentication-token-webhook-version=v1',
    ),
  });

  await t.test('bootstrap tokens, as long as their Secret lets them', async (t) => {
    const path = '/api/v1/namespaces/kube-system/secrets';
    const token = 'abcdef.0123456789abcdef';
    const secret = {
      metadata: { name: 'bootstrap-token-abcdef' },
      type: 'bootstrap.kubernetes.io/token',
      stringData: {
        'token-id': 'abcdef',
        'token-secret': '0123456789abcdef',
        'usage-bootstrap-authentication': 'true',
        'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token',
        expiration: new Date(Date.now() + 3_600_000).toISOString(),
      },
    };
    answer = () => ({ authenticated: false });
    t.equal((await fixture.request('POST', path, { body: secret })).status, 201);
    t.same(userOf(await whoAmI(fixture, token)), {
      username: 'system:bootstrap:abcdef',
      groups: ['system:bootstrappers', 'system:bootstrappers:kubeadm:default-node-token', 'system:authenticated'],
    });
    t.equal((await whoAmI(fixture, 'abcdef.0123456789abcdee')).status, 401);
    const change = async (stringData: object): Promise<void> => {
      const options = { body: { stringData }, type: 'application/merge-patch+json' };
      t.equal((await fixture.request('PATCH', `${path}/bootstrap-token-abcdef`, options)).status, 200);
    };
    await change({ expiration: '2020-01-01T00:00:00Z' });
    t.equal((await whoAmI(fixture, token)).status, 401, 'expired');
    await change({ expiration: '', 'usage-bootstrap-authentication': 'false' });
    t.equal((await whoAmI(fixture, token)).status, 401, 'for something else');
    await change({ 'usage-bootstrap-authentication': 'true', 'auth-extra-groups': 'system:masters' });
    t.equal((await whoAmI(fixture, token)).status, 401, 'groups that no such token has');
    await change({ 'auth-extra-groups': '' });
    t.equal((await whoAmI(fixture, token)).status, 201);
    await fixture.request('DELETE', `${path}/bootstrap-token-abcdef`);
    t.equal((await whoAmI(fixture, token)).status, 401, 'gone');
  });

  await t.test('ID tokens of an OpenID issuer', async (t) => {
    const claims = {
      iss: issuer,
      aud: 'naru',
      sub: 'jane',
      hd: 'example.com',
      groups: ['devs'],
      exp: nowSeconds() + 600,
    };
    t.same(userOf(await whoAmI(fixture, signJwt(claims, privateKey))), {
      username: `${issuer}#jane`,
      groups: ['oidc:devs', 'system:authenticated'],
    });
    for (const [why, wrong] of Object.entries({
      expired: { exp: nowSeconds() - 1 },
      'another client': { aud: ['other'] },
      'without a required claim': { hd: 'example.org' },
      'not yet': { nbf: nowSeconds() + 600 },
      'without a name': { sub: '' },
    }))
      t.equal((await whoAmI(fixture, signJwt({ ...claims, ...wrong }, privateKey))).status, 401, why);
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
    t.equal((await whoAmI(fixture, signJwt(claims, other.privateKey))).status, 401, 'signed by somebody else');
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    issuerKeys.push(ec.publicKey);
    t.equal((await whoAmI(fixture, signJwt(claims, ec.privateKey))).status, 401, 'by an algorithm that is not wanted');
  });

  await t.test('tokens that a webhook knows, asked for once', async (t) => {
    answer = ({ spec }) =>
      spec['token'] === 'opaque'
        ? { authenticated: true, user: { username: 'hook', uid: '7', groups: ['g'], extra: { k: ['v'] } } }
        : { authenticated: false };
    reviews.length = 0;
    const expected = { username: 'hook', uid: '7', groups: ['g', 'system:authenticated'], extra: { k: ['v'] } };
    t.same(userOf(await whoAmI(fixture, 'opaque')), expected);
    t.same(userOf(await whoAmI(fixture, 'opaque')), expected);
    t.match(reviews, [{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'opaque' } }]);
    t.equal(reviews.length, 1);
    t.equal((await whoAmI(fixture, 'unknown')).status, 401);
    const body = { spec: { token: 'opaque' } };
    const reviewed = await fixture.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body });
    t.match(reviewed.body.status, { authenticated: true, user: expected });
  });
});

void t.test('an issuer’s new keys are found, but nobody makes the server ask all the time', async (t) => {
  const clock = new VirtualClock();
  const { oidc } = await configOf(
    `--oidc-issuer-url=${issuer}`,
    '--oidc-client-id=naru',
    '--oidc-username-claim=email',
    '--oidc-signing-algs=RS256,ES256',
    `--oidc-ca-file=${certFile}`,
  );
  if (oidc === undefined) throw new Error('no issuer');
  await using authenticator = new OidcAuthenticator(oidc, { clock, logger: silentLogger() });
  const exp = clock.now() / 1000 + 600;
  const claims = { iss: issuer, aud: ['naru'], email: 'jane@example.com', exp };
  const first = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const second = generateKeyPairSync('rsa', { modulusLength: 2048 });
  issuerKeys.splice(0, Infinity, first.publicKey);
  const fetched = (): number => asked.filter((each) => each === '/keys').length;
  const before = fetched();
  t.match(await authenticator.authenticateToken(signJwt(claims, first.privateKey)), { name: 'jane@example.com' });
  t.equal(fetched(), before + 1);
  const unverified = { ...claims, email_verified: false };
  t.equal(await authenticator.authenticateToken(signJwt(unverified, first.privateKey)), undefined);
  issuerKeys.splice(0, Infinity, second.publicKey);
  const rotated = signJwt(claims, second.privateKey);
  t.equal(await authenticator.authenticateToken(rotated), undefined, 'keys were asked for a moment ago');
  t.equal(fetched(), before + 1);
  await clock.advance(10_000);
  t.match(await authenticator.authenticateToken(rotated), { name: 'jane@example.com', groups: [] });
  t.equal(fetched(), before + 2);
  t.equal(await authenticator.authenticateToken(signJwt(claims, first.privateKey)), undefined, 'of a key that is gone');
  await clock.advance(600_000);
  t.equal(await authenticator.authenticateToken(rotated), undefined, 'expired, though it was good');
  t.equal(await authenticator.authenticateToken(signJwt({ ...claims, iss: 'x' }, second.privateKey)), undefined);
});

void t.test('a webhook says who may do what, after those that have an opinion', async (t) => {
  await using store = await startStore('etcd');
  const flags = parseFlags(authorizationWebhookFlags, [
    `--authorization-webhook-config-file=${webhookFile}`,
    '--authorization-webhook-version=v1',
  ]);
  const authorizationWebhook = await readAuthorizationWebhook(flags, ['Webhook', 'RBAC']);
  await using fixture = await ApiFixture.start(store, {
    tokens: 'admin,admin,admin,"system:masters"\njoe,joe,joe,"devs"\njim,jim,jim,""',
    authorizationModes: ['Webhook', 'RBAC'],
    authorizationWebhook,
  });
  answer = ({ spec }) => {
    const { verb, resource } = (spec['resourceAttributes'] ?? {}) as { verb?: string; resource?: string };
    if (resource === 'secrets') return { allowed: false, denied: true, reason: 'nobody reads secrets' };
    return { allowed: spec['user'] === 'joe' && verb === 'get', reason: 'so be it' };
  };
  reviews.length = 0;
  const get = async (path: string, token: string): Promise<Answer> => await fixture.request('GET', path, { token });
  const settings = '/api/v1/namespaces/default/configmaps/x';
  t.equal((await get(settings, 'joe')).status, 404, 'allowed');
  t.equal((await get(settings, 'joe')).status, 404);
  t.same(
    reviews.map(({ apiVersion, kind, spec }) => ({ apiVersion, kind, spec })),
    [
      {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          resourceAttributes: { namespace: 'default', verb: 'get', version: 'v1', resource: 'configmaps', name: 'x' },
          user: 'joe',
          groups: ['devs', 'system:authenticated'],
          uid: 'joe',
        },
      },
    ],
    'asked once',
  );
  const refused = await get(settings, 'jim');
  t.match(refused.body, { code: 403, message: /User "jim" cannot get resource "configmaps".*so be it/u });
  const role = {
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['configmaps', 'secrets'], verbs: ['get'] }],
  };
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  t.equal((await fixture.request('POST', `${rbac}/clusterroles`, { body: role })).status, 201);
  const binding = {
    metadata: { name: 'reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reader' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jim' }],
  };
  t.equal((await fixture.request('POST', `${rbac}/clusterrolebindings`, { body: binding })).status, 201);
  await eventually(async () => {
    if ((await get(settings, 'jim')).status !== 404) throw new Error('RBAC does not allow it yet');
  });
  t.match((await get('/api/v1/namespaces/default/secrets/x', 'jim')).body, {
    code: 403,
    message: /nobody reads secrets/u,
  });
  t.equal((await get('/api/v1/namespaces/default/secrets/x', 'admin')).status, 404, 'nobody asks about administrators');
  const body = { spec: { user: 'joe', resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'a' } } };
  const review = await fixture.request('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { body });
  t.same(review.body.status, { allowed: true, reason: 'so be it' });
  const impersonating = { headers: { 'impersonate-user': 'ann' }, token: 'joe' };
  t.equal((await fixture.request('GET', settings, impersonating)).status, 403);
  const asJoe = { headers: { 'impersonate-user': 'joe' } };
  t.equal((await fixture.request('GET', '/api/v1/nodes/x', asJoe)).status, 404);
});

void t.test('flags of tokens and webhooks are checked', async (t) => {
  t.same(none, { bootstrap: false, oidc: undefined, webhook: undefined });
  await t.rejects(configOf('--oidc-issuer-url=https://x'), /must be specified together/u);
  await t.rejects(configOf('--oidc-issuer-url=http://x', '--oidc-client-id=y'), /URL scheme must be https/u);
  await t.rejects(
    configOf('--oidc-issuer-url=https://x', '--oidc-client-id=y', '--oidc-signing-algs=none'),
    UsageError,
  );
  await t.rejects(configOf('--authentication-token-webhook-config-file=/nowhere'), /-config-file: ENOENT/u);
  const flags = parseFlags(authorizationWebhookFlags, []);
  await t.rejects(readAuthorizationWebhook(flags, ['ABAC']), /ABAC is not supported/u);
  await t.rejects(readAuthorizationWebhook(flags, ['Webhook']), /config file not passed/u);
});

void t.test('answers that are good for a while are asked for once', async (t) => {
  const clock = new VirtualClock();
  const cache = new ExpiringCache<number>(clock, 2);
  let calls = 0;
  const get = async (key: string): Promise<number> =>
    await cache.get(
      key,
      async () => Promise.resolve(++calls),
      () => 100,
    );
  t.same(await Promise.all([get('a'), get('a')]), [1, 1], 'at a time, too');
  await clock.advance(99);
  t.equal(await get('a'), 1);
  await clock.advance(1);
  t.equal(await get('a'), 2);
  await get('b');
  await get('c');
  t.equal(await get('a'), 5, 'the oldest had to go');
  const failing = async (): Promise<number> => Promise.reject(new Error('x'));
  await t.rejects(cache.get('d', failing, () => 100));
  t.equal(await get('d'), 6, 'failures are not kept');
});
