/** CustomResourceDefinitions with several versions and a webhook that converts between them. */
import t from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore, type Answer, type Body, type Event } from './api-fixture.ts';
import { convert, convertAll, ConversionHook, type Gadget, type Respond } from './conversion-hook.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const path = (version: string, name = ''): string =>
  `/apis/example.com/${version}/namespaces/default/gadgets${name === '' ? '' : `/${name}`}`;

await using store = await startStore('etcd');
const aggregator = { cert: undefined, key: undefined, endpointRouting: true };
await using api = await ApiFixture.start(store, { aggregator });
await using other = await ApiFixture.start(store, { aggregator });

await using hook = await ConversionHook.start();
const { asked, admitted, cert, port: hookPort, url } = hook;

const schemaOf = (properties: object): object => ({
  openAPIV3Schema: {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { ...properties, replicas: { type: 'integer' } } },
      status: { type: 'object', properties: { phase: { type: 'string' }, replicas: { type: 'integer' } } },
    },
  },
});
const subresources = {
  status: {},
  scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
};
const string = { type: 'string' };
const v1 = {
  name: 'v1',
  served: true,
  storage: true,
  schema: schemaOf({ hostPort: string }),
  subresources,
  additionalPrinterColumns: [{ name: 'HostPort', type: 'string', jsonPath: '.spec.hostPort' }],
};
const v2 = {
  name: 'v2',
  served: true,
  storage: false,
  schema: schemaOf({ host: string, port: string }),
  subresources,
  selectableFields: [{ jsonPath: '.spec.host' }],
  additionalPrinterColumns: [
    { name: 'Host', type: 'string', jsonPath: '.spec.host' },
    { name: 'Port', type: 'string', jsonPath: '.spec.port' },
  ],
};
const conversion = {
  strategy: 'Webhook',
  webhook: {
    clientConfig: {
      service: { namespace: 'default', name: 'hook', path: '/convert' },
      caBundle: cert.toString('base64'),
    },
    conversionReviewVersions: ['v1'],
  },
};
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'gadgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'gadgets', kind: 'Gadget' },
    conversion,
    versions: [v1, v2],
  },
};

const gadget = (version: string, name: string, spec: object, metadata: object = {}): object => ({
  apiVersion: `example.com/${version}`,
  kind: 'Gadget',
  metadata: { name, ...metadata },
  spec,
});

async function ok(code: number, ...request: Parameters<ApiFixture['request']>): Promise<Answer> {
  const answer = await api.request(...request);
  t.equal(answer.status, code, answer.status === code ? `${request[0]} ${request[1]}` : answer.text);
  return answer;
}

async function change(spec: object): Promise<void> {
  await ok(200, 'PATCH', `${definitions}/gadgets.example.com`, {
    body: { spec },
    type: 'application/merge-patch+json',
  });
}

await t.test('definitions say how their versions are converted', async (t) => {
  const refused = async (changed: object): Promise<string> => {
    const body = { ...definition, spec: { ...definition.spec, conversion: changed } };
    const answer = await api.request('POST', definitions, { body });
    t.equal(answer.status, 422, answer.text);
    return answer.body.message ?? '';
  };
  t.match(
    await refused({ strategy: 'Magic' }),
    'spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook"',
  );
  t.match(
    await refused({ strategy: 'Webhook' }),
    'spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook',
  );
  t.match(
    await refused({ strategy: 'Webhook', webhook: { clientConfig: {}, conversionReviewVersions: ['v3', 'v3'] } }),
    /exactly one of url or service is required, .*\[1\]: Invalid value: "v3": duplicate version, .*must include at least one of v1, v1beta1/u,
  );
  t.match(
    await refused({
      strategy: 'Webhook',
      webhook: { clientConfig: { url: 'http://x/?a' }, conversionReviewVersions: ['v1'] },
    }),
    /'https' is the only allowed URL scheme.*query parameters are not permitted/u,
  );
  t.match(await refused({ ...conversion, strategy: 'None' }), /should not be set when strategy is not set to Webhook/u);
});

