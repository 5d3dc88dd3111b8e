import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  createMergePatch,
  equalJson,
  JSON_PATCH_OPERATIONS_MAX,
  type JsonObject,
  StatusError,
} from '@naru/api';
import fc from 'fast-check';
import t from 'tap';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError) return `${error.code} ${error.reason}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

const spec = (fields: JsonObject): JsonObject => ({ spec: fields });

/** JSON objects without nulls, which a merge patch cannot make. */
const json = fc.object({
  maxDepth: 3,
  key: fc.constantFrom('a', 'b', 'c', '__proto__', 'd'),
  values: [fc.integer(), fc.constantFrom('', 'x'), fc.boolean()],
});
const document = json.map((value) => JSON.parse(JSON.stringify(value)) as JsonObject);

await t.test('merge patch: the examples of RFC 7386', (t) => {
  const table: readonly (readonly [JsonObject, JsonObject, JsonObject])[] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [original, patch, result] of table) {
    const before = JSON.stringify(original);
    t.strictSame(applyMergePatch(original, patch), result);
    t.equal(JSON.stringify(original), before, 'the document is not changed');
  }
  t.equal(
    refusal(() => applyMergePatch({}, [])),
    '400 BadRequest: error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}',
  );
  t.end();
});

await t.test('merge patch: a diff makes what it was made from, and applying twice is applying once', (t) => {
  fc.assert(
    fc.property(document, document, (original, modified) => {
      const patch = createMergePatch(original, modified);
      return equalJson(applyMergePatch(original, patch), modified);
    }),
  );
  fc.assert(
    fc.property(document, document, (original, patch) => {
      const once = applyMergePatch(original, patch);
      return equalJson(applyMergePatch(once, patch), once);
    }),
  );
  t.strictSame(createMergePatch({ a: 1, b: { c: 1, d: 2 }, e: [1] }, { b: { c: 1, d: 3 }, e: [1] }), {
    a: null,
    b: { d: 3 },
  });
  t.end();
});

await t.test('JSON patch', (t) => {
  const original = { a: { b: [1, 2] }, c: 'd' };
  t.strictSame(
    applyJsonPatch(original, [
      { op: 'test', path: '/c', value: 'd' },
      { op: 'add', path: '/a/b/1', value: 9 },
      { op: 'add', path: '/a/b/-', value: 3 },
      { op: 'move', from: '/c', path: '/e' },
      { op: 'copy', from: '/a/b', path: '/f' },
      { op: 'remove', path: '/a' },
      { op: 'replace', path: '/e', value: { 'x/y': 1 } },
      { op: 'replace', path: '/e/x~1y', value: 2 },
    ]),
    { e: { 'x/y': 2 }, f: [1, 9, 2, 3] },
  );
  t.strictSame(original, { a: { b: [1, 2] }, c: 'd' }, 'the document is not changed');
  const notApplicable = '422 Invalid: the server rejected our request due to an error in our request';
  for (const operation of [
    { op: 'test', path: '/c', value: 'x' },
    { op: 'remove', path: '/nope' },
    { op: 'replace', path: '/nope/x', value: 1 },
    { op: 'add', path: '/nope/x', value: 1 },
    { op: 'add', path: '/a/b/7', value: 1 },
    { op: 'add', path: '/x' },
    { op: 'sing', path: '/a' },
    { op: 'copy', from: '/nope', path: '/a' },
    { op: 'add', path: 'a', value: 1 },
    { op: 'replace', path: '', value: [] },
    { op: 'add', path: '/__proto__/x', value: 1 },
    {},
  ])
    t.equal(
      refusal(() => applyJsonPatch(original, [operation])),
      notApplicable,
      JSON.stringify(operation),
    );
  t.equal(
    refusal(() => applyJsonPatch(original, { op: 'add' })),
    '400 BadRequest: json: cannot unmarshal object into Go value of type jsonpatch.Patch',
  );
  t.equal(
    refusal(() => applyJsonPatch(original, ['x'])),
    '400 BadRequest: json: cannot unmarshal string into Go value of type jsonpatch.Operation',
  );
  const many = Array.from({ length: JSON_PATCH_OPERATIONS_MAX + 1 }, () => ({ op: 'test', path: '/c', value: 'd' }));
  t.equal(
    refusal(() => applyJsonPatch(original, many)),
    '413 RequestEntityTooLarge: The allowed maximum operations in a JSON patch is 10000, got 10001',
  );
  t.end();
});

await t.test('patches that would grow without bound or take for ever are bounded', (t) => {
  const bomb = Array.from({ length: 40 }, (_, i) => ({ op: 'copy', from: '', path: `/c${i}` }));
  t.match(
    refusal(() => applyJsonPatch({ a: 'x'.repeat(1000) }, bomb)),
    /^422 Invalid/,
  );
  const many = Array.from({ length: 20_000 }, (_, i) => ({ name: `n${i}`, image: 'x' }));
  const patch = spec({ containers: many.toReversed(), '$setElementOrder/containers': many.toReversed() });
  const patched = applyStrategicMergePatch(spec({ containers: many }), patch, 'V1Pod');
  t.strictSame((patched['spec'] as { containers: object[] }).containers[0], { name: 'n19999', image: 'x' });
  t.end();
});

const named = (...names: readonly string[]): { name: string }[] => names.map((name) => ({ name }));

await t.test('strategic merge patch merges lists by their keys and replaces the others', (t) => {
  const table: readonly (readonly [string, JsonObject, JsonObject, JsonObject])[] = [
    [
      'a container is merged by name',
      spec({ containers: [{ name: 'a', image: '1', args: ['x'] }, { name: 'b' }] }),
      spec({ containers: [{ name: 'a', image: '2', args: ['y'] }] }),
      spec({ containers: [{ name: 'a', image: '2', args: ['y'] }, { name: 'b' }] }),
    ],
    [
      'new ones go before those that the patch does not name',
      spec({ containers: named('a', 'b') }),
      spec({ containers: [{ name: 'c', env: [{ name: 'X', value: null }], tty: null }] }),
      spec({ containers: [{ name: 'c', env: [{ name: 'X' }] }, { name: 'a' }, { name: 'b' }] }),
    ],
    [
      '$patch: delete takes one out',
      spec({ containers: named('a', 'b') }),
      spec({ containers: [{ name: 'a', $patch: 'delete' }] }),
      spec({ containers: named('b') }),
    ],
    [
      '$patch: replace replaces the list',
      spec({ containers: named('a', 'b') }),
      spec({ containers: [{ name: 'c' }, { $patch: 'replace' }] }),
      spec({ containers: named('c') }),
    ],
    [
      '$patch: replace replaces a map',
      spec({ securityContext: { runAsUser: 1, fsGroup: 2 } }),
      spec({ securityContext: { $patch: 'replace', runAsUser: 3 } }),
      spec({ securityContext: { runAsUser: 3 } }),
    ],
    [
      '$patch: delete empties a map',
      spec({ securityContext: { runAsUser: 1 } }),
      spec({ securityContext: { $patch: 'delete' } }),
      spec({ securityContext: {} }),
    ],
    [
      '$setElementOrder sorts',
      spec({ containers: named('a', 'b', 'c') }),
      spec({ '$setElementOrder/containers': named('c', 'a', 'd'), containers: named('d') }),
      spec({ containers: named('b', 'c', 'a', 'd') }),
    ],
    [
      '$setElementOrder without a change',
      spec({ containers: named('a', 'b') }),
      spec({ '$setElementOrder/containers': named('b', 'a') }),
      spec({ containers: named('b', 'a') }),
    ],
    [
      'scalars are a set',
      { metadata: { finalizers: ['a', 'b'] } },
      { metadata: { finalizers: ['b', 'c'] } },
      { metadata: { finalizers: ['a', 'b', 'c'] } },
    ],
    [
      '$deleteFromPrimitiveList',
      { metadata: { finalizers: ['a', 'b'] } },
      { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } },
      { metadata: { finalizers: ['b'] } },
    ],
    [
      'lists without a strategy are replaced',
      spec({ tolerations: [{ key: 'a' }], containers: [{ name: 'a', command: ['x', 'y'] }] }),
      spec({ tolerations: [{ key: 'b' }], containers: [{ name: 'a', command: ['z'] }] }),
      spec({ tolerations: [{ key: 'b' }], containers: [{ name: 'a', command: ['z'] }] }),
    ],
    [
      '$retainKeys drops the other kinds of a volume',
      spec({ volumes: [{ name: 'v', emptyDir: {} }] }),
      spec({ volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] }),
      spec({ volumes: [{ name: 'v', configMap: { name: 'c' } }] }),
    ],
    [
      'maps of strings are merged, null deletes',
      { metadata: { labels: { a: '1', b: '2' } } },
      { metadata: { labels: { a: null, c: '3' } } },
      { metadata: { labels: { b: '2', c: '3' } } },
    ],
    [
      'what the original lacks comes without directives',
      {},
      spec({
        '$setElementOrder/containers': named('a'),
        containers: named('a'),
        volumes: [{ name: 'x', $patch: 'delete' }],
      }),
      spec({ containers: named('a'), volumes: [] }),
    ],
    [
      'conditions are merged by type',
      { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
      {
        status: {
          conditions: [
            { type: 'Ready', status: 'True' },
            { type: 'X', status: 'True' },
          ],
        },
      },
      {
        status: {
          conditions: [
            { type: 'Ready', status: 'True' },
            { type: 'X', status: 'True' },
          ],
        },
      },
    ],
  ];
  for (const [name, original, patch, result] of table) {
    const before = JSON.stringify([original, patch]);
    t.strictSame(applyStrategicMergePatch(original, patch, 'V1Pod'), result, name);
    t.equal(JSON.stringify([original, patch]), before, 'neither is changed');
  }
  t.strictSame(
    applyStrategicMergePatch(
      spec({ strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } }),
      spec({ strategy: { $retainKeys: ['type'], type: 'Recreate' } }),
      'V1Deployment',
    ),
    spec({ strategy: { type: 'Recreate' } }),
  );
  t.strictSame(
    applyStrategicMergePatch(
      spec({ ports: [{ port: 80, protocol: 'TCP', nodePort: 30000 }, { port: 81 }] }),
      spec({ ports: [{ port: 80, targetPort: 8080 }] }),
      'V1Service',
    ),
    spec({ ports: [{ port: 80, protocol: 'TCP', nodePort: 30000, targetPort: 8080 }, { port: 81 }] }),
  );
  t.end();
});

await t.test('strategic merge patch is refused in upstream’s words', (t) => {
  const original = spec({ containers: named('a') });
  const table: readonly (readonly [unknown, string])[] = [
    [[], '400 BadRequest: invalid JSON document'],
    [
      spec({ containers: [{ image: 'x', args: ['a', 'b'] }] }),
      '500 : map: map[args:[a b] image:x] does not contain declared merge key: name',
    ],
    [
      spec({ containers: [{ $patch: 'delete' }] }),
      '500 : map: map[$patch:delete] does not contain declared merge key: name',
    ],
    [spec({ $patch: 'shred' }), '500 : unknown patch type: shred in map: map[$patch:shred]'],
    [spec({ $retainKeys: 'x' }), '400 BadRequest: invalid patch format of retainKeys'],
    [spec({ $retainKeys: ['a'], nodeName: 'n' }), '400 BadRequest: invalid patch format of retainKeys'],
    [spec({ '$setElementOrder/containers': 1 }), '400 BadRequest: invalid patch format of setElementOrder list'],
    [
      spec({ '$setElementOrder/containers': named('a'), containers: named('b') }),
      `500 : The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n`,
    ],
    [
      spec({ '$setElementOrder/nope': [] }),
      '500 : unable to find api field in struct PodSpec for the json field "nope"',
    ],
  ];
  for (const [patch, message] of table)
    t.equal(
      refusal(() => applyStrategicMergePatch(original, patch, 'V1Pod')),
      message,
    );
  t.end();
});

await t.test('strategic merge patch: applying twice is applying once; without lists it is a merge patch', (t) => {
  const containers = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c'), image: fc.constantFrom('1', '2') }),
    { selector: (each) => each.name, minLength: 1 },
  );
  fc.assert(
    fc.property(containers, containers, (before, change) => {
      const patch = spec({ containers: change, '$setElementOrder/containers': change.map(({ name }) => ({ name })) });
      const once = applyStrategicMergePatch(spec({ containers: before }), patch, 'V1Pod');
      const list = (once['spec'] as { containers: { name: string }[] }).containers;
      const all = new Set([...before, ...change].map((each) => each.name));
      return (
        equalJson(applyStrategicMergePatch(once, patch, 'V1Pod'), once) &&
        list.length === all.size &&
        equalJson(
          list.filter((each) => change.some((other) => other.name === each.name)),
          change,
        )
      );
    }),
  );
  const labels = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2', null));
  fc.assert(
    fc.property(labels, labels, (before, change) => {
      const original = { metadata: { labels: before } };
      const patch = { metadata: { labels: change } };
      return equalJson(applyStrategicMergePatch(original, patch, 'V1Pod'), applyMergePatch(original, patch));
    }),
  );
  t.end();
});
