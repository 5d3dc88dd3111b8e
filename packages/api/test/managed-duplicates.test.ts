/** Lists by key and sets that updates have left with several elements of one name, as upstream's table of duplicates has them. */
import t from 'tap';
import {
  applyConfiguration,
  isStatusError,
  trackUpdate,
  type UnstructuredObject,
  type Versioned,
} from '../src/index.ts';

const integer = { type: 'integer' };
const element = { type: 'object', properties: { name: { type: 'string' }, value1: integer, value2: integer } };
const byName = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] } as const;
const schema = {
  type: 'object',
  properties: {
    list: { type: 'array', ...byName, items: element },
    set: { type: 'array', 'x-kubernetes-list-type': 'set', items: integer },
    unrelated: integer,
  },
} as const;

interface Write {
  readonly by: string;
  readonly applies?: true;
  readonly force?: true;
  /** The paths that it conflicts with; nothing is written then. */
  readonly conflicts?: readonly string[];
  readonly fields: Readonly<Record<string, unknown>>;
}

function inOneVersion<T>(work: Versioned<T>): T {
  const step = work.next();
  if (step.done !== true) throw new Error('another version');
  return step.value;
}

function write(live: UnstructuredObject | undefined, { by, applies, force, fields }: Write): UnstructuredObject {
  const object: UnstructuredObject = {
    apiVersion: 'e/v1',
    kind: 'Custom',
    metadata: { name: 'x' },
    ...structuredClone(fields),
  };
  const owner = {
    manager: by,
    subresource: '',
    apiVersion: 'e/v1',
    modelOf: () => ({ model: 'Custom', schema }),
    resetFields: [],
    now: '2026-01-01T00:00:00Z',
  };
  if (applies === true) {
    const applied = inOneVersion(applyConfiguration(live, { ...owner, config: object, force: force === true }));
    return { ...applied, metadata: { ...applied.metadata, uid: 'u' } };
  }
  inOneVersion(trackUpdate(object, live, owner));
  return object;
}

function conflictsOf(live: UnstructuredObject | undefined, step: Write): string[] {
  try {
    write(live, step);
    return [];
  } catch (error) {
    if (!isStatusError(error)) throw error;
    return (error.status.details?.causes ?? []).map(({ field = '' }) => field);
  }
}

const a = (value1: number, more: object = {}): object => ({ name: 'a', value1, ...more });
const b = (value1: number): object => ({ name: 'b', value1 });
const ownedB = { '.': {}, 'f:name': {}, 'f:value1': {} };
const ownedA = ownedB;
const [keyA, keyB] = ['k:{"name":"a"}', 'k:{"name":"b"}'];
const duplicated = [a(1), a(2), b(3)];

const cases: Readonly<
  Record<
    string,
    { readonly writes: readonly Write[]; readonly fields?: object; readonly owned: Readonly<Record<string, object>> }
  >
