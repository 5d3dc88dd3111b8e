/** Server-side apply and managedFields, in upstream's cases and words. */
import t from 'tap';
import fc from 'fast-check';
import {
  applyConfiguration,
  cloneJson,
  isStatusError,
  schemaOf,
  trackUpdate,
  type Application,
  type UnstructuredObject,
  type Versioned,
} from '../src/index.ts';

const now = '2026-01-01T00:00:00Z';
const later = '2026-01-01T00:01:00Z';
const models: Readonly<Record<string, string>> = {
  ConfigMap: 'V1ConfigMap',
  Deployment: 'V1Deployment',
  Pod: 'V1Pod',
  ReplicationController: 'V1ReplicationController',
  Service: 'V1Service',
  ServiceAccount: 'V1ServiceAccount',
};
const ownerOf = (
  object: UnstructuredObject,
  manager: string,
  subresource = '',
): Omit<Application, 'config' | 'force'> => ({
  manager,
  subresource,
  apiVersion: object.apiVersion,
  modelOf: () => ({ model: models[object.kind] ?? object.kind }),
  resetFields: object.kind === 'ConfigMap' ? [] : [subresource === 'status' ? 'spec' : 'status'],
  now,
});
type Fields = Record<string, unknown>;
const object = (kind: string, fields: Fields, metadata: object = {}): UnstructuredObject => ({
  apiVersion: kind === 'Deployment' ? 'apps/v1' : 'v1',
  kind,
  metadata: { name: 'x', namespace: 'default', ...metadata },
  ...fields,
});
const configMap = (data: Fields, metadata: object = {}): UnstructuredObject => object('ConfigMap', { data }, metadata);
const deployment = (replicas: number | undefined, containers: object[]): UnstructuredObject =>
  object('Deployment', {
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: { a: 'b' } },
      template: { spec: { containers } },
    },
  });
const container = (name: string, image: string, more: object = {}): object => ({ name, image, ...more });

/** What comes of work that needs no other version. */
function inOneVersion<T>(work: Versioned<T>): T {
  const step = work.next();
  if (step.done !== true) throw new Error('another version');
  return step.value;
}

/** Applies to an object as the server stores it: with a uid. */
function apply(
  live: UnstructuredObject | undefined,
  config: UnstructuredObject,
  manager: string,
  options: Partial<Application> = {},
): UnstructuredObject {
  const applied = inOneVersion(
    applyConfiguration(live, { ...ownerOf(config, manager), config, force: false, ...options }),
  );
  applied.metadata.uid ??= 'u';
  return applied;
}
function update(
  old: UnstructuredObject | undefined,
  next: UnstructuredObject,
  manager: string,
  subresource = '',
): UnstructuredObject {
  const copy = cloneJson(next);
  inOneVersion(trackUpdate(copy, old, ownerOf(copy, manager, subresource)));
  copy.metadata.uid ??= 'u';
  return copy;
}
const fieldsOf = (owned: UnstructuredObject, manager: string, operation = 'Apply'): unknown =>
  owned.metadata.managedFields?.find((each) => each.manager === manager && each.operation === operation)?.fieldsV1;
function refusal(work: () => unknown): { code: number; reason: string; message: string; causes: unknown } {
  try {
    work();
  } catch (error) {
    if (!isStatusError(error)) throw error;
    return { code: error.code, reason: error.reason, message: error.message, causes: error.status.details?.causes };
  }
  throw new Error('not refused');
}

await t.test('sets', async (t) => {
  const applied = apply(
    undefined,
    object(
      'Deployment',
      {
        spec: {
          replicas: 1,
          selector: { matchLabels: { a: 'b' } },
          template: {
            spec: {
              containers: [
                container('c', 'i', { args: ['x'], ports: [{ containerPort: 80 }], env: [{ name: 'A', value: '1' }] }),
              ],
            },
          },
        },
        status: { replicas: 3 },
      },
      { labels: { l: '1' }, finalizers: ['a/b'] },
    ),
    'm',
  );
  t.strictSame(applied.metadata.managedFields, [
    {
      manager: 'm',
      operation: 'Apply',
      apiVersion: 'apps/v1',
      time: now,
      fieldsType: 'FieldsV1',
      fieldsV1: {
        'f:metadata': { 'f:labels': { 'f:l': {} }, 'f:finalizers': { 'v:"a/b"': {} } },
        'f:spec': {
          'f:replicas': {},
          'f:selector': {},
          'f:template': {
            'f:spec': {
              'f:containers': {
                'k:{"name":"c"}': {
                  '.': {},
                  'f:name': {},
                  'f:image': {},
                  'f:args': {},
                  'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
                  'f:env': { 'k:{"name":"A"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
                },
              },
            },
          },
        },
      },
    },
  ]);
  const created = update(undefined, configMap({ a: '1' }, { labels: { l: '1' } }), 'kubectl-create');
  t.strictSame(fieldsOf(created, 'kubectl-create', 'Update'), {
    'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } },
    'f:data': { '.': {}, 'f:a': {} },
  });
  const pod = update(
    undefined,
    object('Pod', { spec: { containers: [container('c', 'i')], nodeSelector: { a: 'b' } } }),
    'k',
  );
  t.strictSame(
    fieldsOf(pod, 'k', 'Update'),
    {
      'f:spec': {
        'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:name': {}, 'f:image': {} } },
        'f:nodeSelector': {},
      },
    },
    'an atomic map is one field',
  );
});

