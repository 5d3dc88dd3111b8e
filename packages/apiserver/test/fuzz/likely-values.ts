/** Values of fields that validation is likely to take, by the field's name; and now and then one that it must not choke on. */
import fc from 'fast-check';
import type { FieldSchema } from '@naru/api';

const label = fc.constantFrom('a', 'b', 'web', 'my-app', 'x1');
const qualified = fc.constantFrom('app', 'example.com/role', 'kubernetes.io/os', 'a.b/c_d', 'X');
const path = fc.constantFrom('/a', '/var/lib/b', '/', 'a/b', '/dev/null');
const address = fc.constantFrom('10.1.2.3', '192.168.0.1', '2001:db8::1');
const cidr = fc.constantFrom('10.0.0.0/8', '2001:db8::/64');
const port = fc.integer({ min: 1, max: 65_535 });
const domain = fc.constantFrom('example.com', 'a.example.org', 'd.csi.example.com');
const url = fc.constantFrom('https://example.com/x', 'https://127.0.0.1:1');

/** Text that programs stumble over. */
const oddText = fc.constantFrom(
  '',
  ' ',
  'Ä',
  'a\nb',
  '\u0000',
  '\ud800',
  '__proto__',
  'constructor',
  'toString',
  '../..',
  '%',
  '-1',
  'x'.repeat(300),
  '{{',
  '$(A)',
  '[',
  '*',
);
const oddNumber = fc.constantFrom(-1, 0, 2 ** 31 - 1, -(2 ** 31), 65_536, Number.MAX_SAFE_INTEGER);
const oddValue = fc.oneof(
  oddText,
  oddNumber,
  fc.constantFrom(null, true, [], {}, [null], [[]], { a: null }, 1.5, 1e300),
);

const byName: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  accessModes: fc.constant(['ReadWriteOnce']),
  apiGroup: fc.constantFrom('', 'apps', 'rbac.authorization.k8s.io'),
  apiGroups: fc.constantFrom([''], ['apps'], ['*']),
  apiVersion: fc.constantFrom('v1', 'apps/v1'),
  apiVersions: fc.constantFrom(['v1'], ['*']),
  caBundle: fc.constant(Buffer.from('x').toString('base64')),
  cidr,
  expression: fc.constantFrom('true', 'object.metadata.name == "a"', '1 + 1', 'self.a', '('),
  fieldPath: fc.constantFrom('metadata.name', 'spec.nodeName', 'status.podIP', "metadata.labels['a']"),
  fieldsV1: fc.constant({ 'f:a': {} }),
  finalizers: fc.constant(['example.com/done']),
  group: fc.constantFrom('', 'apps', 'example.com'),
  host: domain,
  image: fc.constantFrom('nginx', 'nginx:1.25', 'example.com/a@sha256:00'),
  ip: address,
  jsonPath: fc.constantFrom('.spec.a', '.metadata.name', '.a[0'),
  key: qualified,
  kind: fc.constantFrom('ConfigMap', 'Deployment', 'User', 'Pod'),
  managedFields: fc.constant([]),
  mountPath: path,
  namespace: label,
  nonResourceURLs: fc.constantFrom(['/healthz'], ['*']),
  operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist', 'Equal', 'Gt'),
  path,
  port,
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
  resource: fc.constantFrom('pods', 'limits.cpu', 'requests.memory'),
  resources: fc.constantFrom(['pods'], ['*'], ['deployments/scale']),
  schedule: fc.constantFrom('*/5 * * * *', '@daily', 'TZ=UTC 0 0 * * *', '61 * * * *'),
  status: fc.constantFrom('True', 'False', 'Unknown'),
  topologyKey: qualified,
  type: fc.constantFrom('Recreate', 'ClusterIP', 'NodePort', 'Opaque', 'Pods', 'Resource', 'Directory'),
  url,
  verbs: fc.constantFrom(['get'], ['*'], ['create', 'list']),
};

/** Field names that end so. */
const byEnding: readonly (readonly [RegExp, fc.Arbitrary<unknown>])[] = [
  [/labels$/iu, fc.dictionary(qualified, label, { minKeys: 1, maxKeys: 2, noNullPrototype: true })],
  [/annotations$/iu, fc.dictionary(qualified, fc.string({ maxLength: 20 }), { minKeys: 1, noNullPrototype: true })],
  [/port$/iu, port],
  [/path$/iu, path],
  [/ip$/iu, address],
  [/ips$/iu, fc.array(address, { minLength: 1, maxLength: 2 })],
  [/(name|ref|class)$/iu, label],
  [/driver|provisioner|signer/iu, domain],
];

const small = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 20 }) }, { weight: 1, arbitrary: oddNumber });
const quantity = fc.constantFrom('1', '100m', '1Gi', '0.5', '1024Mi', '1e3', '2000m', '0', '-1', '1.5Gi');

/** `oddChance` in 100 fields have a value that makes no sense. */
export function likelyValues(
  oddChance: number,
): (name: string, field: FieldSchema) => fc.Arbitrary<unknown> | undefined {
  return (name, field) => {
    const likely = likelyValue(name, field);
    if (likely === undefined) return undefined;
    return fc.oneof({ weight: 100 - oddChance, arbitrary: likely }, { weight: oddChance, arbitrary: oddValue });
  };
}

function likelyValue(name: string, field: FieldSchema): fc.Arbitrary<unknown> | undefined {
  if (field.type === 'ref') return undefined;
  if (field.enum !== undefined && field.enum.length > 0) {
    const value = fc.constantFrom(...field.enum);
    return field.type === 'array' ? value.map((each) => [each]) : value;
  }
  if (field.type === 'integer') return name.endsWith('ort') ? port : small;
  if (field.type === 'boolean') return fc.boolean();
  if (field.type === 'Quantity') return quantity;
  if (field.type === 'IntOrString') return fc.constantFrom(1, 2, 80, '25%', '50%', 'http', '101%');
  const isText = field.type === 'string';
  const isTexts = field.type === 'array' && field.items.type === 'string';
  if (field.type === 'map' && field.items.type === 'Quantity')
    return fc.dictionary(fc.constantFrom('cpu', 'memory', 'example.com/gpu', 'storage', 'nonsense'), quantity, {
      minKeys: 1,
      maxKeys: 2,
      noNullPrototype: true,
    });
  const named = Object.hasOwn(byName, name) ? byName[name] : undefined;
  if (named !== undefined && (isText || isTexts || name === 'fieldsV1')) return named;
  const ending = byEnding.find(([pattern]) => pattern.test(name))?.[1];
  if (field.type === 'map' && field.items.type === 'string')
    return ending ?? fc.dictionary(qualified, label, { minKeys: 1, maxKeys: 2, noNullPrototype: true });
  if (isText) return ending ?? label;
  if (isTexts) return fc.array(label, { minLength: 1, maxLength: 2 });
  return undefined;
}
