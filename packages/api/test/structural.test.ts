/** Custom resources' schemas: pruning, defaulting, validation; JSON paths. */
import t from 'tap';
import {
  applySchemaDefaults,
  cloneJson,
  decodeCustomObject,
  findJsonPath,
  formatFieldError,
  parseJsonPath,
  pruneObject,
  validateValue,
  type JsonSchema,
} from '../src/index.ts';

const object = (properties: Record<string, JsonSchema>, rest: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...rest,
});
const preserve = { 'x-kubernetes-preserve-unknown-fields': true } as const;

await t.test('pruning drops what the schema does not name', async (t) => {
  const rows: [string, JsonSchema, Record<string, unknown>, Record<string, unknown>, string[]][] = [
    [
      'type meta and metadata stay',
      object({}),
      { apiVersion: 'a', kind: 'b', metadata: { x: 1 } },
      { apiVersion: 'a', kind: 'b', metadata: { x: 1 } },
      [],
    ],
    ['unknown fields go', object({ a: { type: 'string' } }), { a: 'x', b: 1 }, { a: 'x' }, ['b']],
    [
      'also in lists',
      object({ l: { type: 'array', items: object({ a: {} }) } }),
      { l: [{ a: 1 }, { b: 2 }] },
      { l: [{ a: 1 }, {}] },
      ['l[1].b'],
    ],
    [
      'maps keep their keys',
      object({ m: { type: 'object', additionalProperties: object({ a: {} }) } }),
      { m: { k: { a: 1, b: 2 } } },
      { m: { k: { a: 1 } } },
      ['m.k.b'],
    ],
    [
      'preserved fields stay',
      object({ p: { type: 'object', ...preserve } }),
      { p: { any: { thing: 1 } } },
      { p: { any: { thing: 1 } } },
      [],
    ],
    [
      'but known ones below are pruned',
      object({ p: object({ known: object({ a: {} }) }, preserve) }),
      { p: { known: { b: 1 }, x: { b: 1 } } },
      { p: { known: {}, x: { b: 1 } } },
      ['p.known.b'],
    ],
    [
      'embedded resources have metadata',
      object({ e: object({}, { 'x-kubernetes-embedded-resource': true }) }),
      { e: { kind: 'K', apiVersion: 'v1', metadata: { name: 'x' }, spec: {} } },
      { e: { kind: 'K', apiVersion: 'v1', metadata: { name: 'x' } } },
      ['e.spec'],
    ],
    [
      'names of Object.prototype are no fields',
      object({}),
      { constructor: 1, toString: 2 },
      {},
      ['constructor', 'toString'],
    ],
  ];
  for (const [name, schema, given, wanted, unknown] of rows) {
    const value = cloneJson(given);
    t.strictSame(pruneObject(value, schema), unknown, name);
    t.strictSame(value, wanted, name);
  }
});

await t.test('defaulting', async (t) => {
  const rows: [string, JsonSchema, unknown, unknown][] = [
    ['absent', object({ a: { type: 'string', default: 'x' } }), {}, { a: 'x' }],
    ['there', object({ a: { type: 'string', default: 'x' } }), { a: '' }, { a: '' }],
    ['null that is not allowed', object({ a: { type: 'string', default: 'x' } }), { a: null }, { a: 'x' }],
    ['null that is allowed', object({ a: { type: 'string', nullable: true, default: 'x' } }), { a: null }, { a: null }],
    ['null without default goes', object({ a: { type: 'string' } }), { a: null }, {}],
    ['below a default', object({ o: object({ a: { default: 1 } }, { default: {} }) }), {}, { o: { a: 1 } }],
    ['not below what is absent', object({ o: object({ a: { default: 1 } }) }), {}, {}],
    [
      'in lists',
      object({ l: { type: 'array', items: object({ a: { default: 1 } }) } }),
      { l: [{}, { a: 2 }] },
      { l: [{ a: 1 }, { a: 2 }] },
    ],
    ['in maps', { type: 'object', additionalProperties: object({ a: { default: 1 } }) }, { k: {} }, { k: { a: 1 } }],
  ];
  for (const [name, schema, given, wanted] of rows) {
    const value = cloneJson(given);
    applySchemaDefaults(value, schema);
    t.strictSame(value, wanted, name);
  }
});