await t.test('updates take fields over and give up what they remove', async (t) => {
  const first = update(undefined, configMap({ a: '1', b: '1' }), 'one');
  const second = update(first, { ...first, data: { a: '2', c: '1' } }, 'two');
  t.equal(fieldsOf(second, 'one', 'Update') !== undefined, true);
  t.strictSame(fieldsOf(second, 'one', 'Update'), { 'f:data': {} });
  t.strictSame(fieldsOf(second, 'two', 'Update'), { 'f:data': { 'f:a': {}, 'f:c': {} } });
  const same = cloneJson(second);
  inOneVersion(trackUpdate(same, second, { ...ownerOf(second, 'three'), now: later }));
  t.strictSame(same, second, 'who changes nothing owns nothing, and no time changes');
  const withoutFields = cloneJson(second);
  delete withoutFields.metadata.managedFields;
  inOneVersion(trackUpdate(withoutFields, second, { ...ownerOf(second, 'three'), now: later }));
  t.strictSame(withoutFields, second, 'who does not know of managedFields does not lose them');
  const reset = update(second, { ...second, metadata: { ...second.metadata, managedFields: [{}] } }, 'one');
  t.equal(reset.metadata.managedFields, undefined);
  t.equal(update(reset, { ...reset, data: { z: '1' } }, 'one').metadata.managedFields, undefined, 'and stays so');
  const rewritten = update(
    second,
    {
      ...second,
      metadata: {
        ...second.metadata,
        managedFields: (second.metadata.managedFields ?? []).map((each) => ({
          ...each,
          manager: `new-${each.manager}`,
        })),
      },
    },
    'one',
  );
  t.strictSame(
    rewritten.metadata.managedFields?.map((each) => each.manager),
    ['new-one', 'new-two'],
  );
});

await t.test('a status belongs to an entry of the subresource', async (t) => {
  const created = update(undefined, object('Pod', { spec: { containers: [container('c', 'i')] } }), 'kubectl');
  const status = update(created, { ...created, status: { phase: 'Running' } }, 'kubelet', 'status');
  const [, entry] = status.metadata.managedFields ?? [];
  t.match(entry, {
    manager: 'kubelet',
    operation: 'Update',
    subresource: 'status',
    fieldsV1: { 'f:status': { 'f:phase': {} } },
  });
  t.strictSame(fieldsOf(status, 'kubectl', 'Update'), fieldsOf(created, 'kubectl', 'Update'));
});

await t.test('conflicts', async (t) => {
  const live = update(undefined, deployment(1, [container('c', 'i')]), 'kubectl');
  t.match(
    refusal(() => apply(live, deployment(2, [container('c', 'i')]), 'm')),
    {
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas',
      causes: [
        { reason: 'FieldManagerConflict', message: 'conflict with "kubectl" using apps/v1', field: '.spec.replicas' },
      ],
    },
  );
  t.equal(
    refusal(() => apply(live, deployment(2, [container('c', 'j')]), 'm')).message,
    'Apply failed with 2 conflicts: conflicts with "kubectl" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="c"].image',
  );
  const applied = apply(live, deployment(1, [container('c', 'i')]), 'm');
  t.equal(
    refusal(() => apply(applied, deployment(2, [container('c', 'i')]), 'n')).message.split('\n').length,
    4,
    'two owners',
  );
  const forced = apply(applied, deployment(2, [container('c', 'i')]), 'n', { force: true });
  t.match(forced, { spec: { replicas: 2 } });
  t.notMatch(fieldsOf(forced, 'm'), { 'f:spec': { 'f:replicas': {} } });
  t.notMatch(fieldsOf(forced, 'kubectl', 'Update'), { 'f:spec': { 'f:replicas': {} } });
  t.match(fieldsOf(forced, 'n'), { 'f:spec': { 'f:replicas': {} } });
  const untracked = object('ConfigMap', { data: { a: '1' } }, { uid: 'u' });
  t.match(
    refusal(() => apply(untracked, configMap({ a: '2' }), 'm')).message,
    /conflict with "before-first-apply" using v1: .data.a$/u,
  );
});

