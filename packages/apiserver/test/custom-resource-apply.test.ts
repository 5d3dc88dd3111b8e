/** Server-side apply of custom resources, whose schema says what is owned as a whole and what by its parts; in several versions. */
import t, { type Test } from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

const applyType = 'application/apply-patch+yaml';
const crews = '/apis/e.io/v1/namespaces/default/crews';
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

const string = { type: 'string' };
const specOf = (properties: object): object => ({
  type: 'object',
  properties: { spec: { type: 'object', properties }, status: { type: 'object', properties: { phase: string } } },
});
const fields = {
  ports: {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['port', 'protocol'],
    items: {
      type: 'object',
      required: ['port'],
      properties: { port: { type: 'integer' }, protocol: { ...string, default: 'TCP' }, name: string },
    },
  },
  tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: string },
  whole: { type: 'array', items: string },
  limits: { type: 'object', 'x-kubernetes-map-type': 'atomic', additionalProperties: string },
  labels: { type: 'object', additionalProperties: string },
  size: { 'x-kubernetes-int-or-string': true },
  free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  template: {
    type: 'object',
    'x-kubernetes-embedded-resource': true,
    'x-kubernetes-preserve-unknown-fields': true,
  },
};

const definitionOf = (plural: string, kind: string, versions: Readonly<Record<string, object>>): object => ({
  metadata: { name: `${plural}.e.io` },
  spec: {
    group: 'e.io',
    scope: 'Namespaced',
    names: { plural, kind },
    versions: Object.entries(versions).map(([name, openAPIV3Schema], i) => ({
      name,
      served: true,
      storage: i === 0,
      schema: { openAPIV3Schema },
      subresources: { status: {} },
    })),
  },
});

interface Entry {
  readonly manager: string;
  readonly apiVersion: string;
  readonly operation: string;
  readonly fieldsV1: { readonly 'f:spec'?: object };
}
const entriesOf = (answer: Answer): readonly Entry[] => (answer.body.metadata['managedFields'] ?? []) as Entry[];
const ownedBy = (answer: Answer, manager: string): unknown =>
  entriesOf(answer).find((each) => each.manager === manager)?.fieldsV1['f:spec'];

