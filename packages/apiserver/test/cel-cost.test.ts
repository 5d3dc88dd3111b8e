/** What expressions cost: the tables are upstream's (cel-go and k8s.io/apiserver/pkg/cel/library tests). */
import t from 'tap';
import type { JsonSchema } from '@naru/api';
import { AuthorizerValue } from '../src/cel/authorizer-functions.ts';
import { celEnvironment } from '../src/cel/cel-environment.ts';
import { CelBudgetError, CelLimitError, compileCel, type CelProgram } from '../src/cel/cel-program.ts';
import { fromCel, toCel } from '../src/cel/cel-values.ts';
import { CostBudget } from '../src/cel/cost-meter.ts';
import { PER_CALL_COST_MAX } from '../src/cel/cost-model.ts';
import { keyType, scalarType, schemaType, textOf, type SizedType } from '../src/cel/sized-type.ts';

type Variables = Readonly<Record<string, unknown>>;

const compile = (expression: string, variables: Variables = {}): CelProgram =>
  compileCel(celEnvironment(Object.keys(variables)), expression);

function costOf(expression: string, variables: Variables = {}): number {
  const program = compile(expression, variables);
  program.evaluate(
    Object.fromEntries(
      Object.entries(variables).map(([name, each]) => [name, each instanceof AuthorizerValue ? each : toCel(each)]),
    ),
  );
  return program.cost;
}

const long = 'a'.repeat(500);

void t.test('what an evaluation has cost', (t) => {
  const table: readonly (readonly [expression: string, cost: number, variables?: Variables])[] = [
    ['"Hello World!"', 0],
    ['input', 1, { input: [1, 2] }],
    ["input['key']", 2, { input: { key: 'v' } }],
    ['input[0]', 2, { input: ['v'] }],
    ['input.field', 2, { input: { field: 1 } }],
    ["input['ke' + 'y']", 3, { input: { key: 'v' } }],
    ['input[3-3]', 3, { input: ['v'] }],
    ['has(input.field)', 1, { input: { field: 1 } }],
    ['has(input.testAttr.nestedAttr)', 2, { input: { testAttr: { nestedAttr: '0' } } }],
    ['[1, 2, 3]', 10],
    ['{"a": 1, "b": 2, "c": 3}', 30],
    ['input.all(x, true)', 2, { input: [] }],
    ['input.all(x, x.all(y, true))', 2, { input: [] }],
    ['[1, 2, 3].all(x, true)', 20],
    ["input.matches('[0-9]')", 103, { input: long }],
    ["'123'.matches('[0-9]')", 2],
    ['false || false', 0],
    ['true || false', 0],
    ['a || b || c || d', 4, { a: false, b: false, c: false, d: false }],
    ['a && b && c && d', 4, { a: true, b: true, c: true, d: true }],
    ['1 < 2', 1],
    ['1 == 2', 1],
    ['2 in [1, 2, 3]', 13],
    ['1 + 1', 1],
    ['true ? 1 : 2', 0],
    ['size("123")', 1],
    ["'12345678901234567890' == '123456789012345678901234567890'", 2],
    ['bytes(input)', 51, { input: long }],
    ['string(bytes(input))', 101, { input: long }],
    ['string(1)', 1],
    ['input.contains(arg1)', 2502, { input: long, arg1: long }],
    [String.raw`input.matches('\\d+a\\d+b')`, 103, { input: long }],
    ['input.startsWith(arg1)', 52, { input: 'idc', arg1: long }],
    ['input.endsWith(arg1)', 52, { input: 'idc', arg1: long }],
    ['input.size()', 2, { input: '500' }],
    ['(x > 2 ? input1 : input2).all(y, true)', 6, { x: 1, input1: [{}], input2: [{}] }],
    ['false ? false : 1 > 3', 1],
    ['input.all(k, input[k].number > 3)', 9, { input: { val: { number: 0 } } }],
    ['(list1 + list2).all(x, true)', 4, { list1: [], list2: [] }],
    ['"abcdefg".contains(str1 + str2)', 6, { str1: 'val1', str2: 'val2222222' }],
    ['(1 > 2 ? 5 : 3) > 1', 2],
    ['(1 > 2 || 2 > 1) == true', 3],
    ["[{'k1': 1}, {'k2': 2}].all(x, true)", 77],
    ['[1,2,3,4,5].filter(x, x % 2 == 0)', 62],
    ['[1,2,3,4,5].map(x, x)', 86],
    ['[1,2,3,4,5].map(x, x).filter(x, x % 2 == 0)', 138],
    ['[1,2,3,4,5].map(x, x).exists(x, x == 5) == true', 118],
    ['[1,2,3,4,5].map(x, [x, x]).filter(z, z.size() == 2)', 232],
    ['[1,2,3,4,5].map(x, [x, x]).all(y, y.all(y, y == 1))', 171],
    ['[1,2,3,4,5].map(x, x).map(x, x) + [1]', 173],
    ['[1,2,3].all(i, i in [1,2,3].map(j, j + j))', 86],
  ];
  for (const [expression, cost, variables] of table) t.equal(costOf(expression, variables), cost, expression);
  t.end();
});