await t.test('what is no longer applied goes, unless another owns it', async (t) => {
  const one = apply(undefined, configMap({ a: '1', b: '1', c: '1' }, { labels: { l: '1' } }), 'm');
  const shared = apply(one, configMap({ b: '1' }), 'n');
  const fewer = apply(shared, configMap({ c: '1' }), 'm');
  t.strictSame(fewer['data'], { b: '1', c: '1' });
  t.equal(fewer.metadata.labels, undefined);
  t.match(fewer.metadata, { name: 'x', namespace: 'default', uid: 'u' });
  t.strictSame(fieldsOf(fewer, 'm'), { 'f:data': { 'f:c': {} } });
  const none = apply(fewer, object('ConfigMap', {}), 'm');
  t.strictSame(none['data'], { b: '1' });
  t.strictSame(
    none.metadata.managedFields?.map((each) => each.manager),
    ['n'],
    'a manager of nothing is gone',
  );
  const twice = apply(fewer, configMap({ c: '1' }), 'm', { now: later });
  t.strictSame(twice, fewer, 'the time is of the last change');
});

await t.test('lists by key', async (t) => {
  const live = apply(
    undefined,
    deployment(1, [container('a', 'i', { ports: [{ containerPort: 80, protocol: 'TCP' }] }), container('b', 'i')]),
    'm',
  );
  const other = apply(live, deployment(undefined, [container('s', 'sidecar')]), 'n');
  const containers = (each: UnstructuredObject): unknown =>
    (each as unknown as { spec: { template: { spec: { containers: { name: string }[] } } } }).spec.template.spec
      .containers;
  t.match(containers(other), [{ name: 'a' }, { name: 'b' }, { name: 's' }]);
  const without = apply(other, deployment(1, [container('b', 'j')]), 'm');
  t.strictSame(containers(without), [container('b', 'j'), container('s', 'sidecar')]);
  const reordered = apply(
    other,
    deployment(1, [container('b', 'i'), container('a', 'i', { ports: [{ containerPort: 80 }] })]),
    'm',
  );
  t.strictSame(
    containers(reordered),
    [container('b', 'i'), container('a', 'i', { ports: [{ containerPort: 80 }] }), container('s', 'sidecar')],
    'the key of a port has a default; what is no longer said goes',
  );
  t.equal(
    refusal(() => apply(undefined, deployment(1, [container('a', 'i'), container('a', 'j')]), 'm')).message,
    'failed to create typed patch object (default/x; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="a"]',
  );
  t.match(
    refusal(() => apply(undefined, object('ServiceAccount', { secrets: [{ namespace: 'n' }] }), 'm')).message,
    /element 0: .* omits all key fields \["name"\]/u,
  );
  t.match(
    fieldsOf(apply(undefined, deployment(1, [{ image: 'i' }]), 'm'), 'm'),
    { 'f:spec': { 'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":""}': { 'f:image': {} } } } } } },
    'a key that is required is empty where it lacks: validation refuses it',
  );
  const element = { type: 'object', properties: { name: { type: 'string' }, id: { type: 'integer' } } };
  const list = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name', 'id'] } as const;
  const schema = { type: 'object', properties: { list: { type: 'array', ...list, items: element } } };
  const applyCustom = (elements: object[]): unknown => {
    const config = { ...object('Custom', { list: elements }), apiVersion: 'e/v1' };
    const application = { ...ownerOf(config, 'm'), modelOf: () => ({ model: 'Custom', schema }), config, force: false };
    return fieldsOf(inOneVersion(applyConfiguration(undefined, application)), 'm');
  };
  t.strictSame(
    applyCustom([{ name: 'a' }, { name: 'a', id: 1 }]),
    {
      'f:list': {
        'k:{"name":"a"}': { '.': {}, 'f:name': {} },
        'k:{"id":1,"name":"a"}': { '.': {}, 'f:name': {}, 'f:id': {} },
      },
    },
    'a key without a default may lack where others are there',
  );
  t.match(refusal(() => applyCustom([{}])).message, /omits all key fields \["name" "id"\]/u);
});

await t.test('what Go always writes is there before anybody sets it', async (t) => {
  const owned = (spec: Fields, kind = 'Deployment'): unknown =>
    (fieldsOf(update(undefined, object(kind, { spec }), 'm'), 'm', 'Update') as Fields)['f:spec'];
  const labels = { metadata: { labels: { a: 'b' } } };
  t.strictSame(owned({ template: labels }), { 'f:template': { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } } } });
  t.strictSame(
    owned({ template: labels }, 'ReplicationController'),
    { 'f:template': { '.': {}, 'f:metadata': { '.': {}, 'f:labels': { '.': {}, 'f:a': {} } } } },
    'a template that is a pointer is new with all that is in it',
  );
  const limits = { resources: { limits: { cpu: '1' } } };
  const first = update(undefined, object('Pod', { spec: { containers: [container('c', 'i', limits)] } }), 'm');
  const without = update(first, object('Pod', { spec: { containers: [container('c', 'i')] } }), 'n');
  t.strictSame(
    fieldsOf(without, 'm', 'Update'),
    {
      'f:spec': {
        'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:image': {}, 'f:name': {}, 'f:resources': {} } },
      },
    },
    'what is taken out of a struct leaves it',
  );
});

