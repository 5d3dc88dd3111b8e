/** The API as its clients see it, on real etcd and on kv-raft: both must behave the same. */
import t, { type Test } from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore, type Answer, type Body, type Event, type StoreKind } from './api-fixture.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';

const configMap = (name: string, data: Record<string, string> = {}, metadata: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});
const pod = (name: string, spec: object = {}, metadata: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});
const names = (answer: Answer): unknown[] => (answer.body.items ?? []).map((each) => each.metadata.name);

/** The first `count` events. */
async function take(events: AsyncGenerator<Event, void, undefined>, count: number): Promise<Event[]> {
  const taken: Event[] = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

async function writes(t: Test, api: ApiFixture): Promise<void> {
  const created = await api.request('POST', configMaps, { body: configMap('w', { a: '1' }) });
  t.equal(created.status, 201);
  t.match(created.body, {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { name: 'w', namespace: 'default', uid: String },
  });
  const again = await api.request('POST', configMaps, { body: configMap('w') });
  t.match(again, { status: 409, body: { reason: 'AlreadyExists', message: 'configmaps "w" already exists' } });
  const got = await api.request('GET', `${configMaps}/w`);
  t.strictSame(got.body, created.body, 'a read after a write sees it');

  const updated = await api.request('PUT', `${configMaps}/w`, { body: { ...created.body, data: { a: '2' } } });
  t.equal(updated.status, 200);
  t.not(updated.body.metadata.resourceVersion, created.body.metadata.resourceVersion);
  const stale = await api.request('PUT', `${configMaps}/w`, { body: { ...created.body, data: { a: '3' } } });
  t.match(stale, { status: 409, body: { reason: 'Conflict', message: /the object has been modified/u } });
  const unconditional = await api.request('PUT', `${configMaps}/w`, { body: configMap('w', { a: '4' }) });
  t.match(unconditional, { status: 200, body: { data: { a: '4' }, metadata: { uid: created.body.metadata['uid'] } } });
  const same = await api.request('PUT', `${configMaps}/w`, { body: unconditional.body });
  t.equal(same.body.metadata.resourceVersion, unconditional.body.metadata.resourceVersion, 'no change, no write');

  const dry = await api.request('PUT', `${configMaps}/w?dryRun=All`, { body: configMap('w', { a: '5' }) });
  t.match(dry, { status: 200, body: { data: { a: '5' } } });
  t.match((await api.request('GET', `${configMaps}/w`)).body, { data: { a: '4' } });

  const generated = await Promise.all(
    Array.from({ length: 5 }, async () =>
      api.request('POST', configMaps, {
        body: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { generateName: 'g-' } },
      }),
    ),
  );
  t.equal(new Set(generated.map((each) => each.body.metadata.name)).size, 5);
  for (const each of generated) t.match(each.body.metadata.name, /^g-[a-z0-9]{5}$/u);

  const removed = await api.request('DELETE', `${configMaps}/w`);
  t.match(removed, {
    status: 200,
    body: { kind: 'Status', status: 'Success', details: { name: 'w', kind: 'configmaps' } },
  });
  t.match(await api.request('GET', `${configMaps}/w`), { status: 404, body: { reason: 'NotFound' } });
  t.match(await api.request('DELETE', `${configMaps}/w`), { status: 404 });
  await api.request('DELETE', configMaps);
}

async function concurrentWrites(t: Test, api: ApiFixture): Promise<void> {
  await api.request('POST', configMaps, { body: configMap('counter') });
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) =>
      api.request('PATCH', `${configMaps}/counter`, {
        type: 'application/merge-patch+json',
        body: { data: { [`k${i}`]: 'x' } },
      }),
    ),
  );
  for (const answer of answers) t.equal(answer.status, 200);
  const { body } = await api.request('GET', `${configMaps}/counter`);
  t.equal(Object.keys(body.data ?? {}).length, 20, 'patches that meet are all applied');
  await api.request('DELETE', `${configMaps}/counter`);
}