await t.test('validation in the words of upstream', async (t) => {
  const rows: [JsonSchema, unknown, string[]][] = [
    [{ type: 'string' }, 1, ['f: Invalid value: "integer": f in body must be of type string: "integer"']],
    [{ type: 'integer' }, 1.5, ['f: Invalid value: "number": f in body must be of type integer: "number"']],
    [{ type: 'number' }, 1, []],
    [{ type: 'string' }, null, ['f: Invalid value: "null": f in body must be of type string: "null"']],
    [{ type: 'string', nullable: true }, null, []],
    [{ 'x-kubernetes-int-or-string': true }, '50%', []],
    [
      { 'x-kubernetes-int-or-string': true },
      true,
      ['f: Invalid value: "boolean": f in body must be of type integer,string: "boolean"'],
    ],
    [{ type: 'string', enum: ['a', 'b'] }, 'c', ['f: Unsupported value: "c": supported values: "a", "b"']],
    [{ type: 'integer', maximum: 3 }, 4, ['f: Invalid value: 4: f in body should be less than or equal to 3']],
    [
      { type: 'integer', maximum: 3, exclusiveMaximum: true },
      3,
      ['f: Invalid value: 3: f in body should be less than 3'],
    ],
    [{ type: 'integer', minimum: 3 }, 2, ['f: Invalid value: 2: f in body should be greater than or equal to 3']],
    [{ type: 'number', multipleOf: 0.1 }, 0.3, []],
    [{ type: 'integer', multipleOf: 2 }, 3, ['f: Invalid value: 3: f in body should be a multiple of 2']],
    [{ type: 'string', maxLength: 2 }, 'abc', ['f: Too long: may not be more than 2 bytes']],
    [{ type: 'string', minLength: 2 }, 'a', ['f: Invalid value: "a": f in body should be at least 2 chars long']],
    [{ type: 'string', pattern: '^a+$' }, 'b', [`f: Invalid value: "b": f in body should match '^a+$'`]],
    [{ type: 'string', pattern: '(?i)^(?P<x>A)\\z' }, 'a', []],
    [{ type: 'string', pattern: 'no (pattern' }, 'a', []],
    // Hopeless for whoever tries one way after the other.
    [
      { type: 'string', pattern: '^(a+)+$' },
      `${'a'.repeat(40)}c`,
      [`f: Invalid value: "${'a'.repeat(40)}c": f in body should match '^(a+)+$'`],
    ],
    [
      { type: 'string', format: 'ipv4' },
      '1.2.3',
      ['f: Invalid value: "1.2.3": f in body must be of type ipv4: "1.2.3"'],
    ],
    [{ type: 'string', format: 'date-time' }, '2024-01-01T00:00:00Z', []],
    [{ type: 'string', format: 'unheard-of' }, 'x', []],
    [
      { type: 'array', items: { type: 'string' } },
      ['a', 1],
      ['f[1]: Invalid value: "integer": f[1] in body must be of type string: "integer"'],
    ],
    [{ type: 'array', maxItems: 1 }, [1, 2], ['f: Too many: 2: must have at most 1 items']],
    [{ type: 'array', minItems: 1 }, [], ['f: Invalid value: 0: f in body should have at least 1 items']],
    [
      { type: 'array', uniqueItems: true },
      [{ a: 1 }, { a: 1 }],
      [`f: Invalid value: [{"a":1},{"a":1}]: f in body shouldn't contain duplicates`],
    ],
    [{ type: 'object', required: ['a'] }, {}, ['f.a: Required value']],
    [
      { type: 'object', additionalProperties: { type: 'string' } },
      { k: 1 },
      ['f.k: Invalid value: "integer": f.k in body must be of type string: "integer"'],
    ],
    [
      { oneOf: [{ required: ['a'] }, { required: ['b'] }] },
      { a: 1, b: 1 },
      ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [{ anyOf: [{ required: ['a'] }, { required: ['b'] }] }, { b: 1 }, []],
    [{ not: { required: ['a'] } }, { a: 1 }, ['<nil>: Invalid value: "": "f" must not validate the schema (not)']],
    [
      { allOf: [{ minimum: 1 }, { maximum: 2 }] },
      3,
      [
        '<nil>: Invalid value: "": "f" must validate all the schemas (allOf)',
        'f: Invalid value: 3: f in body should be less than or equal to 2',
      ],
    ],
  ];
  for (const [schema, value, wanted] of rows)
    t.strictSame(validateValue(value, schema, 'f').map(formatFieldError), wanted, JSON.stringify([schema, value]));
});

await t.test('decoding checks metadata, names unknown fields and refuses them if told to', async (t) => {
  const gvk = { group: 'example.com', version: 'v1', kind: 'Widget' };
  const given = (): Record<string, unknown> => ({ metadata: { name: 'x', nmae: 'y' }, spec: {}, bogus: 1 });
  const schema = object({ spec: object({ a: { default: 1 } }) });
  const value = given();
  const warnings = decodeCustomObject(value, schema, { gvk, fieldValidation: 'Warn' });
  t.strictSame(warnings, ['unknown field "metadata.nmae"', 'unknown field "bogus"']);
  t.strictSame(value, { metadata: { name: 'x' }, spec: { a: 1 } });
  t.throws(() => decodeCustomObject(given(), schema, { gvk, fieldValidation: 'Strict' }), /strict decoding error/u);
  t.throws(() => decodeCustomObject({ metadata: { labels: { a: 1 } } }, schema, { gvk, fieldValidation: 'Ignore' }), {
    message: /cannot be handled as a Widget: json: cannot unmarshal number/u,
  });
});

await t.test('JSON paths', async (t) => {
  const root = {
    spec: {
      list: [
        { name: 'a', n: 1 },
        { name: 'b', n: 2 },
      ],
      'dotted.key': 1,
    },
    status: {
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'Other', status: 'False' },
      ],
    },
  };
  const rows: [string, unknown[]][] = [
    ['.spec.list[0].name', ['a']],
    ['.spec.list[-1].name', ['b']],
    ['.spec.list[*].n', [1, 2]],
    ['.spec.dotted\\.key', [1]],
    [".spec['dotted.key']", [1]],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    ['.spec.list[?(@.n>1)].name', ['b']],
    ['.missing.path', []],
    ['.constructor', []],
  ];
  for (const [path, wanted] of rows) t.strictSame(findJsonPath(root, parseJsonPath(path)), wanted, path);
  t.throws(() => parseJsonPath('.a[b'), /unexpected/u);
});