await t.test('what a write cannot set is not owned by it', async (t) => {
  const write = (resetFields: readonly string[], subresource: string): unknown => {
    const copy = object(
      'Deployment',
      { spec: { replicas: 1 }, status: { replicas: 1 } },
      { labels: { a: 'b' }, finalizers: ['a/b'] },
    );
    inOneVersion(trackUpdate(copy, undefined, { ...ownerOf(copy, 'm', subresource), resetFields }));
    return fieldsOf(copy, 'm', 'Update');
  };
  t.strictSame(write(['spec', 'metadata.labels'], 'status'), {
    'f:metadata': { 'f:finalizers': { '.': {}, 'v:"a/b"': {} } },
    'f:status': { 'f:replicas': {} },
  });
  t.strictSame(write(['spec', 'metadata'], 'status'), { 'f:status': { 'f:replicas': {} } });
});

await t.test('entries that a client sends', async (t) => {
  const live = update(undefined, configMap({ a: '1' }), 'one');
  const entry = {
    manager: 'given',
    operation: 'Apply',
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:data': { 'f:a': {} } },
  };
  const managersAfter = (managedFields: object[]): string[] | undefined => {
    const written = update(live, configMap({ a: '1', b: '1' }, { managedFields }), 'two');
    return written.metadata.managedFields?.map(({ manager }) => manager ?? '');
  };
  t.strictSame(managersAfter([entry]), ['given', 'two']);
  for (const wrong of [{ operation: 'Guess' }, { apiVersion: '' }, { fieldsType: 'FieldsV9' }, { fieldsV1: { a: {} } }])
    t.strictSame(managersAfter([{ ...entry, ...wrong }]), ['one', 'two'], `${JSON.stringify(wrong)} is as if not sent`);
  t.equal(managersAfter([]), undefined, 'an empty list takes all away');
  t.equal(managersAfter([{ ...entry, apiVersion: 'a/b/c' }]), undefined, 'and so does a version that is none');
});

await t.test('kinds without a schema: maps by field, lists as a whole', async (t) => {
  t.equal(schemaOf('Custom'), undefined);
  const custom = {
    ...object('Custom', { spec: { list: [1, 2], map: { a: 1 } } }, { finalizers: ['a/b'] }),
    apiVersion: 'e/v1',
  };
  t.strictSame(fieldsOf(apply(undefined, custom, 'm'), 'm'), {
    'f:metadata': { 'f:finalizers': { 'v:"a/b"': {} } },
    'f:spec': { 'f:list': {}, 'f:map': { '.': {}, 'f:a': {} } },
  });
});

const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const values = fc.dictionary(keys, fc.constantFrom('1', '2'));
const containersOf = fc
  .uniqueArray(fc.record({ name: keys, image: fc.constantFrom('i', 'j') }), { selector: (each) => each.name })
  .map((containers) => object('Pod', { spec: { containers: containers.map((each) => ({ ...each })) } }));

await t.test('laws', async (t) => {
  const configs = fc.oneof(
    values.map((data) => configMap(data)),
    containersOf,
  );
  fc.assert(
    fc.property(configs, configs, fc.boolean(), (first, second, force) => {
      fc.pre(first.kind === second.kind);
      const live = apply(undefined, first, 'a');
      const once = apply(live, second, 'b', { force: true });
      const twice = apply(once, second, 'b', { force, now: later });
      t.strictSame(twice, once);
    }),
  );
  t.pass('applying twice is applying once');
  fc.assert(
    fc.property(values, values, (first, second) => {
      const disjoint = Object.fromEntries(Object.entries(second).map(([key, value]) => [`${key}2`, value]));
      const live = apply(apply(undefined, configMap(first), 'a'), configMap(disjoint), 'b');
      t.strictSame(live['data'], { ...first, ...disjoint });
      t.strictSame(apply(live, configMap({}), 'a')['data'] ?? {}, disjoint, 'each takes away its own');
    }),
  );
  t.pass('managers of different fields never conflict');
  fc.assert(
    fc.property(containersOf, containersOf, (first, second) => {
      const live = apply(apply(undefined, first, 'a'), second, 'a', { force: true });
      t.strictSame(live['spec'] ?? { containers: [] }, second['spec']);
    }),
  );
  t.pass('one manager gets what it applies');
});
