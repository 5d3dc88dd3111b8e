import { formatFieldError, listUniquenessErrors, type JsonSchema } from '@naru/api';
import t from 'tap';
import { ResourceCheck, AuthorizerValue } from '../src/cel/authorizer-functions.ts';
import { celEnvironment } from '../src/cel/cel-environment.ts';
import { CelError, compileCel } from '../src/cel/cel-program.ts';
import { fromCel, toCel } from '../src/cel/cel-values.ts';
import { withoutMessages } from '../src/cel/message-literals.ts';
import { schemaRuleErrors } from '../src/cel/schema-rule-errors.ts';
import { compileSchemaRules } from '../src/cel/schema-rules.ts';

const environment = celEnvironment(['self', 'authorizer']);
const self = { replicas: 3, ratio: 0.5, name: 'web', tags: ['a', 'b'], nested: { on: true }, none: null };
const authorizer = new AuthorizerValue(
  {
    authorize: ({ verb, resource, path }) => ({
      decision: (verb === 'get' && resource === 'pods') || path === '/healthz' ? 'allow' : 'no-opinion',
      reason: 'because',
    }),
  },
  { name: 'alice', groups: [] },
);
const evaluate = (expression: string): unknown =>
  fromCel(compileCel(environment, expression).evaluate({ self: toCel(self), authorizer }));

void t.test('values come in and go out as JSON', (t) => {
  t.same(evaluate('self'), self);
  t.equal(evaluate('self.replicas + 1'), 4);
  t.equal(evaluate('self.ratio * 2.0'), 1);
  t.equal(evaluate('self.none == null'), true);
  t.equal(evaluate('has(self.missing)'), false);
  t.equal(evaluate('self.?missing.orValue("x")'), 'x');
  t.ok(new ResourceCheck(authorizer, {}));
  t.end();
});

void t.test('regular expressions are RE2: no pattern takes more than linear time', (t) => {
  const startMs = performance.now();
  for (const call of ['matches(p)', 'find(p) != ""', 'findAll(p).size() > 0'])
    t.equal(
      compileCel(
        celEnvironment(['s', 'p']),
        `[s].exists(x, x.${call}) || (true ? [s] : []).map(x, x.${call})[0]`,
      ).evaluate({
        s: `${'a'.repeat(2000)}!`,
        p: '^(a+)+$',
      }),
      false,
    );
  // Backtracking would take longer than there is time.
  t.ok(performance.now() - startMs < 30_000);
  t.equal(evaluate('"ABC".matches("(?i)b") && !"abc".matches("^b")'), true);
  t.equal(evaluate('"a-b".matches("^[a-z](-[a-z])*$") && self.name.matches(r"^\\w+\\z")'), true);
  t.throws(() => evaluate('"x".matches("(?=x)")'), CelError, 'RE2 looks at nothing but what it takes');
  t.throws(() => evaluate('"x".matches("[")'), CelError);
  t.end();
});

void t.test("Kubernetes' functions", (t) => {
  const table: readonly (readonly [string, unknown])[] = [
    ['[1, 2, 2].isSorted() && !["b", "a"].isSorted()', true],
    ['[1, 2, 3].sum() == 6 && [].sum() == 0 && [1.5, 1.5].sum() == 3.0', true],
    ['[2, 3, 1].min() == 1 && ["a", "c"].max() == "c"', true],
    ['[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(9) == -1', true],
    ['sets.contains([1, 2], [2]) && sets.intersects([1], [1, 3]) && sets.equivalent([1, 2], [2, 1, 1])', true],
    ['"abc 123".find("[0-9]+")', '123'],
    ['"a1 b2 c3".findAll("[0-9]", 2)', ['1', '2']],
    ['"%s: %d of %.1f%% %x".format(["a", 1, 2.25, 255])', 'a: 1 of 2.3% ff'],
    ['"%s".format([[1, "b", {"k": true}]])', '[1, b, {k: true}]'],
    ['"a,b,c".replace(",", "", 1)', 'ab,c'],
    ['"abc".reverse() + "abc".charAt(1)', 'cbab'],
    ['quantity("1.5Gi").isGreaterThan(quantity("1G")) && quantity("1k") == quantity("1000")', true],
    ['quantity("2").add(quantity("500m")).asApproximateFloat()', 2.5],
    ['quantity("3").sub(1).asInteger()', 2],
    ['isQuantity("1Zi")', false],
    ['ip("::1").isLoopback() && ip("10.0.0.1").isGlobalUnicast() && ip("10.0.0.1").family() == 4', true],
    ['ip.isCanonical("::1") && !ip.isCanonical("0::1") && !isIP("1.2.3")', true],
    ['cidr("10.0.0.0/8").containsIP("10.9.9.9") && !cidr("10.0.0.0/8").containsIP(ip("11.0.0.1"))', true],
    ['cidr("10.1.2.3/8").masked().ip() == ip("10.0.0.0") && cidr("fd00::/8").prefixLength() == 8', true],
    ['cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !isCIDR("10.0.0.0/33")', true],
    ['url("https://h.example:8443/a%20b?x=1&x=2").getHost()', 'h.example:8443'],
    ['url("https://h/?x=1&x=2").getQuery()', { x: ['1', '2'] }],
    ['isURL("/path") && !isURL("path")', true],
    ['format.dns1123Label().validate("ok").hasValue()', false],
    ['format.uuid().validate("no").value()', ['does not match the UUID format']],
    ['authorizer.group("").resource("pods").namespace("x").check("get").allowed()', true],
    ['authorizer.group("").resource("pods").check("list").allowed()', false],
    ['authorizer.path("/healthz").check("list").reason()', 'because'],
    ['jsonpatch.escapeKey("a/b~c")', 'a~1b~0c'],
  ];
  for (const [expression, wanted] of table) t.same(evaluate(expression), wanted, expression);
  t.end();
});