async function patches(t: Test, api: ApiFixture): Promise<void> {
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  const body = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'd' } },
      template: { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'a', image: 'i' }] } },
    },
  };
  t.equal((await api.request('POST', deployments, { body })).status, 201);
  const strategic = await api.request('PATCH', `${deployments}/d`, {
    type: 'application/strategic-merge-patch+json',
    body: { spec: { template: { spec: { containers: [{ name: 'b', image: 'j' }] } } } },
  });
  t.match(strategic, { status: 200, body: { metadata: { generation: 2 } } });
  const { template } = strategic.body.spec as { template: { spec: { containers: { name: string }[] } } };
  t.strictSame(template.spec.containers.map((each) => each.name).sort(), ['a', 'b']);
  const json = await api.request('PATCH', `${deployments}/d`, {
    type: 'application/json-patch+json',
    body: [{ op: 'replace', path: '/spec/replicas', value: 3 }],
  });
  t.match(json.body, { spec: { replicas: 3 }, metadata: { generation: 3 } });
  const annotated = await api.request('PATCH', `${deployments}/d`, {
    type: 'application/merge-patch+json',
    body: { metadata: { annotations: { a: 'b' } } },
  });
  t.equal(annotated.body.metadata['generation'], 3, 'metadata is no new generation');
  const status = await api.request('PATCH', `${deployments}/d/status`, {
    type: 'application/merge-patch+json',
    body: { spec: { replicas: 9 }, status: { replicas: 3 } },
  });
  t.match(status.body, { spec: { replicas: 3 }, status: { replicas: 3 }, metadata: { generation: 3 } });
  const scale = await api.request('GET', `${deployments}/d/scale`);
  t.match(scale.body, { kind: 'Scale', spec: { replicas: 3 }, status: { replicas: 3, selector: 'app=d' } });
  const scaled = await api.request('PUT', `${deployments}/d/scale`, { body: { ...scale.body, spec: { replicas: 5 } } });
  t.match(scaled, { status: 200, body: { kind: 'Scale', spec: { replicas: 5 } } });
  t.match((await api.request('GET', `${deployments}/d`)).body, { spec: { replicas: 5 }, metadata: { generation: 4 } });
  await api.request('DELETE', `${deployments}/d`);
}

async function lists(t: Test, api: ApiFixture): Promise<void> {
  for (let i = 0; i < 7; i++)
    await api.request('POST', configMaps, {
      body: configMap(`l${i}`, {}, { labels: { parity: i % 2 === 0 ? 'even' : 'odd' } }),
    });
  const all = await api.request('GET', configMaps);
  t.match(all.body, { kind: 'ConfigMapList', apiVersion: 'v1', metadata: { resourceVersion: String } });
  t.strictSame(names(all), ['l0', 'l1', 'l2', 'l3', 'l4', 'l5', 'l6']);
  t.equal(all.body.items?.[0]?.kind, undefined, 'items carry no kind');
  t.strictSame(names(await api.request('GET', `${configMaps}?labelSelector=parity%3Dodd`)), ['l1', 'l3', 'l5']);
  t.strictSame(names(await api.request('GET', `${configMaps}?labelSelector=parity+in+(odd),!x`)), ['l1', 'l3', 'l5']);
  t.strictSame(names(await api.request('GET', `${configMaps}?fieldSelector=metadata.name%3Dl4`)), ['l4']);

  const first = await api.request('GET', `${configMaps}?limit=3`);
  t.strictSame(names(first), ['l0', 'l1', 'l2']);
  t.equal(first.body.metadata['remainingItemCount'], 4);
  await api.request('DELETE', `${configMaps}/l4`);
  const next = await api.request('GET', `${configMaps}?limit=3&continue=${String(first.body.metadata['continue'])}`);
  t.strictSame(names(next), ['l3', 'l4', 'l5'], 'the next page is of the first page’s revision');
  t.equal(next.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  const last = await api.request('GET', `${configMaps}?limit=3&continue=${String(next.body.metadata['continue'])}`);
  t.strictSame(names(last), ['l6']);
  t.equal(last.body.metadata['continue'], undefined);

  const revision = String(all.body.metadata.resourceVersion);
  const exact = await api.request('GET', `${configMaps}?resourceVersion=${revision}&resourceVersionMatch=Exact`);
  t.strictSame(names(exact), names(all), 'the past is read from the store');
  t.equal(exact.body.metadata.resourceVersion, revision);
  const newer = await api.request('GET', `${configMaps}?resourceVersion=${revision}&resourceVersionMatch=NotOlderThan`);
  t.equal(newer.body.items?.length, 6);
  t.equal((await api.request('GET', `${configMaps}?resourceVersion=0`)).status, 200);

  const table = await api.request('GET', configMaps, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' },
  });
  t.match(table.body, { kind: 'Table', apiVersion: 'meta.k8s.io/v1', columnDefinitions: [{ name: 'Name' }] });
  const [row] = table.body['rows'] as { cells: unknown[]; object: Body }[];
  t.equal(row?.cells[0], 'l0');
  t.match(row?.object, { kind: 'PartialObjectMetadata', metadata: { name: 'l0' } });
  const partial = await api.request('GET', configMaps, {
    headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
  });
  t.equal(partial.body.kind, 'PartialObjectMetadataList');
  t.equal(partial.body.items?.length, 6);
  const yaml = await api.request('GET', `${configMaps}/l0`, { headers: { accept: 'application/yaml' } });
  t.match(yaml.text, /^kind: ConfigMap$/mu);
  t.equal((await api.request('DELETE', `${configMaps}?labelSelector=parity%3Dodd`)).status, 200);
  t.strictSame(names(await api.request('GET', configMaps)), ['l0', 'l2', 'l6']);
  await api.request('DELETE', configMaps);
}