await t.test('custom resources', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);
  const apply = async (path: string, body: unknown, query = 'fieldManager=m'): Promise<Answer> =>
    await api.request('PATCH', `${path}?${query}`, { body, type: applyType });
  const crew = (name: string, spec: object): object => ({
    apiVersion: 'e.io/v1',
    kind: 'Crew',
    metadata: { name },
    spec,
  });
  const applyCrew = async (name: string, spec: object, query?: string): Promise<Answer> =>
    await apply(`${crews}/${name}`, crew(name, spec), query);
  await api.request('POST', definitions, { body: definitionOf('crews', 'Crew', { v1: specOf(fields) }) });

  const suites: Readonly<Record<string, (t: Test) => Promise<void>>> = {
    'are owned as their schema says': async (t) => {
      const spec = {
        ports: [{ port: 80, name: 'a' }],
        tags: ['x'],
        whole: ['x'],
        limits: { a: '1' },
        labels: { a: '1' },
        size: '5%',
        free: { a: { b: 1 }, list: [1] },
        template: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { labels: { a: '1' } }, data: { a: '1' } },
      };
      const created = await applyCrew('all', spec);
      t.match(created, { status: 201, body: { spec: { ports: [{ port: 80, name: 'a', protocol: 'TCP' }] } } });
      t.strictSame(ownedBy(created, 'm'), {
        'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } },
        'f:tags': { 'v:"x"': {} },
        'f:whole': {},
        'f:limits': {},
        'f:labels': { 'f:a': {} },
        'f:size': {},
        'f:free': { 'f:a': { '.': {}, 'f:b': {} }, 'f:list': {} },
        'f:template': {
          'f:apiVersion': {},
          'f:kind': {},
          'f:metadata': { 'f:labels': { 'f:a': {} } },
          'f:data': { '.': {}, 'f:a': {} },
        },
      });
      t.strictSame((await applyCrew('all', spec)).body, created.body, 'applying twice is applying once');
    },
    'lists are merged by key, and what is not applied any more goes': async (t) => {
      await applyCrew('list', { ports: [{ port: 1, name: 'a' }, { port: 2 }], tags: ['a', 'b'] });
      const both = await applyCrew(
        'list',
        { ports: [{ port: 3 }, { port: 1, protocol: 'UDP' }], tags: ['b', 'c'] },
        'fieldManager=n',
      );
      const shown = ({ body }: Answer): unknown => {
        const { ports, tags } = body['spec'] as { ports: { port: number; protocol: string }[]; tags: string[] };
        return [ports.map(({ port, protocol }) => `${port}/${protocol}`).toSorted(), tags.toSorted()];
      };
      t.strictSame(shown(both), [
        ['1/TCP', '1/UDP', '2/TCP', '3/TCP'],
        ['a', 'b', 'c'],
      ]);
      const fewer = await applyCrew('list', { ports: [{ port: 1 }] });
      t.strictSame(
        shown(fewer),
        [
          ['1/TCP', '1/UDP', '3/TCP'],
          ['b', 'c'],
        ],
        'what another applies stays',
      );
      const spec = fewer.body['spec'] as { ports: { port: number; protocol: string; name?: string }[] };
      t.equal(spec.ports.find((each) => each.port === 1 && each.protocol === 'TCP')?.name, undefined);
    },
    'conflicts are of parts or of the whole': async (t) => {
      await applyCrew('fight', { limits: { a: '1' }, whole: ['a'], ports: [{ port: 1, name: 'a' }] });
      const refused = await applyCrew(
        'fight',
        { limits: { b: '1' }, whole: ['b'], ports: [{ port: 1, name: 'b' }] },
        'fieldManager=n',
      );
      const { details } = refused.body as unknown as { details: { causes: { field: string }[] } };
      t.equal(refused.status, 409);
      t.strictSame(details.causes.map(({ field }) => field).toSorted(), [
        '.spec.limits',
        '.spec.ports[port=1,protocol="TCP"].name',
        '.spec.whole',
      ]);
      const forced = await applyCrew('fight', { limits: { b: '1' } }, 'fieldManager=n&force=true');
      t.match(forced, { status: 200, body: { spec: { limits: { b: '1' } } } });
      t.notOk((forced.body['spec'] as { limits: object }).limits.hasOwnProperty('a'));
      t.notMatch(ownedBy(forced, 'm'), { 'f:limits': {} });
    },
    'what the schema does not declare is refused': async (t) => {
      for (const [spec, problem] of [
        [{ more: 1 }, '.spec.more: field not declared in schema'],
        [{ tags: 'a' }, '.spec.tags: expected list, got "a"'],
        [{ ports: [null] }, '.spec.ports: element 0: associative list with keys may not have a null element'],
        [{ tags: ['a', 'a'] }, '.spec.tags: duplicate entries for key [="a"]'],
      ] as const) {
        const answer = await applyCrew('bad', spec);
        t.equal(answer.status, 500);
        t.ok(
          String(answer.body.message).startsWith(
            `failed to create typed patch object (/bad; e.io/v1, Kind=Crew): ${problem}`,
          ),
          String(answer.body.message),
        );
      }
      t.equal((await api.request('GET', `${crews}/bad`)).status, 404);
    },
    'updates own containers, the status has entries of its own': async (t) => {
      const created = await api.request('POST', `${crews}?fieldManager=u`, { body: crew('made', { tags: ['a'] }) });
      t.strictSame(ownedBy(created, 'u'), { '.': {}, 'f:tags': { '.': {}, 'v:"a"': {} } });
      const body = { ...crew('made', {}), status: { phase: 'Up' } };
      const status = await apply(`${crews}/made/status`, body, 'fieldManager=s');
      t.match(status, { status: 200, body: { status: { phase: 'Up' }, spec: { tags: ['a'] } } });
      t.match(
        entriesOf(status).find((each) => each.manager === 's'),
        { operation: 'Apply', subresource: 'status', fieldsV1: { 'f:status': { 'f:phase': {} } } },
      );
    },
    'entries keep their version': async (t) => {
      const spec = specOf({ a: string, b: string, c: string });
      await api.request('POST', definitions, { body: definitionOf('ships', 'Ship', { v1: spec, v2: spec }) });
      const applyShip = async (version: string, own: object, query?: string): Promise<Answer> =>
        await apply(
          `/apis/e.io/${version}/namespaces/default/ships/s`,
          { apiVersion: `e.io/${version}`, kind: 'Ship', metadata: { name: 's' }, spec: own },
          query,
        );
      await applyShip('v1', { a: '1', b: '1' });
      const other = await applyShip('v2', { c: '1' }, 'fieldManager=n');
      t.strictSame(
        entriesOf(other).map(({ manager, apiVersion }) => [manager, apiVersion]),
        [
          ['m', 'e.io/v1'],
          ['n', 'e.io/v2'],
        ],
      );
      t.match(await applyShip('v2', { a: '2' }, 'fieldManager=n'), {
        status: 409,
        body: { message: 'Apply failed with 1 conflict: conflict with "m": .spec.a' },
      });
      const moved = await applyShip('v2', { a: '1' });
      t.strictSame(moved.body['spec'], { a: '1', c: '1' }, 'what was applied in another version goes');
      t.equal(entriesOf(moved).find((each) => each.manager === 'm')?.apiVersion, 'e.io/v2');
      const updated = await api.request('PATCH', '/apis/e.io/v1/namespaces/default/ships/s?fieldManager=u', {
        body: { spec: { a: '3' } },
        type: 'application/merge-patch+json',
      });
      t.equal(ownedBy(updated, 'm'), undefined, 'an update in one version takes from an entry of another');
      t.match(ownedBy(updated, 'u'), { 'f:a': {} });
      t.match(ownedBy(updated, 'n'), { 'f:c': {} });
    },
    'built-in kinds in two versions': async (t) => {
      const at = (version: string): string =>
        `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers/h`;
      const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' };
      const hpa = (version: string, spec: object): object => ({
        apiVersion: `autoscaling/${version}`,
        kind: 'HorizontalPodAutoscaler',
        metadata: { name: 'h' },
        spec,
      });
      const first = await apply(
        at('v1'),
        hpa('v1', { scaleTargetRef: target, maxReplicas: 3, targetCPUUtilizationPercentage: 50 }),
      );
      t.equal(first.status, 201);
      t.match(entriesOf(first), [
        { apiVersion: 'autoscaling/v1', fieldsV1: { 'f:spec': { 'f:targetCPUUtilizationPercentage': {} } } },
      ]);
      t.match(await apply(at('v2'), hpa('v2', { maxReplicas: 4 }), 'fieldManager=n'), {
        status: 409,
        body: { message: 'Apply failed with 1 conflict: conflict with "m": .spec.maxReplicas' },
      });
      const second = await api.request('PATCH', `${at('v1')}?fieldManager=u`, {
        body: { spec: { targetCPUUtilizationPercentage: 60 } },
        type: 'application/merge-patch+json',
      });
      t.match(
        entriesOf(second).find((each) => each.manager === 'u'),
        { apiVersion: 'autoscaling/v1', fieldsV1: { 'f:spec': { 'f:targetCPUUtilizationPercentage': {} } } },
      );
      t.notMatch(ownedBy(second, 'm'), { 'f:targetCPUUtilizationPercentage': {} });
    },
    'schemas change from parts to a whole and back': async (t) => {
      await api.request('POST', definitions, { body: definitionOf('fleets', 'Fleet', { v1: specOf({}) }) });
      let changes = 0;
      /** Makes the schema another, and waits until it is the one that counts. */
      const change = async (properties: object): Promise<void> => {
        const marker = `change${++changes}`;
        const body = definitionOf('fleets', 'Fleet', { v1: specOf({ ...properties, [marker]: string }) });
        await api.request('PATCH', `${definitions}/fleets.e.io`, { body, type: 'application/merge-patch+json' });
        await eventually(async () => (await applyFleet('probe', 'p', { [marker]: 'x' }, 'dryRun=All')).status < 300);
      };
      const applyFleet = async (name: string, manager: string, spec: object, more = ''): Promise<Answer> =>
        await apply(
          `/apis/e.io/v1/namespaces/default/fleets/${name}`,
          { apiVersion: 'e.io/v1', kind: 'Fleet', metadata: { name }, spec },
          `fieldManager=${manager}&${more}`,
        );
      const refused = async (name: string, manager: string, spec: object, problem: string): Promise<void> => {
        const answer = await applyFleet(name, manager, spec);
        t.match(answer, { status: 409, body: { message: `Apply failed with 1 conflict: conflict with ${problem}` } });
      };
      const struct = { type: 'object', properties: { numeric: { type: 'integer' }, string } };
      const granular = { struct, map: { type: 'object', additionalProperties: string }, list: fields.ports };
      const atomic = {
        struct: { ...struct, 'x-kubernetes-map-type': 'atomic' },
        map: { ...granular.map, 'x-kubernetes-map-type': 'atomic' },
        list: { ...fields.ports, 'x-kubernetes-list-type': 'atomic', 'x-kubernetes-list-map-keys': null },
      };

      await change(granular);
      await applyFleet('to-atomic', 'one', { struct: { numeric: 1 } });
      await applyFleet('taken', 'one', { struct: { numeric: 1 } });
      await applyFleet('taken', 'two', { struct: { numeric: 2 } }, 'force=true');
      await applyFleet('more', 'one', { map: { a: '1' }, list: [{ port: 1 }] });
      await applyFleet('updated', 'one', { map: { a: '1' } });
      await change(atomic);
      await refused('to-atomic', 'two', { struct: { string: 's' } }, '"one": .spec.struct');
      const whole = await applyFleet('to-atomic', 'two', { struct: { string: 's' } }, 'force=true');
      t.strictSame(whole.body['spec'], { struct: { string: 's' } });
      t.strictSame([ownedBy(whole, 'one'), ownedBy(whole, 'two')], [undefined, { 'f:struct': {} }]);
      await refused('taken', 'three', { struct: { string: 's' } }, '"two": .spec.struct');
      await refused('more', 'two', { map: { b: '1' } }, '"one": .spec.map');
      await refused('more', 'two', { list: [{ port: 2 }] }, '"one": .spec.list');
      const updated = await api.request('PATCH', '/apis/e.io/v1/namespaces/default/fleets/updated?fieldManager=u', {
        body: { spec: { struct: { numeric: 1 } } },
        type: 'application/merge-patch+json',
      });
      t.strictSame(ownedBy(updated, 'one'), { 'f:map': {} }, 'an update knows the new schema, too');
      t.strictSame(ownedBy(updated, 'u'), { 'f:struct': {} });

      await applyFleet('to-granular', 'one', { struct: { numeric: 1, string: 'a' } });
      await refused('to-granular', 'two', { struct: { string: 'b' } }, '"one": .spec.struct');
      await change(granular);
      const parts = await applyFleet('to-granular', 'two', { struct: { string: 'b' } });
      t.match(parts, { status: 200, body: { spec: { struct: { numeric: 1, string: 'b' } } } });
      t.strictSame(
        [ownedBy(parts, 'one'), ownedBy(parts, 'two')],
        [{ 'f:struct': {} }, { 'f:struct': { 'f:string': {} } }],
        'who owned the whole owns nothing that is in it',
      );
      const again = await applyFleet('to-granular', 'one', { struct: { numeric: 1 } });
      t.strictSame(ownedBy(again, 'one'), { 'f:struct': { 'f:numeric': {} } });
      t.match(again.body['spec'], { struct: { numeric: 1, string: 'b' } });
    },
    'keys of lists become more': async (t) => {
      const items = (id: object): object => ({
        type: 'object',
        required: ['name'],
        properties: { name: string, id, value: { type: 'integer' } },
      });
      const list = (keys: readonly string[], id: object): object => ({
        list: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': keys,
          items: items(id),
        },
      });
      const integer = { type: 'integer' };
      await api.request('POST', definitions, {
        body: definitionOf('ports', 'Port', { v1: specOf(list(['name'], integer)) }),
      });
      const applyPort = async (name: string, elements: readonly object[], more = ''): Promise<Answer> =>
        await apply(
          `/apis/e.io/v1/namespaces/default/ports/${name}`,
          { apiVersion: 'e.io/v1', kind: 'Port', metadata: { name }, spec: { list: elements } },
          `fieldManager=one&${more}`,
        );
      await eventually(async () => (await applyPort('probe', [], 'dryRun=All')).status < 300);
      await applyPort('defaulted', [
        { name: 'a', value: 1 },
        { name: 'b', value: 1 },
      ]);
      await applyPort('promoted', [{ name: 'a', id: 1, value: 1 }]);
      await api.request('PATCH', `${definitions}/ports.e.io`, {
        body: definitionOf('ports', 'Port', { v1: specOf(list(['name', 'id'], { ...integer, default: 1 })) }),
        type: 'application/merge-patch+json',
      });
      const two = [
        { name: 'a', id: 1 },
        { name: 'a', id: 2 },
      ];
      await eventually(async () => (await applyPort('probe', two, 'dryRun=All')).status < 300);
      const owned = (answer: Answer): string[] =>
        Object.keys((ownedBy(answer, 'one') as { 'f:list': object })['f:list']).toSorted();
      const defaulted = await applyPort('defaulted', [
        { name: 'a', value: 2 },
        { name: 'b', id: 1, value: 2 },
        { name: 'b', id: 2, value: 3 },
      ]);
      t.strictSame(defaulted.body['spec'], {
        list: [
          { name: 'a', id: 1, value: 2 },
          { name: 'b', id: 1, value: 2 },
          { name: 'b', id: 2, value: 3 },
        ],
      });
      t.strictSame(owned(defaulted), ['k:{"id":1,"name":"a"}', 'k:{"id":1,"name":"b"}', 'k:{"id":2,"name":"b"}']);
      const promoted = await applyPort('promoted', [
        { name: 'a', id: 1, value: 1 },
        { name: 'a', id: 2, value: 2 },
      ]);
      t.match(promoted.body['spec'], {
        list: [
          { id: 1, value: 1 },
          { id: 2, value: 2 },
        ],
      });
      t.strictSame(owned(promoted), ['k:{"id":1,"name":"a"}', 'k:{"id":2,"name":"a"}']);
    },
    'kubectl takes over what it applied on the client': async (t) => {
      const path = '/api/v1/namespaces/default/configmaps/csa';
      const base = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'csa' } };
      const key = 'kubectl.kubernetes.io/last-applied-configuration';
      const annotations = { [key]: JSON.stringify({ ...base, data: { a: '1', b: '1' } }) };
      const body = { ...base, metadata: { name: 'csa', annotations }, data: { a: '1', b: '2' } };
      await api.request('POST', '/api/v1/namespaces/default/configmaps?fieldManager=kubectl-client-side-apply', {
        body,
      });
      t.match(await apply(path, { ...base, data: { a: '2' } }, 'fieldManager=other'), { status: 409 });
      t.match(await apply(path, { ...base, data: { b: '3' } }, 'fieldManager=kubectl'), { status: 409 });
      const taken = await apply(path, { ...base, data: { a: '2' } }, 'fieldManager=kubectl');
      t.match(taken, { status: 200, body: { data: { a: '2', b: '2' } } });
      t.equal(
        JSON.stringify(taken.body.metadata['annotations'] ?? {}).includes(String.raw`\"a\":\"2\"`),
        true,
        'the annotation follows',
      );
    },
  };
  for (const [name, run] of Object.entries(suites)) await t.test(name, run);
});