const authorizer = new AuthorizerValue(
  { authorize: () => ({ decision: 'allow', reason: '' }) },
  { name: 'alice', groups: [] },
);
const check =
  "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')";

void t.test("Kubernetes' functions: what they have cost, and are estimated to cost", (t) => {
  const table: readonly (readonly [expression: string, cost: number, estimate: number])[] = [
    ['[1, 2, 3, 4, 5].sum()', 15, 15],
    ['[1.0, 2.0, 3.0, 4.0, 5.0].max()', 15, 15],
    ["['012345678901', '012345678901', '012345678901', '012345678901', '012345678901'].isSorted()", 15, 25],
    ['[1, 2, 3, 4, 5].indexOf(3)', 15, 15],
    ["'01234567890123456789012345678901234567890123456789'.indexOf('123')", 5, 5],
    ["url('https://a.kubernetes.io/').getScheme()", 4, 4],
    ["ip('192.168.0.1')", 2, 2],
    ["ip('2001:db8:3333:4444:5555:6666:7777:8888').family()", 5, 5],
    ["ip('192.168.0.1') == ip('192.168.0.1')", 5, 5],
    ["ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8, 8],
    ["cidr('192.168.0.0/16').prefixLength()", 3, 3],
    ["cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7, 7],
    ["cidr('192.168.0.0/16').containsIP('192.0.0.1')", 4, 4],
    ["'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3],
    ["'ABCDEFGHIJ abcdefghij'.upperAscii() == 'abcdefghij ABCDEFGHIJ'.upperAscii()", 9, 9],
    ["'abc 123 def 123'.replace('123', '456')", 3, 3],
    ["'abc 123 def 123'.replace('', 'x')", 3, 3],
    ["'abc 123 def 123'.split(' ')", 3, 3],
    ["'abc 123 def 123'.substring(5, 8)", 2, 2],
    ["'  abc 123 def 123  '.trim()", 2, 2],
    ["['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')", 15, 13],
    ["['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()", 13, 12],
    ["'abc 123 def 123'.find('123')", 2, 2],
    ["'abc 123 def 123'.findAll('123', 1)", 2, 2],
    ["jsonpatch.escapeKey('abc/def~ abc/def~')", 2, 2],
    ["authorizer.path('/healthz')", 2, 2],
    [check, 6, 6],
    ["authorizer.path('/healthz').check('get').allowed()", 350_003, 350_003],
    [`${check}.check('create').errored()`, 350_007, 350_007],
    ['quantity("12Mi")', 1, 1],
    ['quantity("200M") == quantity("0.2G") && quantity("0.2G") == quantity("200M")', 6, 6],
    ['quantity("50M").isLessThan(quantity("50Mi"))', 3, 3],
    ['quantity("50k").add(20).sub(quantity("100k")).sub(-50000).asInteger() > 0', 7, 7],
    ['sets.contains([], [])', 21, 21],
    ['sets.contains([1, 2, 3, 4], [2, 3])', 29, 29],
    ['sets.contains([[1], [2, 3]], [[2, 3.0]])', 53, 53],
    ['!sets.contains([1], [2])', 23, 23],
    ['sets.equivalent([1, 2, 3], [3, 2, 1])', 39, 39],
    ['sets.intersects([1, 2], [2, 2, 2])', 27, 27],
  ];
  const types = new Map<string, SizedType>([['authorizer', scalarType]]);
  for (const [expression, cost, estimate] of table) {
    t.equal(costOf(expression, { authorizer }), cost, expression);
    t.equal(compile(expression, { authorizer }).estimate(types), estimate, `estimate of ${expression}`);
  }
  t.end();
});

void t.test('the most that an expression can cost, by the sizes of its variables', (t) => {
  const list = (max: number, items?: SizedType): SizedType => ({ kind: 'list', size: { min: 0, max }, items });
  const map = (max: number, items?: SizedType): SizedType => ({ kind: 'map', size: { min: 0, max }, items });
  const text = (max: number): SizedType => textOf({ min: 0, max });
  const table: readonly (readonly [string, number, Readonly<Record<string, SizedType>>])[] = [
    ['input.all(x, true)', 302, { input: list(100) }],
    ['input.all(x, x.all(y, true))', 1752, { input: list(50, list(10)) }],
    ["input.matches('[0-9]')", 103, { input: text(500) }],
    ['input.contains(arg1)', 2502, { input: text(500), arg1: text(500) }],
    ['input.startsWith(arg1)', 52, { input: text(9), arg1: text(500) }],
    ['bytes(input)', 51, { input: text(500) }],
    ['(x > 2 ? input1 : input2).all(y, true)', 7, { x: scalarType, input1: list(1), input2: list(1) }],
    ['input.all(k, input[k].all(x, true))', 187, { input: map(5, map(10)) }],
    ['(list1 + list2).all(x, true)', 64, { list1: list(10), list2: list(10) }],
    ['"abcdefg".contains(str1 + str2)', 6, { str1: text(10), str2: text(10) }],
  ];
  for (const [expression, estimate, types] of table)
    t.equal(compile(expression, types).estimate(new Map(Object.entries(types))), estimate, expression);
  t.equal(keyType.size.max, 0, 'keys of maps are not counted, as upstream');
  t.end();
});

const array =
  (items: JsonSchema): ((max?: number) => JsonSchema) =>
  (max) => ({ type: 'array', items, ...(max === undefined ? {} : { maxItems: max }) });
const mapOf =
  (items: JsonSchema): ((max?: number) => JsonSchema) =>
  (max) => ({ type: 'object', additionalProperties: items, ...(max === undefined ? {} : { maxProperties: max }) });
const string = (max?: number): JsonSchema => ({ type: 'string', ...(max === undefined ? {} : { maxLength: max }) });
const of = (type: string, format?: string): JsonSchema => ({ type, ...(format === undefined ? {} : { format }) });
const strings = (max?: number): JsonSchema => array(string(max))(max);
const withRequired: JsonSchema = {
  type: 'object',
  required: ['required'],
  properties: { required: string(), optional: string() },
};

void t.test('estimates by schemas, with limits and without', (t) => {
  type Row = readonly [string, (max?: number) => JsonSchema, unlimited: number, max: number, limited: number];
  const table: readonly Row[] = [
    ['self.all(x, true)', array(of('number')), 4_718_591, 10, 32],
    ['self.all(x, true)', array(string()), 3_145_727, 20, 62],
    ['self.all(x, true)', array(of('boolean')), 1_887_437, 5, 17],
    ['self.all(x, true)', array(array(of('number'))()), 3_145_727, 100, 302],
    ['self.all(x, true)', mapOf(of('number')), 1_348_169, 10, 32],
    ['self.all(x, true)', mapOf(string()), 1_179_647, 3, 11],
    ['self.all(x, true)', mapOf(of('boolean')), 943_718, 100, 302],
    ["self.contains('test')", string, 314_574, 10, 5],
    ["self.startsWith('test')", string, 2, 15, 2],
    ['size(self + "hello") > size("hello")', string, 314_578, 4, 7],
    ['self[1] == 0.0', array(of('number')), 2, 5000, 2],
    ['self[1] == self[1]', array(string()), 314_577, 8, 314_577],
    ['self.all(x, self.all(y, true))', array(of('number')), Infinity, 10, 352],
    ['self.all(x, self.all(y, self.all(z, true)))', array(of('number')), Infinity, 10, 3552],
    ['self.matches("x")', string, 314_574, 50, 22],
    ['"".matches("(((((((((())))))))))[0-9]")', string, 7, 10, 7],
    ['self.matches("")', string, 1, 100, 1],
    ['self == "x"', string, 2, 0, 1],
    ['self.all(x, x == 0.0)', array(of('number')), 6_291_454, 3 * 1024 * 2048, 25_165_826],
    ['self.all(x, x["y"].required == "z")', array(mapOf(withRequired)()), 7_340_027, 10, 72],
    ['self.all(x, true)', array({ 'x-kubernetes-int-or-string': true }), 4_718_591, 10, 32],
    ['self[0] == 5', array({ 'x-kubernetes-int-or-string': true }), 3, 10, 3],
    ['self[0] == null', array(withRequired), 2, 422, 2],
    ['self[0][0] == -1.0', array(array(of('number'))()), 3, 51, 3],
    ['self.all(x, x.y == 25.2)', array(mapOf(of('number'))()), 6_291_452, 12, 74],
    ['self[0].x > 2.0', array(mapOf(of('number'))()), 4, 3000, 4],
    ['self.all(x, true)', array(of('string', 'duration')), 2_359_295, 5, 17],
    ['self[0].getHours() == 2', array(of('string', 'duration')), 4, 525, 4],
    ['self.all(x, true)', array(of('string', 'date')), 725_936, 15, 47],
    ['self.all(x, true)', array(of('string', 'date-time')), 428_963, 25, 77],
    ['self.all(x, true)', mapOf(of('string', 'date-time')), 349_526, 25, 77],
    ["self.find('[0-9]+') == ''", string, 629_147, 10, 11],
    ["self.join(' ') == 'aa bb'", strings, 329_853_068_905, 10, 43],
    ['self.isSorted() == true', strings, 329_854_432_052, 10, 52],
    ['self.all(x, x.contains(self[x]))', (max) => mapOf(string(max))(max), 2_752_507, 10, 72],
  ];
  for (const [rule, schemaOf, unlimited, max, limited] of table) {
    const estimate = (schema: JsonSchema): number => {
      const self = schemaType(schema);
      if (self === undefined) throw new Error('the schema has no type');
      return compile(rule, { self }).estimate(new Map([['self', self]]));
    };
    const most = estimate(schemaOf());
    if (unlimited === Infinity) t.ok(most > 10_000_000, `${rule}: ${most}`);
    else t.equal(most, unlimited, `${rule} without a limit`);
    t.equal(estimate(schemaOf(max)), limited, `${rule} with a limit`);
  }
  t.end();
});

void t.test('an evaluation ends at its limit, wherever it is', (t) => {
  const numbers = Array.from({ length: 2000 }, (_, i) => i);
  const text = 'a'.repeat(100_000);
  const expressions = [
    'n.all(a, n.all(b, n.all(c, true)))',
    '!n.exists(a, n.exists(b, n.exists(c, false))) || true',
    'n.map(a, n.map(b, n.map(c, c))).size() > 0',
    'n.all(z, n.filter(a, n.filter(b, false).size() > 0).size() == 0)',
    'n.exists_one(a, n.exists_one(b, n.exists_one(c, false)))',
    'n.all(z, n.all(a, size(m) > 0))',
    'n.all(a, size(s) > 0)',
    'n.all(a, m == m)',
    'n.all(z, n.all(a, n + n != []))',
    'n.all(a, s.contains(s))',
    "n.all(a, s.matches('(x{100}){10}y'))",
    "n.all(a, s.replace('', s) != '')",
    'n.all(a, sets.equivalent(n, n))',
    "n.all(z, n.all(a, '%s'.format([s]) != ''))",
    // A list of 2^30 numbers, made of few.
    `cel.bind(l0, n, ${Array.from({ length: 20 }, (_, i) => `cel.bind(l${i + 1}, [l${i}, l${i}], `).join('')}l20 == l20${')'.repeat(21)}`,
  ];
  const variables = { n: numbers, s: text, m: Object.fromEntries(numbers.map((i) => [`k${i}`, { v: [i] }])) };
  for (const expression of expressions) {
    const program = compile(expression, variables);
    const values = Object.fromEntries(Object.entries(variables).map(([name, each]) => [name, toCel(each)]));
    const before = process.cpuUsage();
    t.throws(() => program.evaluate(values), CelLimitError, expression);
    // Not by the clock: others may have the processors.
    const tookMs = process.cpuUsage(before).user / 1000;
    t.ok(tookMs < 20_000, `${expression} took ${tookMs} ms`);
    t.comment(Math.round(tookMs), expression.slice(0, 60));
  }
  t.equal(compile('n.size() == 2000', variables).evaluate({ n: toCel(numbers) }), true);
  t.end();
});

void t.test('a small expression whose JSON would be large has none', (t) => {
  const doubled = Array.from({ length: 30 }, (_, i) => `cel.bind(l${i + 1}, [l${i}, l${i}], `).join('');
  const value = compile(`cel.bind(l0, [1], ${doubled}l30${')'.repeat(31)}`).evaluate({});
  t.throws(() => fromCel(value), { message: 'the value is too large' });
  t.end();
});

void t.test('evaluations share a budget', (t) => {
  const program = compile('n.all(x, true)', { n: [] });
  const n = toCel(Array.from({ length: 100 }, () => 0));
  const budget = new CostBudget(700);
  t.equal(program.evaluate({ n }, budget), true);
  t.equal(budget.remaining, 700 - 302);
  t.equal(program.evaluate({ n }, budget), true);
  t.throws(() => program.evaluate({ n }, budget), CelBudgetError);
  t.throws(() => program.evaluate({ n: [] }, budget), CelBudgetError, 'what would be little is not tried either');
  t.ok(PER_CALL_COST_MAX > 302);
  t.equal(program.evaluate({ n }), true, 'without a budget there is the limit of one evaluation');
  t.end();
});
