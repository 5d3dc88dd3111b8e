/** Webhooks and policies: admission that users configure. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

interface Review {
  readonly request: {
    readonly uid: string;
    readonly dryRun: boolean;
    readonly operation: string;
    readonly object: { readonly metadata: Record<string, unknown>; readonly data?: Record<string, string> } | null;
    readonly [field: string]: unknown;
  };
}
type Respond = (review: Review) => Record<string, unknown>;

const registration = '/apis/admissionregistration.k8s.io/v1';
const configMaps = '/api/v1/namespaces/default/configmaps';

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store, {
  aggregator: { cert: undefined, key: undefined, endpointRouting: true },
});

const folder = await mkdtemp(join(tmpdir(), 'naru-webhooks-'));
t.teardown(async () => await rm(folder, { recursive: true, force: true }));
const names = 'subjectAltName=DNS:localhost,DNS:hook.default.svc,IP:127.0.0.1';
const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
execFileSync(
  'openssl',
  // prettier-ignore
  ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=hook',
   '-addext', names, '-keyout', keyFile, '-out', certFile],
  { stdio: 'ignore' },
);
const cert = await readFile(certFile);
const caBundle = cert.toString('base64');

/** A webhook server whose answers the tests choose by path. */
const answers = new Map<string, Respond>();
const calls: { path: string; review: Review }[] = [];
const hooks = createServer({ key: await readFile(keyFile), cert }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
    const path = new URL(request.url ?? '/', 'https://x').pathname;
    calls.push({ path, review });
    const answer = answers.get(path)?.(review) ?? { allowed: true };
    const body = { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...body, response: { uid: review.request.uid, ...answer } }));
  });
}).listen(0, '127.0.0.1');
await once(hooks, 'listening');
t.teardown(() => {
  hooks.closeAllConnections();
  hooks.close();
});
const { port } = hooks.address() as AddressInfo;
const urlOf = (path: string): string => `https://localhost:${port}${path}`;

const rules = [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] }];
const webhook = (name: string, changes: object = {}) => ({
  name: `${name}.example.com`,
  clientConfig: { url: urlOf(`/${name}`), caBundle },
  rules,
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  ...changes,
});
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const configMap = (name: string, data: Record<string, string> = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});

async function create(path: string, body: unknown): Promise<Answer> {
  const answer = await api.request('POST', path, { body });
  t.equal(answer.status, 201, answer.text);
  return answer;
}