await t.test('objects are written and read in any version, and stored in one', async (t) => {
  // Its ClusterIP leads nowhere here, its endpoints do.
  await ok(201, 'POST', '/api/v1/namespaces/default/services', {
    body: { apiVersion: 'v1', kind: 'Service', metadata: { name: 'hook' }, spec: { ports: [{ port: 443 }] } },
  });
  await ok(201, 'POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    body: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'hook-1', labels: { 'kubernetes.io/service-name': 'hook' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['127.0.0.1'] }],
      ports: [{ port: hookPort }],
    },
  });
  await ok(201, 'POST', definitions, { body: definition });
  await eventually(async () => {
    if ((await api.request('GET', path('v2'))).status !== 200) throw new Error('not served yet');
  });
  asked.length = 0;
  const made = await ok(201, 'POST', path('v1'), { body: gadget('v1', 'a', { hostPort: 'one:1' }) });
  t.equal(asked.length, 0, 'what is stored as it is served is not converted');
  const read = await ok(200, 'GET', path('v2', 'a'));
  t.match(read.body, { apiVersion: 'example.com/v2', spec: { host: 'one', port: '1' } });
  t.strictSame(read.body.metadata, made.body.metadata);
  t.match(asked, [{ desiredAPIVersion: 'example.com/v2', objects: [{ apiVersion: 'example.com/v1' }] }]);
  await ok(200, 'GET', path('v2', 'a'));
  t.equal(asked.length, 1, 'an object is converted once');
  const second = await ok(201, 'POST', path('v2'), {
    body: gadget('v2', 'b', { host: 'two', port: '2', hostPort: 'x' }),
  });
  t.match(second.body, { apiVersion: 'example.com/v2', spec: { host: 'two', port: '2' } });
  t.notOk(second.body.spec?.['hostPort'], 'pruned by the schema of its version');
  t.match((await ok(200, 'GET', path('v1', 'b'))).body, { apiVersion: 'example.com/v1', spec: { hostPort: 'two:2' } });
  const dry = await ok(201, 'POST', `${path('v2')}?dryRun=All`, {
    body: gadget('v2', 'dry', { host: 'x', port: '9' }),
  });
  t.match(dry.body, { apiVersion: 'example.com/v2', spec: { host: 'x' } });

  const put = await ok(200, 'PUT', path('v2', 'a'), { body: { ...read.body, spec: { host: 'one', port: '11' } } });
  t.match(put.body, { spec: { port: '11' }, metadata: { generation: 2 } });
  const merge = { type: 'application/merge-patch+json' };
  t.match((await ok(200, 'PATCH', path('v2', 'a'), { body: { spec: { port: '12' } }, ...merge })).body.spec, {
    host: 'one',
    port: '12',
  });
  t.match((await other.request('GET', path('v1', 'a'))).body.spec, { hostPort: 'one:12' });
  const status = await ok(200, 'PATCH', `${path('v2', 'a')}/status`, { body: { status: { phase: 'Up' } }, ...merge });
  t.match(status.body, { apiVersion: 'example.com/v2', status: { phase: 'Up' }, spec: { port: '12' } });
  await ok(200, 'PATCH', path('v2', 'a'), { body: { spec: { replicas: 1 } }, ...merge });
  t.match((await ok(200, 'GET', `${path('v2', 'a')}/scale`)).body.spec, { replicas: 1 });
  t.match(
    (await ok(200, 'PATCH', `${path('v2', 'a')}/scale`, { body: { spec: { replicas: 3 } }, ...merge })).body.spec,
    { replicas: 3 },
  );
  t.match((await ok(200, 'GET', path('v1', 'a'))).body.spec, { hostPort: 'one:12', replicas: 3 });
  t.match((await ok(200, 'GET', `${path('v2', 'a')}/status`)).body, { apiVersion: 'example.com/v2' });
  t.match((await ok(200, 'DELETE', path('v2', 'b'))).body, { status: 'Success' });
});