async function watches(t: Test, api: ApiFixture): Promise<void> {
  const start = await api.request('GET', configMaps);
  const revision = String(start.body.metadata.resourceVersion);
  await api.request('POST', configMaps, { body: configMap('a', {}, { labels: { x: '1' } }) });
  await api.request('PUT', `${configMaps}/a`, { body: configMap('a', { k: 'v' }) });
  await api.request('DELETE', `${configMaps}/a`);
  const seen = await take(api.watch(`${configMaps}?watch=true&resourceVersion=${revision}`), 3);
  t.strictSame(
    seen.map(({ type, object }) => [type, object.kind, object.metadata.name]),
    [
      ['ADDED', 'ConfigMap', 'a'],
      ['MODIFIED', 'ConfigMap', 'a'],
      ['DELETED', 'ConfigMap', 'a'],
    ],
  );
  const revisions = seen.map(({ object }) => Number(object.metadata.resourceVersion));
  t.strictSame(
    revisions,
    revisions.toSorted((a, b) => a - b),
  );
  const selected = await take(api.watch(`${configMaps}?watch=true&resourceVersion=${revision}&labelSelector=x`), 2);
  t.strictSame(
    selected.map(({ type }) => type),
    ['ADDED', 'DELETED'],
  );

  const old = '/api/v1/watch/namespaces/default/configmaps';
  for (const path of [old, `${old}/a`])
    t.strictSame(
      (await take(api.watch(`${path}?resourceVersion=${revision}`), 3)).map(({ type }) => type),
      ['ADDED', 'MODIFIED', 'DELETED'],
      path,
    );
  await api.request('POST', configMaps, { body: configMap('b') });
  t.match(await api.request('GET', `${configMaps}/b?watch=true`), { status: 200, body: { kind: 'ConfigMap' } });
  const initial = await take(
    api.watch(
      `${configMaps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
    ),
    2,
  );
  t.match(initial[0], { type: 'ADDED', object: { metadata: { name: 'b' } } });
  t.match(initial[1], {
    type: 'BOOKMARK',
    object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
  });
  const ended = await take(api.watch(`${configMaps}?watch=true&timeoutSeconds=1&resourceVersion=0`), 10);
  t.equal(ended.length, 1, 'a watch ends after its timeout');
  const tooOld = await take(api.watch(`${configMaps}?watch=true&resourceVersion=1`), 2);
  // A store that is younger than the cache's window still has everything: then the watch simply begins.
  if (tooOld[0]?.type === 'ERROR') t.match(tooOld, [{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }]);
  const table = await take(
    api.watch(`${configMaps}?watch=true&resourceVersion=0`, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }),
    1,
  );
  t.match(table[0], { type: 'ADDED', object: { kind: 'Table', rows: [{ cells: ['b'] }] } });
  await api.request('DELETE', configMaps);
}

async function deletions(t: Test, api: ApiFixture): Promise<void> {
  await api.request('POST', pods, { body: pod('bound', { nodeName: 'n1' }) });
  const graceful = await api.request('DELETE', `${pods}/bound`);
  t.match(graceful, {
    status: 200,
    body: { kind: 'Pod', metadata: { deletionGracePeriodSeconds: 30, deletionTimestamp: String } },
  });
  t.equal((await api.request('GET', `${pods}/bound`)).status, 200, 'it waits for its kubelet');
  const shorter = await api.request('DELETE', `${pods}/bound`, { body: { gracePeriodSeconds: 5 } });
  t.equal(shorter.body.metadata['deletionGracePeriodSeconds'], 5);
  const longer = await api.request('DELETE', `${pods}/bound`, { body: { gracePeriodSeconds: 60 } });
  t.equal(longer.body.metadata['deletionGracePeriodSeconds'], 5, 'a deletion can only be hurried');
  const wrong = await api.request('DELETE', `${pods}/bound`, { body: { preconditions: { uid: 'other' } } });
  t.match(wrong, { status: 409, body: { message: /Precondition failed: UID in precondition: other/u } });
  t.equal((await api.request('DELETE', `${pods}/bound`, { body: { gracePeriodSeconds: 0 } })).status, 200);
  t.equal((await api.request('GET', `${pods}/bound`)).status, 404);

  await api.request('POST', pods, { body: pod('waiting') });
  await api.request('DELETE', `${pods}/waiting`);
  t.equal((await api.request('GET', `${pods}/waiting`)).status, 404, 'an unscheduled pod goes at once');

  await api.request('POST', configMaps, { body: configMap('f', {}, { finalizers: ['example.com/x'] }) });
  const pending = await api.request('DELETE', `${configMaps}/f`);
  t.match(pending.body, { kind: 'ConfigMap', metadata: { deletionTimestamp: String } });
  const added = await api.request('PATCH', `${configMaps}/f`, {
    type: 'application/merge-patch+json',
    body: { metadata: { finalizers: ['example.com/x', 'example.com/y'] } },
  });
  t.match(added, { status: 422, body: { message: /no new finalizers can be added/u } });
  const cleared = await api.request('PATCH', `${configMaps}/f`, {
    type: 'application/merge-patch+json',
    body: { metadata: { finalizers: null } },
  });
  t.equal(cleared.status, 200);
  t.equal((await api.request('GET', `${configMaps}/f`)).status, 404, 'the last finalizer lets it go');

  await api.request('POST', configMaps, { body: configMap('owner') });
  const foreground = await api.request('DELETE', `${configMaps}/owner`, { body: { propagationPolicy: 'Foreground' } });
  t.strictSame(foreground.body.metadata['finalizers'], ['foregroundDeletion']);
  await api.request('POST', configMaps, { body: configMap('orphaner') });
  const orphan = await api.request('DELETE', `${configMaps}/orphaner?propagationPolicy=Orphan`);
  t.strictSame(orphan.body.metadata['finalizers'], ['orphan']);
  for (const name of ['owner', 'orphaner'])
    await api.request('PATCH', `${configMaps}/${name}`, {
      type: 'application/json-patch+json',
      body: [{ op: 'remove', path: '/metadata/finalizers' }],
    });
  t.strictSame(names(await api.request('GET', configMaps)), []);
  await jobDeletions(t, api);
}

/** The pods of a Job outlive it unless the client says otherwise, as they always have in batch/v1. */
async function jobDeletions(t: Test, api: ApiFixture): Promise<void> {
  const jobs = '/apis/batch/v1/namespaces/default/jobs';
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } };
  const create = async (name: string, finalizers: string[] = []): Promise<void> => {
    const answer = await api.request('POST', jobs, { body: { metadata: { name, finalizers }, spec: { template } } });
    if (answer.status !== 201) throw new Error(answer.text);
  };
  const release = async (name: string): Promise<unknown> =>
    await api.request('PATCH', `${jobs}/${name}`, {
      type: 'application/merge-patch+json',
      body: { metadata: { finalizers: null } },
    });
  await create('plain');
  const plain = await api.request('DELETE', `${jobs}/plain`);
  t.match(plain, { status: 200, body: { kind: 'Job', metadata: { finalizers: ['orphan'] } } });
  await release('plain');

  await create('told');
  const told = await api.request('DELETE', `${jobs}/told`, { body: { propagationPolicy: 'Background' } });
  t.match(told, { status: 200, body: { kind: 'Status' } });

  await create('foreground', ['foregroundDeletion']);
  const foreground = await api.request('DELETE', `${jobs}/foreground`);
  t.strictSame(foreground.body.metadata['finalizers'], ['foregroundDeletion'], 'its finalizer overrides the default');
  await release('foreground');

  await create('listed');
  t.equal((await api.request('DELETE', jobs)).status, 200);
  const listed = await api.request('GET', `${jobs}/listed`);
  t.match(listed.body.metadata, { deletionTimestamp: String, finalizers: ['orphan'] });
  await release('listed');
  t.strictSame(names(await api.request('GET', jobs)), []);
}

async function bindings(t: Test, api: ApiFixture): Promise<void> {
  await api.request('POST', pods, { body: pod('p') });
  const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } };
  const answers = await Promise.all(
    Array.from({ length: 4 }, async () => api.request('POST', `${pods}/p/binding`, { body: binding })),
  );
  t.strictSame(
    answers.map((each) => each.status).sort((a, b) => a - b),
    [201, 409, 409, 409],
    'a pod is bound once',
  );
  t.match(answers.find((each) => each.status === 409)?.body.message, /pod p is already assigned to node "n1"/u);
  const { body } = await api.request('GET', `${pods}/p`);
  t.equal(body.spec?.['nodeName'], 'n1');
  t.match(body.status, { conditions: [{ type: 'PodScheduled', status: 'True' }] });
  t.strictSame(names(await api.request('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1')), ['p']);
  t.strictSame(names(await api.request('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn2')), []);
  await api.request('DELETE', `${pods}/p?gracePeriodSeconds=0`);
}

async function namespaces(t: Test, api: ApiFixture): Promise<void> {
  const created = await api.request('POST', '/api/v1/namespaces', {
    body: { kind: 'Namespace', metadata: { name: 'gone' } },
  });
  t.match(created.body, { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
  await api.request('POST', '/api/v1/namespaces/gone/configmaps', { body: configMap('x') });
  const deleted = await api.request('DELETE', '/api/v1/namespaces/gone');
  t.match(deleted.body, { status: { phase: 'Terminating' }, metadata: { deletionTimestamp: String } });
  const late = await eventually(
    async () => {
      const answer = await api.request('POST', '/api/v1/namespaces/gone/configmaps', { body: configMap('y') });
      if (answer.status !== 403) throw new Error(`still ${answer.status}`);
      return answer;
    },
    { deadlineMs: 60_000 },
  );
  t.match(late.body.message, /because it is being terminated/u);
  const finalized = await api.request('PUT', '/api/v1/namespaces/gone/finalize', {
    body: { kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'gone' }, spec: { finalizers: [] } },
  });
  t.equal(finalized.status, 200);
  t.equal((await api.request('GET', '/api/v1/namespaces/gone')).status, 404);
  const nowhere = await api.request('POST', '/api/v1/namespaces/nowhere/configmaps', { body: configMap('x') });
  t.match(nowhere, { status: 404, body: { message: 'namespaces "nowhere" not found' } });
}

const suites: Readonly<Record<string, (t: Test, api: ApiFixture) => Promise<void>>> = {
  'objects are created, read, replaced and deleted': writes,
  'patches that meet each other are all applied': concurrentWrites,
  'the three patch forms, status and scale change what they may': patches,
  'lists select, page, read the past and convert': lists,
  'watches begin, resume, select and end': watches,
  'deletion waits for grace periods and finalizers': deletions,
  'a pod is bound once': bindings,
  'a namespace terminates': namespaces,
};

for (const kind of ['etcd', 'kv-raft'] as const satisfies readonly StoreKind[])
  await t.test(`on ${kind}`, async (t) => {
    await using store = await startStore(kind);
    await using api = await ApiFixture.start(store);
    for (const [name, run] of Object.entries(suites))
      await t.test(name, async (t) => {
        await run(t, api);
      });
    await t.test('two servers on one store see each other’s writes at once', async (t) => {
      await using other = await ApiFixture.start(store);
      for (let i = 0; i < 10; i++) {
        const [from, to] = i % 2 === 0 ? [api, other] : [other, api];
        await from.request('POST', configMaps, { body: configMap(`s${i}`) });
        t.equal((await to.request('GET', `${configMaps}/s${i}`)).status, 200);
      }
      const first = await api.request('GET', `${configMaps}?limit=4`);
      const next = await other.request('GET', `${configMaps}?continue=${String(first.body.metadata['continue'])}`);
      t.equal(next.body.items?.length, 6, 'any server goes on with a limited list');
    });
  });
