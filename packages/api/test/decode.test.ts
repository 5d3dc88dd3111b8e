import {
  builtInResources,
  builtInSchemas,
  decodeObject,
  duplicateFields,
  type FieldValidation,
  schemaOf,
  StatusError,
  validateSchema,
} from '@naru/api';
import fc from 'fast-check';
import t from 'tap';

const podGvk = { group: '', version: 'v1', kind: 'Pod' };

const pod = (spec: object, metadata: object = { name: 'a' }): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  spec,
});
const container = (fields: object): Record<string, unknown> =>
  pod({ containers: [{ name: 'c', image: 'i', ...fields }] });

function errorOf(model: string, value: unknown): string | undefined {
  return validateSchema(model, value).error;
}

await t.test('every built-in kind has a schema that names its references', (t) => {
  const schemas = builtInSchemas();
  for (const { model, group, version, kind } of builtInResources)
    t.strictSame(schemaOf(model)?.gvk, { group, version, kind }, model);
  const missing = Object.values(schemas).flatMap(({ fields }) =>
    Object.values(fields).filter((field) => field.type === 'ref' && schemas[field.ref] === undefined),
  );
  t.strictSame(missing, []);
  t.equal(new Set(Object.values(schemas).map(({ name }) => name)).size, Object.keys(schemas).length);
  t.equal(schemaOf('constructor'), undefined);
  const spec = schemaOf('V1PodSpec');
  t.equal(spec?.name, 'io.k8s.api.core.v1.PodSpec');
  t.match(spec?.fields['containers'], {
    type: 'array',
    items: { type: 'ref', ref: 'V1Container' },
    required: true,
    listType: 'map',
    listMapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  });
  t.strictSame(spec?.fields['restartPolicy']?.enum, ['Always', 'Never', 'OnFailure']);
  t.strictSame(schemaOf('V1EphemeralContainer')?.fields['env']?.patchMergeKey, 'name');
  t.end();
});

await t.test('wrong types are told in encoding/json’s words', (t) => {
  const table: readonly (readonly [unknown, string])[] = [
    [pod({ containers: 'x' }), 'string into Go struct field PodSpec.spec.containers of type []v1.Container'],
    [pod([]), 'array into Go struct field Pod.spec of type v1.PodSpec'],
    [container({ args: [1] }), 'number into Go struct field Container.spec.containers.args of type string'],
    [container({ args: {} }), 'object into Go struct field Container.spec.containers.args of type []string'],
    [container({ tty: 'yes' }), 'string into Go struct field Container.spec.containers.tty of type bool'],
    [
      container({ imagePullPolicy: 1 }),
      'number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy',
    ],
    [
      container({ ports: [{ containerPort: '80' }] }),
      'string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
    ],
    [
      container({ ports: [{ containerPort: 80.5 }] }),
      'number 80.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
    ],
    [
      container({ ports: [{ containerPort: 2147483648 }] }),
      'number 2147483648 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
    ],
    [
      container({ resources: { limits: [] } }),
      'array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList',
    ],
    [pod({}, { labels: { a: 1 } }), 'number into Go struct field ObjectMeta.metadata.labels of type string'],
    [pod({}, { labels: 'a' }), 'string into Go struct field ObjectMeta.metadata.labels of type map[string]string'],
    [pod({}, { name: true }), 'bool into Go struct field ObjectMeta.metadata.name of type string'],
    ['x', 'string into Go value of type v1.Pod'],
  ];
  for (const [value, message] of table) t.equal(errorOf('V1Pod', value), `json: cannot unmarshal ${message}`);
  t.equal(
    errorOf('V1Pod', pod({ containers: 'x', nodeName: 1 })),
    'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
    'the first error counts',
  );
  t.end();
});

await t.test('values with their own format are told their own errors', (t) => {
  t.equal(
    errorOf('V1Pod', container({ resources: { limits: { cpu: 'much' } } })),
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  );
  const time = (text: unknown): string | undefined => errorOf('V1Pod', pod({}, { creationTimestamp: text }));
  t.equal(time('2024-02-30T00:00:00Z'), 'parsing time "2024-02-30T00:00:00Z": day out of range');
  t.equal(time('2024-13-30T00:00:00Z'), 'parsing time "2024-13-30T00:00:00Z": month out of range');
  t.equal(time('soon'), 'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"');
  t.equal(time('2024-01-02'), 'parsing time "2024-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"');
  t.equal(time('2024-01-02T03:04:05Zx'), 'parsing time "2024-01-02T03:04:05Zx": extra text: "x"');
  t.equal(time(5), 'json: cannot unmarshal number into Go value of type string');
  t.equal(
    errorOf('V1Lease', { spec: { renewTime: '2024-01-02T03:04:05Z' } }),
    'parsing time "2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"',
  );
  t.equal(
    errorOf('V1Pod', container({ livenessProbe: { httpGet: { port: 1.5 } } })),
    'json: cannot unmarshal number 1.5 into Go value of type int32',
  );
  const data = (text: unknown): string | undefined => errorOf('V1Secret', { data: { a: text } });
  t.equal(data('YWJj'), undefined);
  t.equal(data('YW\nJj'), undefined);
  for (const [text, at] of [
    ['a*bc', 1],
    ['YWJjYQ', 4],
    ['YWJjY', 4],
    ['YWJjYQ=', 7],
    ['YQ=a', 2],
    ['YQ==YQ==', 4],
    ['=', 0],
  ] as const)
    t.equal(data(text), `illegal base64 data at input byte ${at}`, text);
  t.equal(data(1), 'json: cannot unmarshal number into Go struct field Secret.data of type []uint8');
  t.end();
});

