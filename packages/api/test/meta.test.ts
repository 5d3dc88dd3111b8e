import {
  canonicalMicroTimeOf,
  canonicalTimeOf,
  type ConditionLike,
  controllerOf,
  deployments,
  formatMicroTime,
  formatTime,
  generateName,
  isConditionTrue,
  isConfigMapKey,
  isControlledBy,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
  isValidPathSegmentName,
  isValidPortName,
  keyOf,
  newControllerRef,
  parseTime,
  removeCondition,
  scaledValueFromIntOrPercent,
  setCondition,
  splitKey,
} from '@naru/api';
import t from 'tap';

await t.test('controller references', (t) => {
  const owner = { metadata: { name: 'web', namespace: 'default', uid: 'u-1' } };
  const reference = newControllerRef(owner, deployments);
  t.strictSame(reference, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    name: 'web',
    uid: 'u-1',
    controller: true,
    blockOwnerDeletion: true,
  });
  const child = { metadata: { ownerReferences: [{ ...reference, uid: 'other', controller: false }, reference] } };
  t.equal(controllerOf(child), reference);
  t.equal(isControlledBy(child, owner), true);
  t.equal(isControlledBy(child, { metadata: { uid: 'other' } }), false);
  t.equal(controllerOf({ metadata: {} }), undefined);
  t.end();
});

await t.test('keys', (t) => {
  t.equal(keyOf({ metadata: { name: 'a', namespace: 'b' } }), 'b/a');
  t.equal(keyOf({ metadata: { name: 'a' } }), 'a');
  t.strictSame(splitKey('b/a'), { namespace: 'b', name: 'a' });
  t.strictSame(splitKey('a'), { namespace: '', name: 'a' });
  t.end();
});

await t.test('generated names stay labels', (t) => {
  t.equal(
    generateName('web-', () => 0),
    'web-bbbbb',
  );
  t.equal(
    generateName('web-', () => 0.9999999),
    'web-99999',
  );
  const long = generateName('x'.repeat(100), () => 0.5);
  t.equal(long.length, 63);
  t.strictSame(isDns1123Label(long), []);
  t.end();
});

await t.test('formats of names tell upstream’s messages', (t) => {
  t.strictSame(isDns1123Label('a-1'), []);
  t.strictSame(isDns1123Label('a.b'), ['must not contain dots']);
  t.strictSame(isDns1123Label('A'), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  t.strictSame(isDns1123Label('a'.repeat(64)), ['must be no more than 63 bytes']);
  t.strictSame(isDns1123Subdomain('a.b-c.d'), []);
  t.strictSame(isDns1123Subdomain('a..b'), [
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  ]);
  t.strictSame(isDns1035Label('a'.repeat(64)), ['must be no more than 63 characters']);
  t.strictSame(isValidPortName('abcdefghijklmnop'), ['must be no more than 15 characters']);
  t.match(isDns1035Label('1a')[0], /^a DNS-1035 label must consist of/);
  t.strictSame(isQualifiedName('example.com/Name_1'), []);
  t.strictSame(isQualifiedName('/a'), ['prefix part must be non-empty']);
  t.match(isQualifiedName('Example.com/a')[0], /^prefix part a lowercase RFC 1123 subdomain must/);
  t.equal(isQualifiedName('a/').length, 2);
  t.strictSame(isValidLabelValue(''), []);
  t.strictSame(isValidLabelValue('é'.repeat(32))[0], 'must be no more than 63 bytes');
  t.strictSame(isConfigMapKey('..'), ["must not be '..'"]);
  t.strictSame(isConfigMapKey('..a'), ["must not start with '..'"]);
  t.strictSame(isValidPortName('http--x-'), [
    'must not contain consecutive hyphens',
    'must not begin or end with a hyphen',
  ]);
  t.strictSame(isValidPathSegmentName('system:x'), []);
  t.strictSame(isValidPathSegmentName('a/b'), ["may not contain '/'"]);
  t.end();
});

await t.test('times are stored in UTC with seconds or microseconds', (t) => {
  t.equal(formatTime(1_700_000_000_999), '2023-11-14T22:13:20Z');
  t.equal(formatMicroTime(1_700_000_000_123.4565), '2023-11-14T22:13:20.123456Z');
  t.equal(parseTime('2023-11-14T22:13:20Z'), 1_700_000_000_000);
  t.equal(parseTime('2023-11-15T00:13:20.5+02:00'), 1_700_000_000_500);
  t.equal(canonicalTimeOf('2023-11-15T00:13:20.5+02:00'), '2023-11-14T22:13:20Z');
  t.equal(canonicalMicroTimeOf('2023-11-15T00:13:20.1234567+02:00'), '2023-11-14T22:13:20.123456Z');
  t.equal(canonicalMicroTimeOf('2023-11-14T22:13:20Z'), '2023-11-14T22:13:20.000000Z');
  t.equal(canonicalTimeOf('2024-02-29T00:00:00Z'), '2024-02-29T00:00:00Z');
  for (const text of ['', '2023-02-29T00:00:00Z', '2023-11-14', '2023-13-01T00:00:00Z', '2023-11-14T25:00:00Z'])
    t.equal(canonicalTimeOf(text), undefined, text);
  t.end();
});

await t.test('percentages of a total', (t) => {
  const of10 = { total: 10, roundUp: true };
  t.equal(scaledValueFromIntOrPercent(3, of10), 3);
  t.equal(scaledValueFromIntOrPercent('25%', of10), 3);
  t.equal(scaledValueFromIntOrPercent('25%', { total: 10, roundUp: false }), 2);
  t.equal(scaledValueFromIntOrPercent('0%', of10), 0);
  t.throws(() => scaledValueFromIntOrPercent('3', of10), {
    message: 'invalid value for IntOrString: invalid type: string is not a percentage',
  });
  t.end();
});

await t.test('conditions change their transition time only with their status', (t) => {
  const first = setCondition<ConditionLike>(undefined, { type: 'Ready', status: 'False', reason: 'Starting' }, 't1');
  t.strictSame(first, [{ type: 'Ready', status: 'False', reason: 'Starting', lastTransitionTime: 't1' }]);
  const renamed = setCondition(first, { type: 'Ready', status: 'False', reason: 'Waiting' }, 't2');
  t.strictSame(renamed, [{ type: 'Ready', status: 'False', reason: 'Waiting', lastTransitionTime: 't1' }]);
  t.equal(setCondition(renamed, { type: 'Ready', status: 'False', reason: 'Waiting' }, 't3'), renamed);
  const ready = setCondition(renamed, { type: 'Ready', status: 'True' }, 't4');
  t.strictSame(ready, [{ type: 'Ready', status: 'True', lastTransitionTime: 't4' }]);
  t.equal(isConditionTrue(ready, 'Ready'), true);
  t.strictSame(removeCondition(ready, 'Ready'), []);
  t.end();
});