> = {
  'a set with the same twice owns it once': {
    writes: [{ by: 'one', fields: { set: [1, 1, 3] } }],
    owned: { one: { 'f:set': { '.': {}, 'v:1': {}, 'v:3': {} } } },
  },
  'who adds the same again takes it': {
    writes: [
      { by: 'one', fields: { set: [1, 3] } },
      { by: 'two', fields: { set: [1, 1, 3] } },
    ],
    owned: { one: { 'f:set': { '.': {}, 'v:3': {} } }, two: { 'f:set': { 'v:1': {} } } },
  },
  'who takes one of two away takes the other over': {
    writes: [
      { by: 'one', fields: { set: [1, 1, 3] } },
      { by: 'two', fields: { set: [1, 3] } },
    ],
    owned: { one: { 'f:set': { '.': {}, 'v:3': {} } }, two: { 'f:set': { 'v:1': {} } } },
  },
  'applying one of two is a conflict, and makes them one': {
    writes: [
      { by: 'one', fields: { set: [1, 1, 3] } },
      { by: 'two', applies: true, conflicts: ['.set[=1]'], fields: { set: [1] } },
      { by: 'two', applies: true, force: true, fields: { set: [1] } },
    ],
    fields: { set: [1, 3] },
    owned: { one: { 'f:set': { '.': {}, 'v:3': {} } }, two: { 'f:set': { 'v:1': {} } } },
  },
  'applying another element leaves them': {
    writes: [
      { by: 'one', fields: { set: [1, 1, 3] } },
      { by: 'two', applies: true, fields: { set: [5] } },
    ],
    fields: { set: [1, 1, 3, 5] },
    owned: { one: { 'f:set': { '.': {}, 'v:1': {}, 'v:3': {} } }, two: { 'f:set': { 'v:5': {} } } },
  },
  'two of one key are owned as a whole': {
    writes: [{ by: 'one', fields: { list: duplicated } }],
    owned: { one: { 'f:list': { '.': {}, [keyA]: {}, [keyB]: ownedB } } },
  },
  'who changes one of two takes both': {
    writes: [
      { by: 'one', fields: { list: duplicated } },
      { by: 'two', fields: { list: [a(1), a(2, { value2: 3 }), b(3)] } },
    ],
    owned: { one: { 'f:list': { '.': {}, [keyB]: ownedB } }, two: { 'f:list': { [keyA]: {} } } },
  },
  'who adds another of one key takes both': {
    writes: [
      { by: 'one', fields: { list: [a(1), b(3)] } },
      { by: 'two', fields: { list: [a(1), { name: 'a', value2: 3 }, b(3)] } },
    ],
    owned: { one: { 'f:list': { '.': {}, [keyB]: ownedB } }, two: { 'f:list': { [keyA]: {} } } },
  },
  'who adds another key takes nothing': {
    writes: [
      { by: 'one', fields: { list: [a(1), a(2)] } },
      { by: 'two', fields: { list: duplicated } },
    ],
    owned: { one: { 'f:list': { '.': {}, [keyA]: {} } }, two: { 'f:list': { [keyB]: ownedB } } },
  },
  'applying something else leaves two of one key': {
    writes: [
      { by: 'one', fields: { list: duplicated } },
      { by: 'two', applies: true, fields: { unrelated: 5 } },
    ],
    fields: { list: duplicated, unrelated: 5 },
    owned: { one: { 'f:list': { '.': {}, [keyA]: {}, [keyB]: ownedB } }, two: { 'f:unrelated': {} } },
  },
  'applying the key is a conflict, even with the value of one of them': {
    writes: [
      { by: 'one', fields: { list: duplicated } },
      { by: 'two', applies: true, conflicts: ['.list[name="a"]'], fields: { list: [a(2)] } },
      { by: 'two', applies: true, force: true, fields: { list: [a(3)] } },
    ],
    fields: { list: [a(3), b(3)] },
    owned: { one: { 'f:list': { '.': {}, [keyB]: ownedB } }, two: { 'f:list': { [keyA]: ownedA } } },
  },
  'applying another key leaves two of one key': {
    writes: [
      { by: 'one', fields: { list: duplicated } },
      { by: 'two', applies: true, force: true, fields: { list: [b(4)] } },
    ],
    fields: { list: [a(1), a(2), b(4)] },
    owned: {
      one: { 'f:list': { '.': {}, [keyA]: {}, [keyB]: { '.': {}, 'f:name': {} } } },
      two: { 'f:list': { [keyB]: ownedB } },
    },
  },
  'what an update has made two of is not taken away by who applied it': {
    writes: [
      { by: 'one', applies: true, fields: { list: [a(1), b(3)] } },
      { by: 'two', fields: { list: duplicated } },
      { by: 'one', applies: true, fields: { list: [b(3)] } },
    ],
    fields: { list: duplicated },
    owned: { one: { 'f:list': { [keyB]: ownedB } }, two: { 'f:list': { [keyA]: {} } } },
  },
};

for (const [name, { writes, fields, owned }] of Object.entries(cases))
  await t.test(name, async (t) => {
    let object: UnstructuredObject | undefined;
    for (const step of writes) {
      t.strictSame(conflictsOf(object, step), step.conflicts ?? []);
      if (step.conflicts === undefined) object = write(object, step);
    }
    const { metadata, apiVersion: _apiVersion, kind: _kind, ...rest } = object ?? { metadata: {} };
    if (fields !== undefined) t.strictSame(rest, fields);
    const entries = (metadata.managedFields ?? []).map(({ manager, fieldsV1 }) => [manager, fieldsV1]);
    t.strictSame(Object.fromEntries(entries), owned);
  });