await t.test('unknown fields are dropped and named by their paths', (t) => {
  const value = pod(
    { containers: [{ name: 'c', Image: 'x', ports: [{}, { port: 1 }] }], foo: { bar: 1 } },
    { name: 'a', labels: { any: 'thing' }, extra: null },
  );
  const { error, unknownFields } = validateSchema('V1Pod', value);
  t.equal(error, undefined);
  t.strictSame(unknownFields, [
    'metadata.extra',
    'spec.containers[0].Image',
    'spec.containers[0].ports[1].port',
    'spec.foo',
  ]);
  t.strictSame(value, pod({ containers: [{ name: 'c', ports: [{}, {}] }] }, { name: 'a', labels: { any: 'thing' } }));
  const crd = { spec: { versions: [{ schema: { openAPIV3Schema: { properties: { a: { tipe: 'string' } } } } }] } };
  t.strictSame(validateSchema('V1CustomResourceDefinition', crd).unknownFields, [
    'spec.versions[0].schema.openAPIV3Schema.properties.a.tipe',
  ]);
  const polluted = JSON.parse('{"metadata":{"__proto__":{"x":1},"constructor":1,"name":"a"}}') as object;
  t.strictSame(validateSchema('V1Pod', polluted).unknownFields, ['metadata.__proto__', 'metadata.constructor']);
  t.end();
});

await t.test('fieldValidation decides what unknown and duplicate fields do', (t) => {
  const request = (fieldValidation: FieldValidation, body: string): string[] =>
    decodeObject(JSON.parse(body), {
      gvk: podGvk,
      model: 'V1Pod',
      fieldValidation,
      duplicateFields: duplicateFields(body),
    });
  const body = '{"metadata":{"name":"a","name":"b"},"spec":{"foo":1,"nope":2}}';
  t.strictSame(request('Ignore', body), []);
  t.strictSame(request('Warn', body), [
    'unknown field "spec.foo"',
    'unknown field "spec.nope"',
    'duplicate field "metadata.name"',
  ]);
  const refused = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof StatusError) return `${error.code} ${error.reason}: ${error.message}`;
    }
    return 'accepted';
  };
  t.equal(
    refused(() => request('Strict', body)),
    '400 BadRequest: Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo", unknown field "spec.nope", duplicate field "metadata.name"',
  );
  t.equal(
    refused(() => request('Ignore', '{"spec":{"containers":"x"}}')),
    '400 BadRequest: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
  );
  t.end();
});

await t.test('null is absent, empty optional lists and maps are left out, formats become canonical', (t) => {
  const value = pod(
    {
      containers: [
        {
          name: 'c',
          args: [],
          command: [null],
          resources: { requests: { cpu: 0.5, memory: '1024Mi' }, limits: {} },
          livenessProbe: { httpGet: { port: 80 }, initialDelaySeconds: null },
        },
        null,
      ],
      nodeSelector: {},
      securityContext: {},
      volumes: null,
    },
    {
      name: 'a',
      namespace: '',
      labels: { a: null },
      creationTimestamp: null,
      deletionTimestamp: '2024-01-02T05:04:05+02:00',
    },
  );
  t.strictSame(validateSchema('V1Pod', value).error, undefined);
  t.strictSame(
    value,
    pod(
      {
        containers: [
          {
            name: 'c',
            command: [''],
            resources: { requests: { cpu: '500m', memory: '1Gi' } },
            livenessProbe: { httpGet: { port: 80 } },
          },
          {},
        ],
        securityContext: {},
      },
      { name: 'a', labels: { a: '' }, deletionTimestamp: '2024-01-02T03:04:05Z' },
    ),
  );
  const selector = { nodeSelectorTerms: [] };
  validateSchema('V1NodeSelector', selector);
  t.strictSame(selector, { nodeSelectorTerms: [] }, 'a required list stays');
  t.end();
});

await t.test('decoding what was decoded changes nothing', (t) => {
  fc.assert(
    fc.property(fc.object({ maxDepth: 4 }), fc.object({ maxDepth: 4 }), (spec, metadata) => {
      const value = JSON.parse(JSON.stringify(pod(spec, metadata))) as object;
      const first = validateSchema('V1Pod', value);
      if (first.error !== undefined) return true;
      const once = JSON.stringify(value);
      const second = validateSchema('V1Pod', value);
      return JSON.stringify(value) === once && second.error === undefined && second.unknownFields.length === 0;
    }),
  );
  t.end();
});

await t.test('duplicate fields are found wherever they stand', (t) => {
  const table: readonly (readonly [string, string[]])[] = [
    ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', []],
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":[{"c":1},{"c":1,"c":{}}]}}', ['a.b[1].c']],
    [String.raw`{"a\"":1,"b":"\\","a\"":"}{,:"}`, ['a"']],
    [String.raw`{"a":1,"\u0061":2}`, ['a']],
    ['[1,[{"x":"a","x":"b"}]]', ['[1][0].x']],
  ];
  for (const [json, paths] of table) t.strictSame(duplicateFields(json), paths, json);
  fc.assert(fc.property(fc.json(), (json) => duplicateFields(json).length === 0));
  t.end();
});
