import { canonicalQuantity, newMilliQuantity, newQuantity, parseQuantity, Quantity } from '@naru/api';
import fc from 'fast-check';
import t from 'tap';

await t.test('the canonical text is upstream’s', (t) => {
  const table: readonly (readonly [string | number, string])[] = [
    ['0', '0'],
    ['0n', '0'],
    ['-0', '0'],
    ['1', '1'],
    [2, '2'],
    [0.5, '500m'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['1000m', '1'],
    ['1500m', '1500m'],
    ['100m', '100m'],
    ['1.5Gi', '1536Mi'],
    ['1024Mi', '1Gi'],
    ['1000Ki', '1000Ki'],
    ['512', '512'],
    ['1Ki', '1Ki'],
    ['0.5Ki', '512'],
    ['0.9Ki', '921600m'],
    ['1.1Ki', '1126400m'],
    ['64Mi', '64Mi'],
    ['128974848', '128974848'],
    ['129M', '129M'],
    ['129e6', '129e6'],
    ['123Mi', '123Mi'],
    ['12E', '12E'],
    ['1E', '1E'],
    ['1e3', '1e3'],
    ['1.2e3', '1200'],
    ['1e-3', '1e-3'],
    ['0.0000000001', '1n'],
    ['-0.0000000001', '-1n'],
    ['1.0000000001', '1000000001n'],
    ['+1', '1'],
    ['-1Mi', '-1Mi'],
    ['00001', '1'],
    ['1.M', '1M'],
    ['100000000000000000000', '9223372036854775807'],
    ['16Ei', '9223372036854775807'],
    ['1e9999', '9223372036854775807'],
  ];
  for (const [text, canonical] of table) t.equal(canonicalQuantity(text), canonical, String(text));
  t.end();
});

await t.test('what is no quantity is told upstream’s messages', (t) => {
  const format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  for (const text of ['', '1 M', 'abc', '1.1.M', '1+1.0M', '-3.01i+a', '0.1am', 'aoeu', '1Gb', ' - '])
    t.throws(() => parseQuantity(text === ' - ' ? 'x' : text), { message: format }, text);
  for (const text of ['1i', '.5i', '0.1mi', '1MM', '-3.01e-', '1Kii'])
    t.throws(() => parseQuantity(text), { message: "unable to parse quantity's suffix" }, text);
  t.end();
});

await t.test('comparison, sums and conversions are exact', (t) => {
  t.equal(parseQuantity('1').compare(parseQuantity('1000m')), 0);
  t.equal(parseQuantity('1Gi').compare(parseQuantity('1G')), 1);
  t.equal(parseQuantity('0.1').add(parseQuantity('0.2')).toString(), '300m');
  t.equal(parseQuantity('1Gi').sub(parseQuantity('1Mi')).toString(), '1023Mi');
  t.equal(parseQuantity('0').add(parseQuantity('1Gi')).toString(), '1Gi');
  t.equal(parseQuantity('100m').value(), 1);
  t.equal(parseQuantity('-100m').value(), -1);
  t.equal(parseQuantity('1.0001').milliValue(), 1001);
  t.equal(parseQuantity('2Gi').value(), 2147483648);
  t.equal(parseQuantity('250m').toNumber(), 0.25);
  t.equal(newQuantity(1048576, 'BinarySI').toString(), '1Mi');
  t.equal(newMilliQuantity(1500).toString(), '1500m');
  t.equal(JSON.stringify({ cpu: parseQuantity('0.25') }), '{"cpu":"250m"}');
  t.end();
});

await t.test('the canonical text keeps the value and is a fixed point', (t) => {
  const quantity = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.nat({ max: 99_999 }),
      fc.constantFrom('', '.5', '.25', '.125'),
      fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-3'),
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(quantity, quantity, (left, right) => {
      const [a, b] = [parseQuantity(left), parseQuantity(right)];
      const text = a.toString();
      return (
        parseQuantity(text).equals(a) &&
        canonicalQuantity(text) === text &&
        a.add(b).sub(b).equals(a) &&
        a.compare(b) + b.compare(a) === 0 &&
        new Quantity(a.nanos).equals(a)
      );
    }),
  );
  t.end();
});