async function configure(kind: 'Validating' | 'Mutating', webhooks: readonly object[]): Promise<void> {
  const resource = `${kind.toLowerCase()}webhookconfigurations`;
  const made = await create(`${registration}/${resource}`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}WebhookConfiguration`,
    metadata: { name: 'hooks' },
    webhooks,
  });
  await api.request('GET', `/api/v1/namespaces/default?resourceVersion=${made.body.metadata.resourceVersion ?? ''}`);
}

async function removeAll(...resources: readonly string[]): Promise<void> {
  for (const resource of resources) await api.request('DELETE', `${registration}/${resource}`);
  const answer = await api.request('GET', '/api/v1/namespaces/default');
  t.equal(answer.status, 200);
  calls.length = 0;
  answers.clear();
}

await t.test('validating webhooks: what they are asked, and what their answers mean', async (t) => {
  answers.set('/check', ({ request }) =>
    request.object?.data?.['bad'] === undefined
      ? { allowed: true, warnings: ['take care'] }
      : { allowed: false, status: { code: 418, message: 'no bad things', reason: 'Forbidden' } },
  );
  await configure('Validating', [webhook('check')]);
  const good = await api.request('POST', configMaps, { body: configMap('good') });
  t.equal(good.status, 201, good.text);
  t.equal(good.headers.get('warning'), '299 - "take care"');
  t.match(calls[0]?.review, {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      kind: { group: '', version: 'v1', kind: 'ConfigMap' },
      resource: { group: '', version: 'v1', resource: 'configmaps' },
      name: 'good',
      namespace: 'default',
      operation: 'CREATE',
      userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      object: { kind: 'ConfigMap', metadata: { name: 'good' } },
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  });
  const bad = await api.request('POST', configMaps, { body: configMap('bad', { bad: 'x' }) });
  t.equal(bad.status, 418);
  t.equal(bad.body.message, 'admission webhook "check.example.com" denied the request: no bad things');
  const patched = await api.request('PATCH', `${configMaps}/good`, {
    body: { data: { bad: 'y' } },
    type: 'application/merge-patch+json',
  });
  t.equal(patched.status, 418);
  t.match(calls.at(-1)?.review.request, { operation: 'UPDATE', oldObject: { metadata: { name: 'good' } } });
  await removeAll('validatingwebhookconfigurations');
});

await t.test('webhooks: failure policies, dry run, selectors and match conditions', async (t) => {
  const gone = { url: 'https://localhost:1/', caBundle };
  await configure('Validating', [
    webhook('ignored', { clientConfig: gone, failurePolicy: 'Ignore' }),
    webhook('labelled', { objectSelector: { matchLabels: { check: 'me' } } }),
    webhook('elsewhere', { namespaceSelector: { matchLabels: { no: 'where' } } }),
    webhook('conditional', {
      matchConditions: [
        { name: 'big', expression: 'has(object.data) && has(object.data.big)' },
        { name: 'who', expression: "request.userInfo.username == 'admin'" },
      ],
    }),
  ]);
  await create(configMaps, configMap('unlabelled'));
  t.same(calls, []);
  await create(configMaps, configMap('labelled', {}, { labels: { check: 'me' } }));
  await create(configMaps, configMap('conditional', { big: 'yes' }));
  t.same(
    calls.map(({ path }) => path),
    ['/labelled', '/conditional'],
  );
  await removeAll('validatingwebhookconfigurations');
  await configure('Validating', [webhook('gone', { clientConfig: gone })]);
  const failed = await api.request('POST', configMaps, { body: configMap('failed') });
  t.equal(failed.status, 500);
  t.match(
    failed.body.message,
    /^Internal error occurred: failed calling webhook "gone\.example\.com": failed to call webhook: Post "https:\/\/localhost:1\/\?timeout=10s": /u,
  );
  await removeAll('validatingwebhookconfigurations');
  await create('/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'hook' },
    spec: { type: 'ExternalName', externalName: 'localhost' },
  });
  const service = { namespace: 'default', name: 'hook', path: '/service', port };
  await configure('Validating', [webhook('service', { clientConfig: { service, caBundle } })]);
  const dry = await api.request('POST', `${configMaps}?dryRun=All`, { body: configMap('dry') });
  t.equal(dry.status, 201, dry.text);
  t.match(calls[0], { path: '/service', review: { request: { dryRun: true, options: { dryRun: ['All'] } } } });
  await removeAll('validatingwebhookconfigurations');
});

await t.test('webhooks behind a Service are reached at its endpoints, by the name in their certificate', async (t) => {
  const service = (name: string): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      ports: [
        { name: 'https', port: 443 },
        { name: 'other', port: 444 },
      ],
    },
  });
  const slice = (name: string): object => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['127.0.0.1'] }, { addresses: ['127.0.0.2'], conditions: { ready: false } }],
    ports: [
      { name: 'https', port },
      { name: 'other', port: 1 },
    ],
  });
  // Not of the ExternalName Service of the test before.
  await api.request('DELETE', '/api/v1/namespaces/default/services/hook');
  for (const name of ['hook', 'stranger', 'lonely']) {
    await create('/api/v1/namespaces/default/services', service(name));
    if (name !== 'lonely') await create('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', slice(name));
  }
  const at = (name: string, reference: object): object => ({
    clientConfig: { service: { namespace: 'default', name, ...reference }, caBundle },
  });
  const failure = async (name: string, reference: object = {}): Promise<string> => {
    await configure('Validating', [webhook('behind', at(name, reference))]);
    const answer = await api.request('POST', configMaps, { body: configMap('refused') });
    await removeAll('validatingwebhookconfigurations');
    t.equal(answer.status, 500, answer.text);
    return answer.body.message ?? '';
  };
  const said = 'Internal error occurred: failed calling webhook "behind.example.com": failed to call webhook: Post';
  t.equal(await failure('nobody'), `${said} "https://nobody.default.svc:443/?timeout=10s": service "nobody" not found`);
  t.equal(
    await failure('lonely', { path: '/x' }),
    `${said} "https://lonely.default.svc:443/x?timeout=10s": no endpoints available for service "lonely"`,
  );
  t.match(await failure('hook', { port: 445 }), 'no service port 445 found for service "hook"');
  t.match(await failure('hook', { port: 444 }), /:444\/\?timeout=10s": .*ECONNREFUSED/u);
  t.match(await failure('stranger'), 'stranger.default.svc. is not in the cert', 'the certificate is of another name');

  answers.set('/deny', ({ request }) =>
    request.object?.metadata['name'] === 'bad'
      ? { allowed: false, status: { message: 'not this' } }
      : { allowed: true },
  );
  answers.set('/mutate', () => ({
    allowed: true,
    patchType: 'JSONPatch',
    patch: base64([{ op: 'add', path: '/data/patched', value: 'yes' }]),
  }));
  await configure('Validating', [webhook('deny', at('hook', { path: '/deny' }))]);
  await configure('Mutating', [webhook('mutate', at('hook', { path: '/mutate' }))]);
  const made = await create(configMaps, configMap('behind-service', { own: 'x' }));
  t.same(made.body.data, { own: 'x', patched: 'yes' });
  const denied = await api.request('POST', configMaps, { body: configMap('bad', { own: 'x' }) });
  t.equal(denied.body.message, 'admission webhook "deny.example.com" denied the request: not this');
  await removeAll('validatingwebhookconfigurations', 'mutatingwebhookconfigurations');
});

await t.test('mutating webhooks patch, and are asked again when others patched after them', async (t) => {
  const add = (path: string, value: string) => () => ({
    allowed: true,
    patchType: 'JSONPatch',
    patch: base64([{ op: 'add', path, value }]),
  });
  answers.set('/first', ({ request }) =>
    request.object?.data?.['second'] === undefined ? add('/data/first', 'once')() : add('/data/first', 'twice')(),
  );
  answers.set('/second', add('/data/second', 'yes'));
  await configure('Mutating', [webhook('first', { reinvocationPolicy: 'IfNeeded' }), webhook('second')]);
  const made = await create(configMaps, configMap('mutated', { own: 'x' }));
  t.same(made.body.data, { own: 'x', first: 'twice', second: 'yes' });
  t.same(
    calls.map(({ path }) => path),
    ['/first', '/second', '/first'],
  );
  answers.set('/first', () => ({ allowed: true, patch: base64([{ op: 'add', path: '/data', value: 7 }]) }));
  const broken = await api.request('POST', configMaps, { body: configMap('broken') });
  t.equal(broken.status, 500, 'what a webhook makes of an object must be one');
  await removeAll('mutatingwebhookconfigurations');
});

const policy = (kind: 'Validating' | 'Mutating', name: string, spec: object) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: `${kind}AdmissionPolicy`,
  metadata: { name },
  spec: { matchConstraints: { resourceRules: rules }, ...spec },
});
const binding = (kind: 'Validating' | 'Mutating', policyName: string, spec: object = {}) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: `${kind}AdmissionPolicyBinding`,
  metadata: { name: `${policyName}-binding` },
  spec: { policyName, ...(kind === 'Validating' ? { validationActions: ['Deny'] } : {}), ...spec },
});

await t.test('validating policies', async (t) => {
  const policies = `${registration}/validatingadmissionpolicies`;
  const bindings = `${registration}/validatingadmissionpolicybindings`;
  const wrong = await api.request('POST', policies, {
    body: policy('Validating', 'wrong', { validations: [{ expression: 'object.data.size() +' }] }),
  });
  t.equal(wrong.status, 422);
  t.match(wrong.body.message, /spec\.validations\[0\]\.expression: Invalid value: .*compilation failed/u);
  await create(
    policies,
    policy('Validating', 'small', {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      variables: [{ name: 'limit', expression: 'int(params.data.limit)' }],
      matchConditions: [
        { name: 'not-exempt', expression: "!has(object.metadata.labels) || !('exempt' in object.metadata.labels)" },
      ],
      validations: [
        {
          expression: 'size(object.data) <= variables.limit',
          messageExpression: "'at most %d entries'.format([variables.limit])",
        },
        { expression: "!('forbidden' in object.data)", reason: 'Forbidden' },
        { expression: "!('broken' in object.data) || object.data.missing.length > 1" },
      ],
    }),
  );
  await create(configMaps, configMap('limits', { limit: '2' }));
  await create(
    bindings,
    binding('Validating', 'small', { paramRef: { name: 'limits', parameterNotFoundAction: 'Deny' } }),
  );
  await api.request('GET', '/api/v1/namespaces/default');
  const many = { a: '1', b: '2', c: '3' };
  const refused = await api.request('POST', configMaps, { body: configMap('many', many) });
  t.equal(refused.status, 422);
  t.match(refused.body, {
    reason: 'Invalid',
    message:
      "configmaps \"many\" is forbidden: ValidatingAdmissionPolicy 'small' with binding 'small-binding' denied request: at most 2 entries",
  });
  await create(configMaps, configMap('exempt', many, { labels: { exempt: '' } }));
  const forbidden = await api.request('POST', configMaps, { body: configMap('f', { forbidden: '' }) });
  t.equal(forbidden.status, 403);
  t.match(forbidden.body.message, /denied request: failed expression: !\('forbidden' in object\.data\)$/u);
  const broken = await api.request('POST', configMaps, { body: configMap('b', { broken: '' }) });
  t.equal(broken.status, 422);
  t.match(broken.body.message, /resulted in error: no such key: missing$/u);
  await api.request('PATCH', `${bindings}/small-binding`, {
    body: { spec: { validationActions: ['Warn'] } },
    type: 'application/merge-patch+json',
  });
  await api.request('GET', '/api/v1/namespaces/default');
  const warned = await api.request('POST', configMaps, { body: configMap('many', many) });
  t.equal(warned.status, 201);
  t.match(warned.headers.get('warning'), /Validation failed for ValidatingAdmissionPolicy 'small'/u);
  await removeAll('validatingadmissionpolicies', 'validatingadmissionpolicybindings');
});

await t.test('mutating policies', async (t) => {
  await create(
    `${registration}/mutatingadmissionpolicies`,
    policy('Mutating', 'label', {
      mutations: [
        {
          patchType: 'ApplyConfiguration',
          applyConfiguration: {
            expression: 'Object{metadata: Object.metadata{labels: {"by": "policy", "own": object.metadata.name}}}',
          },
        },
        {
          patchType: 'JSONPatch',
          jsonPatch: {
            expression:
              '[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a.b/c"), value: string(size(object.metadata.labels))}]',
          },
        },
      ],
    }),
  );
  await create(`${registration}/mutatingadmissionpolicybindings`, binding('Mutating', 'label'));
  const made = await eventually(
    async () => {
      const answer = await api.request('POST', `${configMaps}?dryRun=All`, {
        body: configMap('labelled-by', { x: 'y' }),
      });
      if (answer.body.metadata['labels'] === undefined) throw new Error(answer.text);
      return answer.body;
    },
    { deadlineMs: 60_000 },
  );
  t.match(made, { metadata: { labels: { by: 'policy', own: 'labelled-by', 'a.b/c': '2' } }, data: { x: 'y' } });
  await removeAll('mutatingadmissionpolicies', 'mutatingadmissionpolicybindings');
});

await t.test(
  'mutating policies are applied again when others changed the object after them, if they want to',
  async (t) => {
    const data = (key: string, value: string): object => ({
      patchType: 'JSONPatch',
      jsonPatch: { expression: `[JSONPatch{op: "add", path: "/data/${key}", value: ${value}}]` },
    });
    const [policies, bindings] = ['mutatingadmissionpolicies', 'mutatingadmissionpolicybindings'];
    const add = async (name: string, reinvocationPolicy: string, mutation: object): Promise<void> => {
      await create(
        `${registration}/${policies}`,
        policy('Mutating', name, { reinvocationPolicy, mutations: [mutation] }),
      );
      await create(`${registration}/${bindings}`, binding('Mutating', name));
    };
    // What each saw: how many entries there were.
    await add('a', 'IfNeeded', data('a', 'string(size(object.data))'));
    await add('b', 'Never', data('b', 'string(size(object.data))'));
    await add('c', 'IfNeeded', data('c', 'string(size(object.data))'));
    await api.request('GET', `${registration}/${bindings}`);
    const alone = await api.request('POST', `${configMaps}?dryRun=All`, { body: configMap('own', { own: 'x' }) });
    t.same(alone.body.data, { own: 'x', a: '4', b: '2', c: '4' }, 'c is applied again as a was, which was as b was');
    answers.set('/late', () => ({
      allowed: true,
      patchType: 'JSONPatch',
      patch: base64([{ op: 'add', path: '/data/late', value: 'yes' }]),
    }));
    await configure('Mutating', [webhook('late')]);
    const late = await api.request('POST', `${configMaps}?dryRun=All`, { body: configMap('own', { own: 'x' }) });
    t.same(late.body.data, { own: 'x', a: '5', b: '2', c: '5', late: 'yes' }, 'webhooks come after policies');
    t.equal(calls.length, 1);
    const settled = { own: 'x', a: '5', b: '5', c: '5', late: 'yes' };
    const same = await api.request('POST', `${configMaps}?dryRun=All`, { body: configMap('own', settled) });
    t.same(same.body.data, settled);
    await removeAll(policies, bindings, 'mutatingwebhookconfigurations');
  },
);

await t.test('what validating policies do wrong with the types of their objects stands in their status', async (t) => {
  const policies = `${registration}/validatingadmissionpolicies`;
  const about = (group: string, resource: string): object => ({
    matchConstraints: {
      resourceRules: [{ apiGroups: [group], apiVersions: ['v1'], operations: ['CREATE'], resources: [resource] }],
    },
  });
  const checked = async (name: string, spec: object): Promise<unknown> => {
    await create(policies, policy('Validating', name, spec));
    return await eventually(
      async () => {
        const { body } = await api.request('GET', `${policies}/${name}`);
        const status = (body as unknown as { status?: { observedGeneration?: number; typeChecking?: unknown } }).status;
        if (status?.typeChecking === undefined) throw new Error(JSON.stringify(body));
        t.equal(status.observedGeneration, 1);
        return status.typeChecking;
      },
      { deadlineMs: 60_000 },
    );
  };
  t.same(
    await checked('right', {
      ...about('apps', 'deployments'),
      variables: [{ name: 'spec', expression: 'object.spec' }],
      validations: [{ expression: "variables.spec.replicas > 1 && object.metadata.name != '' && oldObject == null" }],
    }),
    {},
  );
  t.match(
    await checked('wrong', {
      ...about('apps', 'deployments'),
      variables: [{ name: 'spec', expression: 'object.spec' }],
      validations: [
        {
          expression: "object.spec.replicas > '1'",
          messageExpression: "'wants replicas > 1, got ' + variables.spec.replicas",
        },
        { expression: 'variables.spec.template.spec.containers.all(c, c.imge != "")' },
      ],
    }),
    {
      expressionWarnings: [
        {
          fieldRef: 'spec.validations[0].expression',
          warning:
            "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
        },
        {
          fieldRef: 'spec.validations[0].messageExpression',
          warning: "found no matching overload for '_+_' applied to '(string, int)'",
        },
        { fieldRef: 'spec.validations[1].expression', warning: "undefined field 'imge'" },
      ],
    },
  );
  const size = {
    type: 'object',
    properties: { size: { type: 'integer' }, any: { 'x-kubernetes-preserve-unknown-fields': true } },
  };
  await create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec: size } } },
        },
      ],
    },
  });
  t.match(
    await checked('custom', {
      ...about('example.com', 'things'),
      validations: [{ expression: "object.spec.size == 'large'" }, { expression: 'object.spec.any.thing > 1' }],
    }),
    { expressionWarnings: [{ warning: /^example\.com\/v1, Kind=Thing: .*'_==_' applied to '\(int, string\)'/u }] },
  );
  t.same(
    await checked('wild', { ...about('*', 'deployments'), validations: [{ expression: 'object.nothing == 1' }] }),
    {},
  );
  await removeAll('validatingadmissionpolicies');
});