await t.test('lists, tables, selectors and pages are of the version that is asked for', async (t) => {
  for (const i of [1, 2, 3, 4])
    await ok(201, 'POST', path('v1'), {
      body: gadget('v1', `l${i}`, { hostPort: `${i % 2 === 0 ? 'even' : 'odd'}:${i}` }),
    });
  asked.length = 0;
  const list = await ok(200, 'GET', path('v2'));
  t.strictSame(
    list.body.items?.map(({ apiVersion, spec }) => [apiVersion, spec?.['port']]),
    [['example.com/v2', '12'], ...['1', '2', '3', '4'].map((port) => ['example.com/v2', port])],
  );
  t.equal(asked.length, 1, 'in one review');
  t.equal(asked[0]?.objects.length, 4, 'without the one that was read before');
  const names = (body: Body): unknown => body.items?.map(({ metadata }) => metadata.name);
  const odd = await ok(200, 'GET', `${path('v2')}?fieldSelector=spec.host%3Dodd&limit=1`);
  t.strictSame(names(odd.body), ['l1']);
  const token = odd.body.metadata['continue'] as string;
  const rest = await ok(200, 'GET', `${path('v2')}?fieldSelector=spec.host%3Dodd&limit=1&continue=${token}`);
  t.strictSame(names(rest.body), ['l3']);
  t.notOk(rest.body.metadata['continue']);
  t.equal((await api.request('GET', `${path('v1')}?fieldSelector=spec.host%3Dodd`)).status, 400);
  const accept = (as: string) => ({ headers: { accept: `application/json;as=${as};v=v1;g=meta.k8s.io` } });
  const table = await ok(200, 'GET', path('v2'), accept('Table'));
  t.match(table.body['rows'], [{ cells: ['a', 'one', '12'] }, { cells: ['l1', 'odd', '1'] }]);
  t.match((await ok(200, 'GET', path('v2', 'l2'), accept('Table'))).body['rows'], [{ cells: ['l2', 'even', '2'] }]);
  const metadata = await ok(200, 'GET', path('v2'), accept('PartialObjectMetadataList'));
  t.match(metadata.body.items, [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }]);
});

await t.test('watches are, too', async (t) => {
  const seen: string[] = [];
  const note = ({ type, object }: Event): void => {
    seen.push(
      `${type} ${String(object.metadata.name)} ${object.apiVersion ?? ''} ${JSON.stringify(object.spec?.['port'])}`,
    );
  };
  const watch = api.watch(`${path('v2')}?watch=true&fieldSelector=spec.host%3Deven&allowWatchBookmarks=true`);
  for await (const event of watch) {
    note(event);
    if (seen.length === 2) {
      await ok(201, 'POST', path('v1'), { body: gadget('v1', 'w1', { hostPort: 'odd:5' }) });
      await ok(201, 'POST', path('v2'), { body: gadget('v2', 'w2', { host: 'even', port: '6' }) });
      const merge = { type: 'application/merge-patch+json' };
      await ok(200, 'PATCH', path('v1', 'w1'), { body: { spec: { hostPort: 'even:5' } }, ...merge });
      await ok(200, 'PATCH', path('v1', 'w2'), { body: { spec: { hostPort: 'odd:6' } }, ...merge });
      await ok(200, 'DELETE', path('v1', 'w1'));
    }
    if (seen.length === 6) break;
  }
  t.strictSame(seen, [
    'ADDED l2 example.com/v2 "2"',
    'ADDED l4 example.com/v2 "4"',
    'ADDED w2 example.com/v2 "6"',
    'ADDED w1 example.com/v2 "5"',
    'DELETED w2 example.com/v2 "6"',
    'DELETED w1 example.com/v2 "5"',
  ]);
});

