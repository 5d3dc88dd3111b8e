/** Expressions that cost too much, over HTTP: refused when they are defined, or when they run. */
import t from 'tap';
import type { UnstructuredObject } from '@naru/api';
import { formatFieldError } from '@naru/api';
import { eventually } from '@naru/testkit';
import { customResourceDefinitionStrategy } from '../src/registry/strategies/definitions/custom-resource-definition.ts';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const registration = '/apis/admissionregistration.k8s.io/v1';
const configMaps = '/api/v1/namespaces/default/configmaps';

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store);

const eachPair = 'self.all(a, self.all(b, a != b || a == b))';

function definition(plural: string, list: object, changes: object = {}): UnstructuredObject {
  const schema = { type: 'object', properties: { list: { type: 'array', items: { type: 'integer' }, ...list } } };
  const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural, singular: plural, kind: `K${plural}`, listKind: `K${plural}List` },
      versions: [version],
      ...changes,
    },
  };
}

const rule = (...rules: readonly string[]): object => ({
  'x-kubernetes-validations': rules.map((each) => ({ rule: each })),
});
const advice =
  '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)';
const place = 'spec.versions[0].schema.openAPIV3Schema';

await t.test('definitions whose rules may cost too much are refused', async (t) => {
  const unbounded = await api.request('POST', definitions, { body: definition('as', rule(eachPair)) });
  t.equal(unbounded.status, 422);
  for (const message of [
    `${place}.properties[list].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x ${advice}`,
    `${place}.properties[list].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`,
    `${place}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x ${advice}`,
  ])
    t.match(unbounded.body.message, message);
  const large = await api.request('POST', definitions, {
    body: definition('as', { maxItems: 2000, ...rule(eachPair) }),
  });
  t.match(large.body.message, `rule: Forbidden: estimated rule cost exceeds budget by factor of 2.8x ${advice}`);
  t.notMatch(large.body.message, 'contributed', 'one such rule is not too much for all');
  const bounded = await api.request('POST', definitions, {
    body: definition('as', { maxItems: 100, ...rule(eachPair) }),
  });
  t.equal(bounded.status, 201, bounded.text);
  const message = { 'x-kubernetes-validations': [{ rule: 'true', messageExpression: "'no ' + string(self[0])" }] };
  const worded = await api.request('POST', definitions, { body: definition('bs', message) });
  t.match(worded.body.message, /messageExpression: Forbidden: estimated messageExpression cost exceeds budget/u);
});

await t.test('what was accepted before is not asked again, unless its schema changes', (t) => {
  const { validate, validateUpdate } = customResourceDefinitionStrategy;
  const stored = definition('cs', rule(eachPair));
  const problems = (now: UnstructuredObject): string[] =>
    (validateUpdate?.(now, stored) ?? []).map(formatFieldError).filter((each) => each.includes('cost'));
  t.ok(validate?.(stored).some(({ detail }) => detail.includes('exceeds budget')));
  t.same(
    problems({ ...definition('cs', rule(eachPair)), metadata: { name: 'cs.example.com', labels: { a: 'b' } } }),
    [],
  );
  t.equal(problems(definition('cs', rule(eachPair, 'true'))).length, 3);
  t.end();
});

/** Answers one request while it sends others, and says how long the slowest of these took. */
async function withOthers(request: Promise<Answer>): Promise<{ readonly answer: Answer; readonly othersMs: number }> {
  const startMs = performance.now();
  const others = Array.from({ length: 5 }, async () => {
    const { status } = await api.request('GET', '/api/v1/namespaces/default');
    t.equal(status, 200);
    return performance.now() - startMs;
  });
  return { answer: await request, othersMs: Math.max(...(await Promise.all(others))) };
}

await t.test('a rule ends at its limit, and others are answered meanwhile', async (t) => {
  const made = await api.request('POST', definitions, {
    body: definition('ds', { maxItems: 1000, ...rule(eachPair, 'self.size() < 0') }),
  });
  t.equal(made.status, 201, made.text);
  const object = { apiVersion: 'example.com/v1', kind: 'Kds', metadata: { name: 'd' } };
  const path = '/apis/example.com/v1/namespaces/default/ds';
  const list = (length: number): number[] => Array.from({ length }, (_, i) => i);
  const short = await eventually(
    async () => {
      const answer = await api.request('POST', path, { body: { ...object, list: list(10) } });
      if (answer.status === 404) throw new Error(answer.text);
      return answer;
    },
    { deadlineMs: 60_000 },
  );
  t.match(
    short.body.message,
    /list: Invalid value: "array": failed rule: self\.size\(\) < 0$/u,
    'the first rule holds',
  );
  const { answer, othersMs } = await withOthers(api.request('POST', path, { body: { ...object, list: list(1000) } }));
  t.equal(answer.status, 422);
  t.match(
    answer.body.message,
    /list: Invalid value: "array": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: failed rule: self\.all\(a/u,
  );
  t.notMatch(answer.body.message, 'self.size() < 0', 'no further rules are run');
  t.ok(othersMs < 10_000, `others waited ${othersMs} ms`);
});

await t.test('all rules of an object share a budget', async (t) => {
  // Each of them costs 900,000 or so, a little less than it may.
  const dear = Array.from({ length: 12 }, (_, i) => `self.all(a, self.all(b, a != b || a == b)) && ${i} >= 0`);
  const made = await api.request('POST', definitions, { body: definition('es', { maxItems: 400, ...rule(...dear) }) });
  t.equal(made.status, 201, made.text);
  const body = {
    apiVersion: 'example.com/v1',
    kind: 'Kes',
    metadata: { name: 'e' },
    list: Array.from({ length: 400 }, (_, i) => i),
  };
  const answer = await eventually(
    async () => {
      const given = await api.request('POST', '/apis/example.com/v1/namespaces/default/es', { body });
      if (given.status === 404) throw new Error(given.text);
      return given;
    },
    { deadlineMs: 60_000 },
  );
  t.equal(answer.status, 422);
  t.match(
    answer.body.message,
    /is invalid: list: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run$/u,
  );
});

const dear = 'object.data.all(a, object.data.all(b, object.data.all(c, true)))';
const data = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`k${i}`, '']));
const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data };
const rules = [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }];

