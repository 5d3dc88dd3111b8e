/** Server-side apply across versions that a webhook converts: what is owned is owned in the version in which it was set. */
import t from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';
import { convertAll, ConversionHook } from './conversion-hook.ts';

const string = { type: 'string' };
const versionOf = (name: string, properties: object): object => ({
  name,
  served: true,
  storage: name === 'v1',
  schema: {
    openAPIV3Schema: {
      type: 'object',
      properties: { spec: { type: 'object', properties: { ...properties, color: string } } },
    },
  },
});
const path = (version: string, name: string): string =>
  `/apis/example.com/${version}/namespaces/default/gadgets/${name}`;

interface Entry {
  readonly manager: string;
  readonly apiVersion: string;
  readonly fieldsV1: { readonly 'f:spec'?: object };
}

await using store = await startStore('etcd');
await using hook = await ConversionHook.start();
await using api = await ApiFixture.start(store, {
  aggregator: { cert: undefined, key: undefined, endpointRouting: true },
});
const clientConfig = { url: hook.url, caBundle: hook.cert.toString('base64') };
await api.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
  body: {
    metadata: { name: 'gadgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'gadgets', kind: 'Gadget' },
      conversion: { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } },
      versions: [versionOf('v1', { hostPort: string }), versionOf('v2', { host: string, port: string })],
    },
  },
});

async function apply(manager: string, version: string, name: string, spec?: object, more = ''): Promise<Answer> {
  return await api.request('PATCH', `${path(version, name)}?fieldManager=${manager}&${more}`, {
    body: { apiVersion: `example.com/${version}`, kind: 'Gadget', metadata: { name }, spec },
    type: 'application/apply-patch+yaml',
  });
}
await eventually(async () => (await apply('probe', 'v2', 'probe', {}, 'dryRun=All')).status === 201);

/** `one v1`: the fields of the spec that it owns. */
function owners(answer: Answer): Record<string, string[]> {
  const entries = (answer.body.metadata['managedFields'] ?? []) as readonly Entry[];
  return Object.fromEntries(
    entries.map(({ manager, apiVersion, fieldsV1 }) => [
      `${manager} ${apiVersion.split('/')[1] ?? ''}`,
      Object.keys(fieldsV1['f:spec'] ?? {}).filter((each) => each !== '.'),
    ]),
  );
}
const conflict = (text: string): object => ({
  status: 409,
  body: { message: `Apply failed with 1 conflict: ${text}` },
});

await t.test('what another version calls otherwise is in the way of its owner', async (t) => {
  await apply('one', 'v1', 'a', { hostPort: 'h:1' });
  t.match(await apply('two', 'v2', 'a', { port: '2' }), conflict('conflict with "one": .spec.hostPort'));
  t.match(await apply('two', 'v2', 'a', { host: 'h', color: 'red' }), {
    status: 200,
    body: { spec: { host: 'h', port: '1', color: 'red' } },
  });
  const same = await apply('two', 'v2', 'a', { host: 'h' });
  t.strictSame(owners(same), { 'one v1': ['f:hostPort'], 'two v2': ['f:host'] });
  t.match(await apply('three', 'v1', 'a', { hostPort: 'i:1' }), {
    status: 409,
    body: {
      message:
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.hostPort\nconflicts with "two":\n- .spec.host',
    },
  });
  const forced = await apply('three', 'v1', 'a', { hostPort: 'i:1' }, 'force=true');
  t.strictSame(owners(forced), { 'three v1': ['f:hostPort'] });
});

await t.test('updates in one version take from owners in another', async (t) => {
  await apply('one', 'v1', 'b', { hostPort: 'h:1', color: 'red' });
  await apply('two', 'v2', 'b', { host: 'h', port: '1' });
  const updated = await api.request('PATCH', `${path('v2', 'b')}?fieldManager=three`, {
    body: { spec: { port: '2' } },
    type: 'application/merge-patch+json',
  });
  t.match(updated.body['spec'], { host: 'h', port: '2', color: 'red' });
  t.strictSame(owners(updated), { 'one v1': ['f:color'], 'two v2': ['f:host'], 'three v2': ['f:port'] });
  t.match(
    await apply('four', 'v1', 'b', { hostPort: 'h:3' }),
    conflict('conflict with "three" using example.com/v2: .spec.port'),
  );
});

await t.test('what is applied no longer stays where another version has an owner for it', async (t) => {
  await apply('one', 'v1', 'c', { hostPort: 'h:1', color: 'red' });
  await apply('two', 'v2', 'c', { host: 'h', port: '1' });
  const less = await apply('one', 'v1', 'c');
  t.strictSame(less.body['spec'], { hostPort: 'h:1' }, 'all that two owns is there, red is gone');
  t.strictSame(owners(less), { 'two v2': ['f:host', 'f:port'] });
  t.strictSame((await apply('two', 'v2', 'c', { host: 'h' })).body['spec'], { host: 'h' });
  const none = await apply('two', 'v2', 'c');
  t.strictSame(none.body['spec'], {}, 'what nobody owns goes');
});

await t.test('who moves to another version takes what it owned along', async (t) => {
  await apply('one', 'v1', 'd', { hostPort: 'h:1', color: 'red' });
  const moved = await apply('one', 'v2', 'd', { host: 'h', port: '1' });
  t.strictSame(moved.body['spec'], { host: 'h', port: '1' });
  t.strictSame(owners(moved), { 'one v2': ['f:host', 'f:port'] });
  const back = await apply('one', 'v1', 'd', { color: 'blue' });
  t.strictSame(
    back.body['spec'],
    { color: 'blue' },
    'what it does not say in the old version is gone by its new names',
  );
  t.strictSame(owners(back), { 'one v1': ['f:color'] });
});

await t.test('no object is converted without what its version needs', async (t) => {
  await apply('one', 'v1', 'f', { hostPort: 'h:1', color: 'red' });
  await apply('two', 'v1', 'f', { hostPort: 'h:1' });
  hook.respond = (request) =>
    request.objects.every(({ apiVersion, spec }) => apiVersion.endsWith('/v2') || spec?.['hostPort'] !== undefined)
      ? convertAll(request)
      : { result: { status: 'Failed', message: 'no hostPort' } };
  const moved = await apply('one', 'v2', 'f', { host: 'h', port: '1' });
  hook.respond = convertAll;
  t.match(moved, { status: 200 });
  t.strictSame(moved.body['spec'], { host: 'h', port: '1' });
});

await t.test('who owns what is forgotten where it cannot be converted', async (t) => {
  await apply('one', 'v1', 'e', { color: 'red' });
  await apply('two', 'v2', 'e', { host: 'h' });
  hook.respond = () => ({ result: { status: 'Failed', message: 'not today' } });
  t.match(await apply('one', 'v1', 'e', { color: 'blue' }), {
    status: 500,
    body: { message: /conversion webhook for example\.com\/v1, Kind=Gadget failed: not today/u },
  });
  const updated = await api.request('PATCH', `${path('v1', 'e')}?fieldManager=three`, {
    body: { spec: { color: 'green' } },
    type: 'application/merge-patch+json',
  });
  t.match(updated, { status: 200, body: { spec: { color: 'green' } } }, 'an update is not in the way of a webhook');
  t.equal(updated.body.metadata['managedFields'], undefined);
});