await t.test('admission that is about one version sees requests to the others in it', async (t) => {
  const registration = '/apis/admissionregistration.k8s.io/v1';
  const webhook = (at: string, changes: object = {}): object => ({
    name: 'a.example.com',
    clientConfig: { url: new URL(at, url).href, caBundle: cert.toString('base64') },
    rules: [{ apiGroups: ['example.com'], apiVersions: ['v1'], operations: ['*'], resources: ['gadgets'] }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    ...changes,
  });
  const configure = async (kind: string, webhooks: object[]): Promise<void> => {
    const body = { metadata: { name: 'hooks' }, webhooks };
    await ok(201, 'POST', `${registration}/${kind}webhookconfigurations`, { body });
    await ok(200, 'GET', '/api/v1/namespaces/default');
  };
  await configure('mutating', [webhook('/admit/change')]);
  await configure('validating', [
    webhook('/admit/exact', { name: 'b.example.com', matchPolicy: 'Exact' }),
    webhook('/admit', {
      name: 'c.example.com',
      matchConditions: [{ name: 'old-form', expression: "object.spec.hostPort == 'admitted:1'" }],
    }),
  ]);
  const made = await ok(201, 'POST', path('v2'), { body: gadget('v2', 'seen', { host: 'x', port: '7' }) });
  t.match(made.body, { apiVersion: 'example.com/v2', spec: { host: 'admitted', port: '1' } });
  t.equal(admitted.length, 2, 'but for the one that wants its version exactly');
  t.match(admitted[0], {
    kind: { version: 'v1', kind: 'Gadget' },
    resource: { version: 'v1' },
    requestKind: { version: 'v2', kind: 'Gadget' },
    requestResource: { version: 'v2' },
    object: { apiVersion: 'example.com/v1', spec: { hostPort: 'x:7' } },
  });
  t.match(admitted[1]?.object, { apiVersion: 'example.com/v1', spec: { hostPort: 'admitted:1' } });
  for (const kind of ['mutating', 'validating'])
    await ok(200, 'DELETE', `${registration}/${kind}webhookconfigurations/hooks`);
  await ok(200, 'GET', '/api/v1/namespaces/default');
  await ok(200, 'DELETE', path('v2', 'seen'));
});

await t.test('what a webhook answers is checked in upstream words', async (t) => {
  let n = 0;
  const failure = async (answer: Respond): Promise<string> => {
    const name = `bad${n++}`;
    await ok(201, 'POST', path('v1'), { body: gadget('v1', name, { hostPort: 'x:1' }, { labels: { a: 'b' } }) });
    hook.respond = answer;
    const got = await api.request('GET', path('v2', name));
    hook.respond = convertAll;
    t.equal(got.status, 500, got.text);
    await ok(200, 'GET', path('v2', name));
    await ok(200, 'DELETE', path('v1', name));
    return got.body.message ?? '';
  };
  const each =
    (make: (object: Gadget) => unknown): Respond =>
    ({ objects, desiredAPIVersion }) => ({
      result: { status: 'Success' },
      convertedObjects: objects.map((object) => make(convert(object, desiredAPIVersion))),
    });
  const prefix = 'conversion webhook for example.com/v1, Kind=Gadget ';
  t.equal(await failure(() => ({ result: { status: 'Failed', message: 'no way' } })), `${prefix}failed: no way`);
  t.equal(
    await failure(() => ({ result: { status: 'Failed' } })),
    `${prefix}failed: response.result.status was 'Failed', not 'Success'`,
  );
  t.match(
    await failure(() => ({ uid: 'x', result: { status: 'Success' } })),
    /failed: expected response.uid="[-0-9a-f]{36}", got "x"$/u,
  );
  t.equal(
    await failure(() => ({ result: { status: 'Success' }, convertedObjects: [] })),
    `${prefix}returned 0 objects, expected 1`,
  );
  t.equal(
    await failure(each((object) => ({ ...object, apiVersion: 'example.com/v9' }))),
    `${prefix}returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v9)`,
  );
  t.equal(
    await failure(each((object) => ({ ...object, kind: 'Gizmo' }))),
    `${prefix}returned invalid object at index 0: invalid kind (expected Gadget, received Gizmo)`,
  );
  t.match(
    await failure(each((object) => ({ ...object, metadata: { ...object.metadata, name: 'z' } }))),
    /returned invalid object: must have the same name: bad6 != z$/u,
  );
  t.match(
    await failure(each((object) => ({ ...object, metadata: { ...object.metadata, uid: 'z' } }))),
    /must have the same UID: .* != z$/u,
  );
  t.match(
    await failure(each((object) => ({ ...object, metadata: { ...object.metadata, labels: { a: 1 } } }))),
    /returned invalid metadata: metadata.labels\[a\] must be a string, but is int64 in converted object$/u,
  );
  t.match(
    await failure(each((object) => ({ ...object, metadata: { ...object.metadata, labels: { a: '-' } } }))),
    /metadata.labels: Invalid value: "-"/u,
  );

  await ok(201, 'POST', path('v1'), { body: gadget('v1', 'labelled', { hostPort: 'x:1' }) });
  hook.respond = each((object) => ({
    ...object,
    metadata: { ...object.metadata, generation: 99, labels: { by: 'hook' } },
  }));
  const labelled = await ok(200, 'GET', path('v2', 'labelled'));
  t.match(labelled.body.metadata, { generation: 1, labels: { by: 'hook' } }, 'labels may change, nothing else');
  t.equal(((await ok(200, 'GET', `${path('v2')}?labelSelector=by%3Dhook`)).body.items ?? []).length, 1);
  hook.respond = () => ({ result: { status: 'Failed', message: 'not today' } });
  const create = await api.request('POST', path('v2'), { body: gadget('v2', 'no', { host: 'x', port: '1' }) });
  t.equal(create.status, 500);
  t.equal(create.body.message, 'conversion webhook for example.com/v2, Kind=Gadget failed: not today');
  hook.respond = convertAll;
  t.equal((await api.request('GET', path('v1', 'no'))).status, 404);
});

await t.test('the storage version may change, and then be the only one', async (t) => {
  await change({
    versions: [
      { ...v1, storage: false },
      { ...v2, storage: true },
    ],
  });
  const stored = async (): Promise<unknown> =>
    ((await ok(200, 'GET', `${definitions}/gadgets.example.com`)).body.status as { storedVersions: unknown })
      .storedVersions;
  t.strictSame(await stored(), ['v1', 'v2']);
  await eventually(async () => {
    asked.length = 0;
    const made = await api.request('POST', path('v2'), {
      body: gadget('v2', `new${Math.random()}`, { host: 'n', port: '1' }),
    });
    if (made.status !== 201 || asked.length > 0) throw new Error('v2 is not stored yet');
  });
  t.match((await ok(200, 'GET', path('v2', 'l1'))).body.spec, { host: 'odd', port: '1' });
  t.match((await ok(200, 'GET', path('v1', 'l1'))).body.spec, { hostPort: 'odd:1' });
  asked.length = 0;
  const before = (await ok(200, 'GET', path('v2', 'l1'))).body;
  const after = (await ok(200, 'PUT', path('v2', 'l1'), { body: before })).body;
  t.not(after.metadata.resourceVersion, before.metadata.resourceVersion, 'a write of the same migrates it');
  const again = (await ok(200, 'PUT', path('v2', 'l1'), { body: after })).body;
  t.equal(again.metadata.resourceVersion, after.metadata.resourceVersion, 'once');
  await change({
    versions: [
      { ...v1, storage: false, served: false },
      { ...v2, storage: true },
    ],
  });
  await eventually(async () => {
    if ((await api.request('GET', path('v1', 'l2'))).status !== 404) throw new Error('v1 is still served');
  });
  t.match(
    (await ok(200, 'GET', path('v2', 'l2'))).body.spec,
    { host: 'even' },
    'what is stored in a version that is not served',
  );
  await change({
    versions: [
      { ...v1, storage: true, served: false },
      { ...v2, storage: false, deprecated: true },
    ],
  });
  await eventually(async () => {
    const answer = await api.request('GET', path('v2', 'l2'));
    if (answer.headers.get('warning') !== '299 - "example.com/v2 Gadget is deprecated"') throw new Error(answer.text);
  });
  await ok(200, 'DELETE', `${definitions}/gadgets.example.com`);
  await eventually(async () => {
    if ((await api.request('GET', `${definitions}/gadgets.example.com`)).status !== 404) throw new Error('still there');
  });
});