/** What becomes of a large ConfigMap under a policy. */
async function underPolicy(kind: 'Validating' | 'Mutating', spec: object): Promise<Answer> {
  const [policies, bindings] = [
    `${kind.toLowerCase()}admissionpolicies`,
    `${kind.toLowerCase()}admissionpolicybindings`,
  ];
  const base = { apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name: 'p' } };
  const made = await api.request('POST', `${registration}/${policies}`, {
    body: { ...base, kind: `${kind}AdmissionPolicy`, spec: { matchConstraints: { resourceRules: rules }, ...spec } },
  });
  t.equal(made.status, 201, made.text);
  await api.request('POST', `${registration}/${bindings}`, {
    body: {
      ...base,
      kind: `${kind}AdmissionPolicyBinding`,
      spec: { policyName: 'p', ...(kind === 'Validating' ? { validationActions: ['Deny'] } : {}) },
    },
  });
  // A consistent read: the server knows of the policy then.
  await api.request('GET', `${registration}/${bindings}`);
  const { answer, othersMs } = await withOthers(api.request('POST', `${configMaps}?dryRun=All`, { body: configMap }));
  t.ok(othersMs < 20_000, `others waited ${othersMs} ms`);
  await api.request('DELETE', `${registration}/${policies}/p`);
  await api.request('DELETE', `${registration}/${bindings}/p`);
  return answer;
}

await t.test('policies: validations, variables, match conditions and mutations', async (t) => {
  const limit = 'operation cancelled: actual cost limit exceeded';
  const budget = 'validation failed due to running out of cost budget, no further validation rules will be run';
  const denied = async (spec: object, message: string): Promise<void> => {
    const refused = await underPolicy('Validating', spec);
    t.equal(refused.status, 422, refused.text);
    t.ok(refused.body.message?.endsWith(message), refused.text);
    const ignored = await underPolicy('Validating', { ...spec, failurePolicy: 'Ignore' });
    t.equal(ignored.status, 201, ignored.text);
  };
  await denied(
    { validations: [{ expression: dear }] },
    `denied request: expression '${dear}' resulted in error: ${limit}`,
  );
  await denied(
    { variables: [{ name: 'v', expression: dear }], validations: [{ expression: 'variables.v' }] },
    `denied request: expression 'variables.v' resulted in error: ${limit}`,
  );
  await denied(
    { validations: Array.from({ length: 11 }, (_, i) => ({ expression: `${dear} || ${i} == 0` })) },
    `denied request: ${budget}`,
  );
  await denied(
    {
      matchConditions: Array.from({ length: 3 }, (_, i) => ({ name: `c${i}`, expression: dear })),
      validations: [{ expression: 'true' }],
    },
    `denied request: ${budget}`,
  );
  const mutations = [{ patchType: 'JSONPatch', jsonPatch: { expression: `${dear} ? [] : []` } }];
  const mutated = await underPolicy('Mutating', { mutations, reinvocationPolicy: 'Never' });
  t.match(mutated.body.message, limit);
  t.equal(
    (await underPolicy('Mutating', { mutations, reinvocationPolicy: 'Never', failurePolicy: 'Ignore' })).status,
    201,
  );
});

await t.test('match conditions of webhooks', async (t) => {
  const configure = async (failurePolicy: string): Promise<Answer> => {
    const path = `${registration}/validatingwebhookconfigurations`;
    const webhook = {
      name: 'w.example.com',
      clientConfig: { url: 'https://localhost:1/' },
      rules,
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      failurePolicy,
      matchConditions: [{ name: 'dear', expression: dear }],
    };
    const made = await api.request('POST', path, {
      body: {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingWebhookConfiguration',
        metadata: { name: 'w' },
        webhooks: [webhook],
      },
    });
    t.equal(made.status, 201, made.text);
    await api.request('GET', path);
    const answer = await api.request('POST', `${configMaps}?dryRun=All`, { body: configMap });
    await api.request('DELETE', `${path}/w`);
    return answer;
  };
  const refused = await configure('Fail');
  t.equal(refused.status, 403);
  t.match(refused.body.message, 'actual cost limit exceeded');
  t.equal((await configure('Ignore')).status, 201, 'the webhook, which is not there, is not asked');
});