void t.test('what is wrong with an expression is said', (t) => {
  t.throws(() => evaluate('self.missing'), { name: 'CelError', message: 'no such key: missing' });
  t.throws(() => evaluate('1 +'), CelError);
  t.throws(() => evaluate('unknown'), CelError);
  t.throws(() => compileCel(environment, '1 + 1', 'bool'), { message: 'must evaluate to bool' });
  t.throws(() => evaluate('quantity("x")'), CelError);
  t.throws(() => evaluate('[].max()'), { message: 'max called on empty list' });
  t.end();
});

void t.test('messages become maps', (t) => {
  t.equal(
    withoutMessages(
      'Object{spec: Object.spec{replicas: has(self.x) ? 1 : 2, names: [a, {"b": c}]}, "lit: Object{": 1}',
    ),
    '{"spec": {"replicas": has(self.x) ? 1 : 2, "names": [a, {"b": c}]}, "lit: Object{": 1}',
  );
  t.equal(
    withoutMessages('[JSONPatch{op: "add", path: "/a", value: Object.a{b: [f(x, y)]}}]'),
    '[{"op": "add", "path": "/a", "value": {"b": [f(x, y)]}}]',
  );
  t.equal(withoutMessages('object.Object.x == {"a": 1}'), 'object.Object.x == {"a": 1}');
  t.end();
});

const widget: JsonSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      'x-kubernetes-validations': [
        { rule: 'self.min <= self.max', message: 'min must not exceed max', fieldPath: '.min' },
        { rule: 'self.max >= oldSelf.max', messageExpression: '"max was %d".format([oldSelf.max])' },
        { rule: '!oldSelf.hasValue() || true', optionalOldSelf: true },
      ],
      properties: {
        min: { type: 'integer' },
        max: { type: 'integer' },
        ratio: { type: 'number', 'x-kubernetes-validations': [{ rule: 'self < 1.0' }] },
        'foo-bar': { type: 'string' },
        name: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'immutable' }] },
        ports: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            'x-kubernetes-validations': [{ rule: 'self.port >= oldSelf.port', reason: 'FieldValueForbidden' }],
            properties: { name: { type: 'string' }, port: { type: 'integer' } },
          },
        },
        labels: {
          type: 'object',
          additionalProperties: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self != "bad"' }] },
        },
      },
    },
  },
};

void t.test('rules of a schema', (t) => {
  const rules = compileSchemaRules({
    ...widget,
    'x-kubernetes-validations': [{ rule: "self.metadata.name.startsWith('w')" }],
  });
  const object = (spec: object, name = 'w') => ({ apiVersion: 'x/v1', kind: 'W', metadata: { name, uid: 'u' }, spec });
  const problems = (spec: object, old?: object, name?: string): string[] =>
    (rules?.(object(spec, name), old === undefined ? undefined : object(old)) ?? []).map(formatFieldError);
  const good = { min: 1, max: 2, ratio: 0, ports: [{ name: 'a', port: 5 }], labels: { a: 'x' }, name: 'n' };
  t.same(problems(good), []);
  t.same(problems(good, undefined, 'v'), [
    `<nil>: Invalid value: "object": failed rule: self.metadata.name.startsWith('w')`,
  ]);
  t.same(problems({ ...good, min: 3 }), ['spec.min: Invalid value: "object": min must not exceed max']);
  t.same(problems({ ...good, max: 1 }, good), ['spec: Invalid value: "object": max was 2']);
  t.same(problems({ ...good, name: 'm' }, good), ['spec.name: Invalid value: "string": immutable']);
  t.same(problems({ ...good, ratio: 1 }), ['spec.ratio: Invalid value: "number": failed rule: self < 1.0']);
  t.same(problems({ ...good, labels: { k: 'bad' } }), [
    'spec.labels[k]: Invalid value: "string": failed rule: self != "bad"',
  ]);
  const moved = [
    { name: 'b', port: 1 },
    { name: 'a', port: 4 },
  ];
  t.match(
    problems({ ...good, ports: moved }, good),
    [/^spec\.ports\[1\]: Forbidden/u],
    'items are known by their keys',
  );
  t.same(problems({ ...good, ratio: 7, max: 3 }, { ...good, ratio: 7 }), [], 'what does not change may stay wrong');
  t.match(problems({ max: 1 }), [/^spec\.min: Invalid value: "object": no such key: min evaluating rule: min must/u]);
  t.equal(compileSchemaRules({ type: 'object' }), undefined);
  t.end();
});

void t.test('rules that are wrong, and lists with something twice', (t) => {
  const wrong: JsonSchema = {
    type: 'object',
    properties: { a: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self ==' }, { rule: '1 + 1' }] } },
  };
  t.match(schemaRuleErrors(wrong, 'schema').map(formatFieldError), [
    /^schema\.properties\[a\]\.x-kubernetes-validations\[0\]\.rule: Invalid value: "self ==": compilation failed: /u,
    /rule: Invalid value: "1 \+ 1": compilation failed: must evaluate to bool$/u,
  ]);
  const lists: JsonSchema = {
    type: 'object',
    properties: {
      set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      map: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
        items: { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer' } } },
      },
    },
  };
  const value = {
    set: ['a', 'b', 'a'],
    map: [
      { k: 'x', v: 1 },
      { k: 'x', v: 2 },
    ],
  };
  t.same(listUniquenessErrors(value, lists).map(formatFieldError), [
    'set[2]: Duplicate value: "a"',
    'map[1]: Duplicate value: {"k":"x"}',
  ]);
  t.end();
});
