import {
  formatLabelSelector,
  type LabelSelector,
  labelSelectorFrom,
  parseFieldSelector,
  parseLabelSelector,
  selectorFromSet,
  StatusError,
} from '@naru/api';
import fc from 'fast-check';
import t from 'tap';

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError && error.code === 400) return error.message;
    throw error;
  }
  return 'no error';
}

await t.test('label selectors print in canonical form and parse back', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['', ''],
    ['x=a,y=b,z=c', 'x=a,y=b,z=c'],
    ['z=c, x = a', 'x=a,z=c'],
    ['x!=a,y=b', 'x!=a,y=b'],
    ['x==a', 'x==a'],
    ['x=', 'x='],
    ['x= ', 'x='],
    ['x=,z= ', 'x=,z='],
    ['!x', '!x'],
    ['x', 'x'],
    ['x>1', 'x>1'],
    ['x>1,z<5', 'x>1,z<5'],
    ['x in (c,a,b)', 'x in (a,b,c)'],
    ['x notin (a)', 'x notin (a)'],
    ['x in (a,,b)', 'x in (,a,b)'],
    ['x in (,)', 'x in ()'],
    ['x in ()', 'x in ()'],
    ['in in (in,notin)', 'in in (in,notin)'],
    ['notin=in', 'notin=in'],
    ['example.com/role in (db)', 'example.com/role in (db)'],
  ];
  for (const [text, printed] of table) t.equal(parseLabelSelector(text).toString(), printed, text);
  t.end();
});

await t.test('label selectors match as upstream', (t) => {
  const table: readonly (readonly [string, Record<string, string>, boolean])[] = [
    ['', { x: 'y' }, true],
    ['x=y', { x: 'y' }, true],
    ['x=y', { x: 'z' }, false],
    ['x=y,z=w', { x: 'y', z: 'w' }, true],
    ['x=y,z=w', { x: 'z', z: 'w' }, false],
    ['x!=y', {}, true],
    ['x!=y', { x: 'y' }, false],
    ['x=', { x: '' }, true],
    ['x=', {}, false],
    ['x', { x: '' }, true],
    ['!x', { x: '' }, false],
    ['!x', {}, true],
    ['x in (a,b)', { x: 'b' }, true],
    ['x in (a,b)', {}, false],
    ['x notin (a,b)', {}, true],
    ['x notin (a,b)', { x: 'a' }, false],
    ['x>1', { x: '2' }, true],
    ['x>1', { x: '1' }, false],
    ['x>1', { x: 'many' }, false],
    ['x<9007199254740993', { x: '9007199254740992' }, true],
    ['constructor', {}, false],
  ];
  for (const [text, labels, matches] of table) t.equal(parseLabelSelector(text).matches(labels), matches, text);
  t.equal(parseLabelSelector('a!=b').matches(undefined), true);
  t.end();
});

await t.test('bad label selectors are told upstream’s messages', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['x=a=b', "found '=', expected: ',' or 'end of string'"],
    ['x in a', "unable to parse requirement: found 'a' expected: '('"],
    ['x in (a', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['=a', "found '=', expected: !, identifier, or 'end of string'"],
    ['x,', "found '', expected: identifier after ','"],
    ['!', "unable to parse requirement: found '', expected: identifier"],
    ['x a', "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt"],
    [
      'x>a',
      `unable to parse requirement: values[0]: Invalid value: "a": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    ['x=a b', "found 'b', expected: ',' or 'end of string'"],
    [
      'a/b/c=d',
      `unable to parse requirement: <nil>: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ],
    [
      'x=-a',
      `unable to parse requirement: values[0][x]: Invalid value: "-a": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    ],
  ];
  for (const [text, message] of table)
    t.equal(
      messageOf(() => parseLabelSelector(text)),
      message,
      text,
    );
  t.end();
});

await t.test('metav1.LabelSelector: nil selects nothing, empty everything', (t) => {
  t.equal(labelSelectorFrom(undefined).matches({ a: 'b' }), false);
  t.equal(labelSelectorFrom({}).matches({ a: 'b' }), true);
  const selector: LabelSelector = {
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['front', 'back'] },
      { key: 'canary', operator: 'DoesNotExist' },
    ],
  };
  t.equal(labelSelectorFrom(selector).toString(), 'app=web,!canary,tier in (back,front)');
  t.equal(labelSelectorFrom(selector).matches({ app: 'web', tier: 'back' }), true);
  t.equal(labelSelectorFrom(selector).matches({ app: 'web', tier: 'back', canary: '' }), false);
  t.equal(formatLabelSelector({}), '<none>');
  const wrong: LabelSelector = { matchExpressions: [{ key: 'a', operator: 'Near', values: [] }] };
  t.equal(
    messageOf(() => labelSelectorFrom(wrong)),
    '"Near" is not a valid label selector operator',
  );
  t.equal(formatLabelSelector(wrong), '<error>');
  t.equal(selectorFromSet({ b: '2', a: '1' }).toString(), 'a=1,b=2');
  t.end();
});

await t.test('any selector equals its own text', (t) => {
  const word = fc.stringMatching(/^[a-z]([a-z0-9-]{0,5}[a-z0-9])?$/);
  const requirement = fc.oneof(
    word,
    word.map((key) => `!${key}`),
    fc.tuple(word, fc.constantFrom('=', '==', '!='), word).map((parts) => parts.join('')),
    fc
      .tuple(word, fc.constantFrom('in', 'notin'), fc.array(word, { minLength: 1, maxLength: 4 }))
      .map(([key, operator, values]) => `${key} ${operator} (${values.join(',')})`),
  );
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 5 }), fc.dictionary(word, word), (parts, labels) => {
      const selector = parseLabelSelector(parts.join(','));
      const again = parseLabelSelector(selector.toString());
      return again.toString() === selector.toString() && again.matches(labels) === selector.matches(labels);
    }),
  );
  t.end();
});

await t.test('field selectors', (t) => {
  const selector = parseFieldSelector(String.raw`metadata.name=x,status.phase!=Running,spec.a==b\,c\=\\`);
  t.strictSame(selector.requirements, [
    { field: 'metadata.name', operator: '=', value: 'x' },
    { field: 'status.phase', operator: '!=', value: 'Running' },
    { field: 'spec.a', operator: '=', value: 'b,c=\\' },
  ]);
  t.equal(selector.toString(), String.raw`metadata.name=x,status.phase!=Running,spec.a=b\,c\=\\`);
  t.equal(selector.requiresExactMatch('metadata.name'), 'x');
  t.equal(selector.requiresExactMatch('status.phase'), undefined);
  const values: Record<string, string> = { 'metadata.name': 'x', 'status.phase': 'Pending', 'spec.a': 'b,c=\\' };
  t.equal(
    selector.matches((field) => values[field] ?? ''),
    true,
  );
  t.equal(parseFieldSelector('').empty, true);
  t.equal(
    parseFieldSelector('a=').matches(() => ''),
    true,
  );
  t.equal(
    messageOf(() => parseFieldSelector('a=b,c')),
    "invalid selector: 'a=b,c'; can't understand 'c'",
  );
  t.equal(
    messageOf(() => parseFieldSelector('a=b=c')),
    'invalid field selector: unescaped character in value: 61',
  );
  t.equal(
    messageOf(() => parseFieldSelector(String.raw`a=b\c`)),
    String.raw`invalid field selector: invalid escape sequence: \c`,
  );
  t.equal(
    messageOf(() => parseFieldSelector('a=b\\')),
    'invalid field selector: invalid escape sequence: \\',
  );
  t.end();
});
