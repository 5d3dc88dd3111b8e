// AuthorizationConfiguration and AuthenticationConfiguration: what they mean, and that changes of the files are followed.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseFlags, signJwt, silentLogger } from '@naru/component';
import { eventually, VirtualClock } from '@naru/testkit';
import { WebhookClient } from '../src/admission/webhooks/webhook-client.ts';
import { readConfig, type ApiserverConfig } from '../src/config.ts';
import { apiserverFlags } from '../src/flags.ts';
import { createAccessControl } from '../src/security.ts';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

const folder = await mkdtemp(join(tmpdir(), 'naru-configuration-'));
const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
execFileSync(
  'openssl',
  // prettier-ignore
  ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=x',
   '-addext', 'subjectAltName=DNS:localhost', '-keyout', keyFile, '-out', certFile],
  { stdio: 'ignore' },
);

interface Review {
  readonly spec: { readonly user: string; readonly resourceAttributes?: Readonly<Record<string, string>> };
}

/** An OpenID issuer, and a webhook that says who may do what. */
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const reviews: Review[] = [];
let verdict: object | undefined;
const server = createServer({ key: await readFile(keyFile), cert: await readFile(certFile) }, (request, response) => {
  void valueOf(request).then((value) => {
    response.writeHead(value === undefined ? 400 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value ?? {}));
  });
}).listen(0, 'localhost');
await once(server, 'listening');
const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
t.teardown(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function valueOf(request: IncomingMessage): Promise<unknown> {
  if (request.url === '/elsewhere') return { issuer: origin, jwks_uri: `${origin}/keys` };
  if (request.url === '/keys') return { keys: [{ ...publicKey.export({ format: 'jwk' }), use: 'sig' }] };
  let text = '';
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  const review = JSON.parse(text) as Review;
  reviews.push(review);
  return verdict === undefined ? undefined : { ...review, status: verdict };
}

const kubeConfigFile = join(folder, 'webhook.yaml');
await writeFile(
  kubeConfigFile,
  `clusters: [{name: c, cluster: {server: "${origin}/review", certificate-authority: cert.pem}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
);

async function configOf(...flags: readonly string[]): Promise<ApiserverConfig> {
  return await readConfig(parseFlags(apiserverFlags, ['--etcd-servers=http://127.0.0.1:1', ...flags]));
}

let files = 0;
/** Configuration is YAML, of which JSON is a part. */
async function fileOf(kind: string, fields: object): Promise<string> {
  const path = join(folder, `${kind}-${files++}.json`);
  await writeFile(path, textOf(kind, fields));
  return path;
}
const textOf = (kind: string, fields: object): string =>
  JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind, ...fields });

const webhook = (changes: object = {}): object => ({
  timeout: '3s',
  subjectAccessReviewVersion: 'v1',
  failurePolicy: 'NoOpinion',
  connectionInfo: { type: 'KubeConfigFile', kubeConfigFile },
  ...changes,
});
const asking = (changes: object = {}): object => ({ type: 'Webhook', name: 'hook', webhook: webhook(changes) });

await t.test('authorizers are what an AuthorizationConfiguration says, also when it changes', async (t) => {
  const rbac = { type: 'RBAC', name: 'rbac' };
  const conditions = {
    matchConditionSubjectAccessReviewVersion: 'v1',
    matchConditions: [
      { expression: "has(request.resourceAttributes) && request.resourceAttributes.namespace == 'default'" },
      { expression: "!('admins' in request.groups)" },
    ],
  };
  const path = await fileOf('AuthorizationConfiguration', { authorizers: [asking(conditions), rbac] });
  const { authorizationConfig } = await configOf(`--authorization-config=${path}`);
  await using store = await startStore('etcd');
  const tokens = 'admin,admin,admin,"system:masters"\njoe,joe,joe,""\nann,ann,ann,"admins"\n';
  await using api = await ApiFixture.start(store, { authorizationConfig, tokens });
  const get = async (what: string, token = 'joe'): Promise<Answer> => await api.request('GET', what, { token });
  const here = '/api/v1/namespaces/default/configmaps/x';
  verdict = { allowed: true };
  t.equal((await get(here)).status, 404, 'allowed by the webhook');
  t.match(reviews, [{ spec: { user: 'joe', resourceAttributes: { resource: 'configmaps' } } }]);
  t.equal((await get('/api/v1/namespaces/other/configmaps/x')).status, 403, 'it is not asked');
  t.equal((await get(here, 'ann')).status, 403, 'nor here');
  t.equal(reviews.length, 1);

  const change = async (...authorizers: readonly object[]): Promise<void> =>
    await writeFile(path, textOf('AuthorizationConfiguration', { authorizers }));
  verdict = undefined;
  await change(asking({ failurePolicy: 'Deny' }), rbac);
  const refused = await eventually(async () => {
    const answer = await get('/version', 'joe');
    return answer.status === 403 ? answer : false;
  });
  t.match(refused.body.message, 'the webhook answers 400', 'RBAC, which allows it, is not asked');
  t.equal((await get(here, 'admin')).status, 404, 'but system:masters may do anything');

  await change(rbac, { type: 'AlwaysAllow', name: 'all' });
  await eventually(async () => (await get(here)).status === 404);
});

await t.test('what a changed file says holds only if it is good', async (t) => {
  const rbac = { type: 'RBAC', name: 'rbac' };
  const all = { type: 'AlwaysAllow', name: 'all' };
  const path = await fileOf('AuthorizationConfiguration', { authorizers: [rbac] });
  const config = await configOf(`--authorization-config=${path}`);
  const [clock, random] = [new VirtualClock(), () => 0.5];
  const warnings: string[] = [];
  const logger = Object.assign(silentLogger(), {
    warn: ({ err }: { readonly err: Error }) => warnings.push(err.message),
  });
  const webhooks = new WebhookClient({ endpointRouting: true, random });
  const { authorizer, follow } = createAccessControl({ config, clock, logger, random }, webhooks);
  const stop = new AbortController();
  const following = follow(stop.signal);
  const mayRead = (): boolean => {
    const user = { name: 'joe', groups: [] };
    const none = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };
    const attributes = { user, verb: 'get', isResourceRequest: false, path: '/x', ...none };
    return authorizer.authorize(attributes).decision === 'allow';
  };
  const change = async (text: string): Promise<void> => {
    await writeFile(path, text);
    await clock.advance(2000);
  };
  for (const [text, why] of [
    [textOf('AuthorizationConfiguration', { authorizers: [all] }), /RBAC cannot be added or removed by a reload/u],
    [textOf('AuthorizationConfiguration', { authorizers: [] }), /at least one authorization mode/u],
    ['{', /--authorization-config: /u],
  ] as const) {
    await change(text);
    await eventually(() => warnings.length > 0);
    t.match(warnings.splice(0), [why]);
    t.notOk(mayRead());
  }
  await change(textOf('AuthorizationConfiguration', { authorizers: [rbac, all] }));
  await eventually(mayRead);
  stop.abort();
  await following;
});

await t.test('an AuthorizationConfiguration is checked', async (t) => {
  const refused = async (authorizers: readonly object[], message: RegExp): Promise<void> => {
    const path = await fileOf('AuthorizationConfiguration', { authorizers });
    await t.rejects(configOf(`--authorization-config=${path}`), { message });
  };
  await refused([], /--authorization-config: authorizers: Required value: at least one authorization mode/u);
  await refused([{ type: 'Magic', name: 'x' }], /authorizers\[0\]\.type: Unsupported value: "Magic"/u);
  const rbac = { type: 'RBAC', name: 'rbac' };
  await refused([rbac, { ...rbac, name: 'other' }], /authorizers\[1\]\.type: Duplicate value: "RBAC"/u);
  await refused([rbac, { type: 'Node', name: 'rbac' }], /authorizers\[1\]\.name: Duplicate value: "rbac"/u);
  await refused([{ type: 'RBAC' }], /authorizers\[0\]\.name: Required value/u);
  await refused([{ ...rbac, webhook: webhook() }], /may only be specified when type=Webhook/u);
  await refused([{ ...rbac, more: 1 }], /unknown field "authorizers\[0\]\.more"/u);
  await refused([asking({ timeout: '31s' })], /webhook\.timeout: Invalid value: must be > 0s and <= 30s/u);
  await refused([asking({ failurePolicy: '' })], /webhook\.failurePolicy: Required value/u);
  await refused(
    [asking({ matchConditions: [{ expression: 'true' }] })],
    /matchConditionSubjectAccessReviewVersion: Req/u,
  );
  const condition = (expression: string): object =>
    asking({ matchConditionSubjectAccessReviewVersion: 'v1', matchConditions: [{ expression }] });
  await refused([condition('object.x')], /matchConditions\[0\]\.expression: Invalid value: "object\.x": .*object/u);
  const path = await fileOf('AuthorizationConfiguration', { authorizers: [rbac] });
  await t.rejects(configOf(`--authorization-config=${path}`, '--authorization-mode=RBAC'), {
    message: /can not be specified when --authorization-mode/u,
  });
});

const jwt = async (changes: object = {}): Promise<object> => ({
  issuer: {
    url: origin,
    discoveryURL: `${origin}/elsewhere`,
    audiences: ['naru', 'others'],
    audienceMatchPolicy: 'MatchAny',
    certificateAuthority: await readFile(certFile, 'utf8'),
  },
  claimValidationRules: [
    { claim: 'hd', requiredValue: 'example.com' },
    { expression: 'claims.exp - claims.nbf <= 86400', message: 'a day at most' },
  ],
  claimMappings: {
    username: { expression: "claims.sub + '@' + claims.hd" },
    groups: { expression: "claims.roles.split(',')" },
    uid: { claim: 'sub' },
    extra: [
      { key: 'example.com/team', valueExpression: 'claims.team' },
      { key: 'example.com/none', valueExpression: "''" },
    ],
  },
  userValidationRules: [{ expression: "!user.username.startsWith('system:')", message: 'not a system user' }],
  ...changes,
});

await t.test('tokens are whose an AuthenticationConfiguration says, also when it changes', async (t) => {
  const anonymous = { enabled: true, conditions: [{ path: '/livez' }] };
  const path = await fileOf('AuthenticationConfiguration', { jwt: [await jwt()], anonymous });
  const { authenticationConfig, anonymous: paths } = await configOf(`--authentication-config=${path}`);
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store, { authenticationConfig, anonymous: paths });
  const seconds = Math.floor(Date.now() / 1000);
  const claims = {
    iss: origin,
    aud: 'others',
    sub: 'jane',
    hd: 'example.com',
    roles: 'dev,ops',
    team: ['blue', 'green'],
    nbf: seconds - 10,
    exp: seconds + 600,
  };
  const whoIs = async (changes: object = {}): Promise<unknown> => {
    const token = signJwt({ ...claims, ...changes }, privateKey);
    const answer = await api.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body: {}, token });
    return answer.status === 201 ? (answer.body.status as { userInfo?: unknown }).userInfo : answer.status;
  };
  t.strictSame(await whoIs(), {
    username: 'jane@example.com',
    uid: 'jane',
    groups: ['dev', 'ops', 'system:authenticated'],
    extra: { 'example.com/team': ['blue', 'green'] },
  });
  t.equal(await whoIs({ aud: 'nobody' }), 401);
  t.equal(await whoIs({ hd: 'example.org' }), 401);
  t.equal(await whoIs({ hd: undefined }), 401);
  t.equal(await whoIs({ exp: seconds + 90_000 }), 401, 'the expression is false');
  t.equal(await whoIs({ roles: undefined }), 401, 'the expression has no value');
  t.equal(await whoIs({ sub: 'system:admin' }), 401);
  t.equal((await api.request('GET', '/livez', { token: '' })).status, 200);
  t.equal((await api.request('GET', '/readyz', { token: '' })).status, 401, 'nobody is anonymous here');

  const username = { claim: 'email', prefix: 'oidc:' };
  await writeFile(
    path,
    textOf('AuthenticationConfiguration', { jwt: [await jwt({ claimMappings: { username } })], anonymous }),
  );
  const email = { email: 'jane@example.com', email_verified: true };
  t.match(
    await eventually(async () => {
      const user = await whoIs(email);
      return JSON.stringify(user).includes('oidc:') && user;
    }),
    { username: 'oidc:jane@example.com', groups: ['system:authenticated'] },
  );
  t.equal(await whoIs({ ...email, email_verified: false }), 401);
  await writeFile(path, textOf('AuthenticationConfiguration', { anonymous }));
  await eventually(async () => (await whoIs(email)) === 401);
});

await t.test('an AuthenticationConfiguration is checked', async (t) => {
  const refused = async (fields: object, message: RegExp, ...flags: readonly string[]): Promise<void> => {
    const path = await fileOf('AuthenticationConfiguration', fields);
    await t.rejects(configOf(`--authentication-config=${path}`, ...flags), { message });
  };
  const good = await jwt();
  const one = async (changes: object, message: RegExp): Promise<void> =>
    await refused({ jwt: [{ ...good, ...changes }] }, message);
  await refused({ jwt: [good, good] }, /jwt\[1\]\.issuer: Duplicate value/u);
  await refused({ jwt: [good] }, /must not overlap with disallowed issuers/u, `--service-account-issuer=${origin}`);
  await refused({ jwt: [] }, /mutually exclusive/u, '--oidc-issuer-url=https://x', '--oidc-client-id=y');
  await refused({ anonymous: { enabled: true } }, /--anonymous-auth flag cannot be set/u, '--anonymous-auth=false');
  await refused({ anonymous: { enabled: false, conditions: [{ path: '/x' }] } }, /enabled should be set to true/u);
  await one({ issuer: { url: 'http://x', audiences: ['a'] } }, /jwt\[0\]\.issuer\.url: .*URL scheme must be https/u);
  await one({ issuer: { url: 'https://x' } }, /at least one jwt\.issuer\.audiences is required/u);
  await one({ issuer: { url: 'https://x', audiences: ['a', 'b'] } }, /audienceMatchPolicy: Required value/u);
  await one(
    { issuer: { url: 'https://x', discoveryURL: 'https://x/', audiences: ['a'] } },
    /must be different from URL/u,
  );
  await one({ claimMappings: {} }, /claimMappings\.username: Required value/u);
  await one({ claimMappings: { username: { claim: 'sub' } } }, /username\.prefix: Required value/u);
  await one(
    { claimMappings: { username: { claim: 'a', prefix: '', expression: 'b' } } },
    /can't be set when expression/u,
  );
  await one(
    { claimMappings: { username: { expression: 'user.x' } } },
    /username\.expression: Invalid value: "user\.x"/u,
  );
  const email = { username: { expression: 'claims.email' } };
  await one({ claimMappings: email }, /claims\.email_verified must be used/u);
  const extra = (key: string): object => ({
    claimMappings: { username: { claim: 'sub', prefix: '' }, extra: [{ key, valueExpression: "'x'" }] },
  });
  await one(extra('nodomain'), /extra\[0\]\.key: .*domain-prefixed path/u);
  await one(extra('a.k8s.io/x'), /reserved for Kubernetes use/u);
  await one({ userValidationRules: [{ expression: '1 + 1' }] }, /must evaluate to bool/u);
  const path = await fileOf('AuthenticationConfiguration', {
    jwt: [{ ...good, claimMappings: email, claimValidationRules: [{ expression: 'claims.email_verified == true' }] }],
  });
  t.equal((await configOf(`--authentication-config=${path}`)).authenticationConfig?.jwt.length, 1);
});

t.end();
