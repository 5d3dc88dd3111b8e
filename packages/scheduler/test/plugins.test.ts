import t from 'tap';
import { PodCounterIndex } from '../src/cache/pod-counter-index.ts';
import type { Plugin, Rejection } from '../src/framework/plugin.ts';
import { podRequests } from '../src/framework/resources.ts';
import { imageLocality } from '../src/plugins/image-locality.ts';
import { interPodAffinity } from '../src/plugins/inter-pod-affinity.ts';
import { nodeAffinity } from '../src/plugins/node-affinity.ts';
import { nodePorts } from '../src/plugins/node-ports.ts';
import { nodeResourcesBalancedAllocation } from '../src/plugins/node-resources-balanced-allocation.ts';
import { nodeResourcesFit } from '../src/plugins/node-resources-fit.ts';
import { nodeUnschedulable } from '../src/plugins/node-unschedulable.ts';
import { podTopologySpread } from '../src/plugins/pod-topology-spread.ts';
import { taintToleration } from '../src/plugins/taint-toleration.ts';
import { appSelector, cacheOf, infoOf, type NodeShorthand, type PodShorthand } from './fixtures.ts';

interface Verdicts {
  readonly nodes: readonly NodeShorthand[];
  readonly existing?: readonly PodShorthand[];
  readonly pod: PodShorthand;
}

/** The plugin's rejection of each node by name, or the reasons with which it rejects the pod itself. */
function filterAll(plugin: Plugin, { nodes, existing = [], pod }: Verdicts): Record<string, Rejection | undefined> {
  const cache = cacheOf(nodes, existing);
  const info = infoOf(pod);
  const prepared = plugin.preFilter?.(info, cache) ?? { kind: 'filter', state: undefined };
  if (prepared.kind === 'rejected') return { '*': prepared.rejection };
  return Object.fromEntries(
    cache.nodes.map((node) => [
      node.name,
      prepared.kind === 'skip' ? undefined : plugin.filter?.(info, node, prepared.state),
    ]),
  );
}

/** The plugin's normalized score of each node; undefined when it does not score the pod. */
function scoreAll(
  plugin: Plugin,
  { nodes, existing = [], pod }: Verdicts,
  sources: Parameters<typeof cacheOf>[2] = {},
): Record<string, number> | undefined {
  const cache = cacheOf(nodes, existing, sources);
  const info = infoOf(pod);
  const state = plugin.preScore?.(info, cache.nodes, cache);
  if (state === undefined) return undefined;
  const scores = cache.nodes.map((node) => plugin.score?.(info, node, state) ?? 0);
  plugin.normalizeScores?.(scores, cache.nodes, state);
  return Object.fromEntries(cache.nodes.map(({ name }, i) => [name, scores[i] ?? 0]));
}

const reasonOf = (verdicts: Record<string, Rejection | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(verdicts).map(([name, rejection]) => [
      name,
      rejection === undefined ? 'fits' : rejection.reasons.join('; '),
    ]),
  );

await t.test('a pod needs the larger of its containers with sidecars and of each init container', (t) => {
  const container = (cpu: string, restartPolicy?: string) => ({
    name: 'c',
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const cpuOf = (spec: object): number => podRequests({ containers: [], ...spec }).milliCpu;
  t.equal(cpuOf({ containers: [container('100m'), container('0.25')] }), 350);
  t.equal(cpuOf({ containers: [container('1')], initContainers: [container('3'), container('2')] }), 3000);
  t.equal(cpuOf({ containers: [container('1')], initContainers: [container('1', 'Always')] }), 2000);
  t.equal(
    cpuOf({ containers: [container('1')], initContainers: [container('1', 'Always'), container('3')] }),
    4000,
    'an init container runs beside the sidecars before it',
  );
  t.equal(cpuOf({ containers: [container('1')], overhead: { cpu: '50m' } }), 1050);
  t.equal(cpuOf({ containers: [container('1')], resources: { requests: { cpu: '5' } } }), 5000);
  t.equal(
    podRequests({ containers: [{ name: 'c', resources: { requests: { memory: '1.5Gi' } } }] }).memory,
    1.5 * 2 ** 30,
  );
  t.end();
});

await t.test('NodeUnschedulable keeps pods off cordoned nodes unless they tolerate it', (t) => {
  const nodes = [{ name: 'a', spec: { unschedulable: true } }, { name: 'b' }];
  t.same(reasonOf(filterAll(nodeUnschedulable, { nodes, pod: {} })), { a: 'node(s) were unschedulable', b: 'fits' });
  const tolerations = [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }];
  t.same(reasonOf(filterAll(nodeUnschedulable, { nodes, pod: { spec: { tolerations } } })), { a: 'fits', b: 'fits' });
  t.end();
});

await t.test('TaintToleration: effects, operators, empty keys and values', (t) => {
  const verdict = (taint: object, ...tolerations: object[]): string | undefined =>
    reasonOf(
      filterAll(taintToleration, {
        nodes: [{ name: 'a', spec: { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule', ...taint }] } }],
        pod: { spec: { tolerations } },
      }),
    )['a'];
  const rejected = 'node(s) had untolerated taint {k: v}';
  const cases: readonly [string, string, object, object[]][] = [
    ['no toleration', rejected, {}, []],
    ['equal', 'fits', {}, [{ key: 'k', value: 'v' }]],
    ['another value', rejected, {}, [{ key: 'k', value: 'w' }]],
    ['another key', rejected, {}, [{ key: 'q', value: 'v' }]],
    ['another effect', rejected, {}, [{ key: 'k', value: 'v', effect: 'NoExecute' }]],
    ['exists', 'fits', {}, [{ key: 'k', operator: 'Exists' }]],
    ['exists without a key', 'fits', {}, [{ operator: 'Exists' }]],
    ['PreferNoSchedule does not filter', 'fits', { effect: 'PreferNoSchedule' }, []],
    ['NoExecute filters', rejected, { effect: 'NoExecute' }, []],
    ['no value', 'node(s) had untolerated taint {k: }', { value: undefined }, []],
  ];
  for (const [name, expected, taint, tolerations] of cases) t.equal(verdict(taint, ...tolerations), expected, name);
  t.same(
    scoreAll(taintToleration, {
      nodes: [{ name: 'a', spec: { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] } }, { name: 'b' }],
      pod: {},
    }),
    { a: 0, b: 100 },
  );
  t.end();
});

await t.test('NodeAffinity: nodeSelector, terms, fields, operators', (t) => {
  const nodes = [
    { name: 'a', labels: { zone: 'z1', gen: '3' } },
    { name: 'b', labels: { zone: 'z2' } },
  ];
  const fitting = (spec: object): string => {
    const verdicts = filterAll(nodeAffinity, { nodes, pod: { spec } });
    if (verdicts['*'] !== undefined) return verdicts['*'].reasons.join();
    return Object.keys(verdicts)
      .filter((name) => verdicts[name] === undefined)
      .join();
  };
  const terms = (...nodeSelectorTerms: object[]): object => ({
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
  });
  const expression = (key: string, operator: string, ...values: string[]) => ({
    matchExpressions: [{ key, operator, values }],
  });
  const field = (...values: string[]) => ({ matchFields: [{ key: 'metadata.name', operator: 'In', values }] });
  const cases: readonly [string, string, object][] = [
    ['nothing asked', 'a,b', {}],
    ['nodeSelector', 'a', { nodeSelector: { zone: 'z1' } }],
    ['In', 'b', terms(expression('zone', 'In', 'z2', 'z3'))],
    ['NotIn also matches nodes without the label', 'b', terms(expression('gen', 'NotIn', '3'))],
    ['Exists', 'a', terms(expression('gen', 'Exists'))],
    ['DoesNotExist', 'b', terms(expression('gen', 'DoesNotExist'))],
    ['Gt', 'a', terms(expression('gen', 'Gt', '2'))],
    ['Lt', '', terms(expression('gen', 'Lt', '3'))],
    ['terms are ORed', 'a,b', terms(expression('zone', 'In', 'z1'), expression('zone', 'In', 'z2'))],
    ['an empty term matches nothing', '', terms({})],
    ['a field', 'b', terms(field('b'))],
    ['both selector and terms', '', { nodeSelector: { zone: 'z1' }, ...terms(expression('zone', 'In', 'z2')) }],
    [
      'fields that exclude each other',
      'pod affinity terms conflict',
      terms({ matchFields: [...field('a').matchFields, ...field('b').matchFields] }),
    ],
  ];
  for (const [name, expected, spec] of cases) t.equal(fitting(spec), expected, name);
  const preferred = (weight: number, ...values: string[]) => ({
    weight,
    preference: expression('zone', 'In', ...values),
  });
  const affinity = {
    nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred(20, 'z1'), preferred(5, 'z2')] },
  };
  t.same(scoreAll(nodeAffinity, { nodes, pod: { spec: { affinity } } }), { a: 100, b: 25 });
  t.equal(scoreAll(nodeAffinity, { nodes, pod: {} }), undefined);
  t.end();
});

await t.test('NodePorts: addresses and protocols', (t) => {
  const ports = (...hostPorts: object[]): PodShorthand => ({
    spec: { containers: [{ name: 'c', ports: hostPorts.map((port) => ({ containerPort: 80, ...port })) }] },
  });
  const verdict = (taken: object, wanted: object): string | undefined =>
    reasonOf(
      filterAll(nodePorts, {
        nodes: [{ name: 'a' }],
        existing: [{ nodeName: 'a', ...ports(taken) }],
        pod: ports(wanted),
      }),
    )['a'];
  const taken = "node(s) didn't have free ports for the requested pod ports";
  t.equal(verdict({ hostPort: 80 }, { hostPort: 80 }), taken);
  t.equal(verdict({ hostPort: 80 }, { hostPort: 81 }), 'fits');
  t.equal(verdict({ hostPort: 80 }, { hostPort: 80, protocol: 'UDP' }), 'fits');
  t.equal(verdict({ hostPort: 80, hostIP: '127.0.0.1' }, { hostPort: 80, hostIP: '127.0.0.2' }), 'fits');
  t.equal(verdict({ hostPort: 80, hostIP: '127.0.0.1' }, { hostPort: 80 }), taken);
  t.equal(verdict({ hostPort: 80 }, { hostPort: 80, hostIP: '127.0.0.1' }), taken);
  t.end();
});

await t.test('NodeResourcesFit names every shortage, and knows the hopeless ones', (t) => {
  const fit = nodeResourcesFit();
  const nodes = [{ name: 'a', allocatable: { cpu: '2', memory: '1Gi', pods: '2', 'example.com/gpu': '1' } }];
  const one: PodShorthand = { nodeName: 'a', requests: { cpu: '1500m', memory: '256Mi' } };
  const verdict = (requests: Record<string, string>, ...existing: PodShorthand[]) =>
    filterAll(fit, { nodes, existing, pod: { requests } })['a'];
  t.equal(verdict({ cpu: '2' }), undefined);
  t.equal(verdict({ cpu: '500m' }, one), undefined);
  t.same(verdict({ cpu: '501m' }, one), { code: 'Unschedulable', reasons: ['Insufficient cpu'] });
  t.same(verdict({ cpu: '1', memory: '1Gi' }, one)?.reasons, ['Insufficient cpu', 'Insufficient memory']);
  t.same(verdict({ cpu: '3' }), { code: 'UnschedulableAndUnresolvable', reasons: ['Insufficient cpu'] });
  t.same(verdict({}, one, one, { ...one, name: 'second' })?.reasons, ['Too many pods']);
  t.same(verdict({ 'example.com/gpu': '2' })?.reasons, ['Insufficient example.com/gpu']);
  t.same(verdict({ 'ephemeral-storage': '1' })?.reasons, ['Insufficient ephemeral-storage']);
  t.end();
});

await t.test('resource scores: least and most allocated, and balanced', (t) => {
  const nodes = [
    { name: 'a', allocatable: { cpu: '4', memory: '10000Mi' } },
    { name: 'b', allocatable: { cpu: '6', memory: '10000Mi' } },
  ];
  const requests = { cpu: '3', memory: '5000Mi' };
  t.same(scoreAll(nodeResourcesFit(), { nodes, pod: { requests } }), { a: 37, b: 50 });
  const most = nodeResourcesFit({
    strategy: 'MostAllocated',
    resources: [
      { name: 'cpu', weight: 1 },
      { name: 'memory', weight: 1 },
    ],
  });
  t.same(scoreAll(most, { nodes, pod: { requests } }), { a: 62, b: 50 });
  t.same(scoreAll(nodeResourcesBalancedAllocation(), { nodes, pod: { requests } }), { a: 87, b: 100 });
  t.equal(scoreAll(nodeResourcesBalancedAllocation(), { nodes, pod: {} }), undefined, 'best effort is not scored');
  const empty = scoreAll(nodeResourcesFit(), { nodes, existing: [{ nodeName: 'b' }], pod: {} });
  t.same(empty, { a: 97, b: 96 }, 'pods without requests count too');
  t.end();
});

await t.test('ImageLocality prefers nodes that have the images', (t) => {
  const MIB = 1024 * 1024;
  const nodes = [
    { name: 'a', images: { 'app:latest': 523 * MIB } },
    { name: 'b', images: { 'other:1': 900 * MIB } },
  ];
  t.same(scoreAll(imageLocality, { nodes, pod: {} }), { a: 24, b: 0 });
  t.equal(scoreAll(imageLocality, { nodes: [{ name: 'a' }], pod: {} }), undefined);
  t.end();
});

const zones: readonly NodeShorthand[] = [
  { name: 'a', labels: { zone: 'z1' } },
  { name: 'b', labels: { zone: 'z1' } },
  { name: 'x', labels: { zone: 'z2' } },
  { name: 'none' },
];
const app = { app: 'web' };

await t.test('PodTopologySpread filters by skew', (t) => {
  const constraint = (overrides: object = {}) => ({
    maxSkew: 1,
    topologyKey: 'zone',
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: app },
    ...overrides,
  });
  const verdicts = (existing: readonly PodShorthand[], ...constraints: object[]) =>
    reasonOf(
      filterAll(podTopologySpread(), {
        nodes: zones,
        existing,
        pod: { labels: app, spec: { topologySpreadConstraints: constraints as never } },
      }),
    );
  const on = (nodeName: string, extra: PodShorthand = {}): PodShorthand => ({ nodeName, labels: app, ...extra });
  const skewed = "node(s) didn't match pod topology spread constraints";
  const unlabelled = `${skewed} (missing required label)`;
  t.same(verdicts([], constraint()), { a: 'fits', b: 'fits', x: 'fits', none: unlabelled });
  t.same(verdicts([on('a')], constraint()), { a: skewed, b: skewed, x: 'fits', none: unlabelled });
  t.same(verdicts([on('a')], constraint({ maxSkew: 2 }))['b'], 'fits');
  t.same(verdicts([on('a', { namespace: 'other' })], constraint())['b'], 'fits', 'other namespaces do not count');
  t.same(verdicts([on('none')], constraint())['a'], 'fits', 'nodes without the key do not count');
  t.same(verdicts([], constraint({ minDomains: 3 }))['a'], 'fits');
  t.same(verdicts([on('a'), on('x')], constraint({ minDomains: 3 }))['x'], skewed, 'too few domains: the minimum is 0');
  t.same(verdicts([on('a')], constraint(), constraint({ topologyKey: 'kubernetes.io/hostname' })), {
    a: skewed,
    b: skewed,
    x: 'fits',
    none: unlabelled,
  });
  t.same(verdicts([on('a')], constraint({ matchLabelKeys: ['rev'] }))['b'], skewed, 'a key the pod lacks is ignored');
  t.same(filterAll(podTopologySpread(), { nodes: zones, pod: { labels: app } })['none'], undefined);
  t.end();
});

await t.test('PodTopologySpread scores by its own constraints, else by the defaults', (t) => {
  const nodes: readonly NodeShorthand[] = [
    { name: 'a', labels: { 'topology.kubernetes.io/zone': 'z1' } },
    { name: 'b', labels: { 'topology.kubernetes.io/zone': 'z1' } },
    { name: 'x', labels: { 'topology.kubernetes.io/zone': 'z2' } },
  ];
  const existing = [
    { nodeName: 'a', labels: app },
    { nodeName: 'a', labels: app },
  ];
  const byDefault = scoreAll(
    podTopologySpread(),
    { nodes, existing, pod: { labels: app } },
    { defaultSelector: appSelector },
  );
  t.ok(byDefault !== undefined && (byDefault['x'] ?? 0) > (byDefault['b'] ?? 0), 'the other zone is better');
  t.ok(byDefault !== undefined && (byDefault['b'] ?? 0) > (byDefault['a'] ?? 0), 'the other node is better');
  t.equal(
    scoreAll(podTopologySpread(), { nodes, existing, pod: { labels: app } }),
    undefined,
    'of no Service or ReplicaSet',
  );
  const choosing = scoreAll(
    podTopologySpread(),
    { nodes, existing, pod: { labels: app, spec: { nodeSelector: { 'topology.kubernetes.io/zone': 'z1' } } } },
    { defaultSelector: appSelector },
  );
  t.ok(
    choosing !== undefined && (choosing['b'] ?? 0) > (choosing['a'] ?? 0),
    'nodes that the pod does not choose do not count',
  );
  // One hostname constraint over three nodes: a has two pods of weight ln(5), rounded to 3 and 0.
  const own = scoreAll(podTopologySpread(), {
    nodes,
    existing,
    pod: {
      labels: app,
      spec: {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: app },
          },
        ],
      },
    },
  });
  t.same(own, { a: 0, b: 100, x: 100 });
  t.end();
});

await t.test('InterPodAffinity filters in both directions', (t) => {
  const term = (overrides: object = {}) => ({ topologyKey: 'zone', labelSelector: { matchLabels: app }, ...overrides });
  const affinity = (...terms: object[]): PodShorthand => ({
    spec: { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms as never } } },
  });
  const antiAffinity = (...terms: object[]): PodShorthand => ({
    spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms as never } } },
  });
  const verdicts = (pod: PodShorthand, ...existing: PodShorthand[]) =>
    reasonOf(filterAll(interPodAffinity(), { nodes: zones, existing, pod }));
  const no = "node(s) didn't match pod affinity rules";
  const noAnti = "node(s) didn't match pod anti-affinity rules";
  const noExisting = "node(s) didn't satisfy existing pods anti-affinity rules";
  const web = { nodeName: 'a', labels: app };
  t.same(verdicts(affinity(term()), web), { a: 'fits', b: 'fits', x: no, none: no });
  t.same(verdicts(affinity(term())), { a: no, b: no, x: no, none: no });
  t.same(
    verdicts({ ...affinity(term()), labels: app }),
    { a: 'fits', b: 'fits', x: 'fits', none: no },
    'the first of its kind may go anywhere that has the key',
  );
  t.same(verdicts(antiAffinity(term()), web), { a: noAnti, b: noAnti, x: 'fits', none: 'fits' });
  t.same(verdicts({ labels: app }, { nodeName: 'x', ...antiAffinity(term()) })['x'], noExisting);
  t.same(verdicts({}, { nodeName: 'x', ...antiAffinity(term()) })['x'], 'fits');
  t.same(verdicts(affinity(term({ namespaces: ['other'] })), web)['a'], no);
  t.same(verdicts(affinity(term({ namespaceSelector: {} })), { ...web, namespace: 'other' })['a'], 'fits');
  t.same(
    verdicts(affinity(term(), term({ labelSelector: { matchLabels: { tier: 'db' } } })), web, {
      nodeName: 'a',
      labels: { tier: 'db' },
    })['a'],
    no,
    'one pod must match all terms',
  );
  t.end();
});

await t.test('InterPodAffinity scores by preferred terms of both sides', (t) => {
  const preferred = (weight: number) => [
    { weight, podAffinityTerm: { topologyKey: 'zone', labelSelector: { matchLabels: app } } },
  ];
  const existing: readonly PodShorthand[] = [{ nodeName: 'a', labels: app }];
  const attracted = {
    spec: { affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred(10) } } },
  };
  const repelled = {
    spec: { affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred(10) } } },
  };
  t.same(scoreAll(interPodAffinity(), { nodes: zones, existing, pod: attracted }), { a: 100, b: 100, x: 0, none: 0 });
  t.same(scoreAll(interPodAffinity(), { nodes: zones, existing, pod: repelled }), { a: 0, b: 0, x: 100, none: 100 });
  t.same(
    scoreAll(interPodAffinity(), { nodes: zones, existing: [{ nodeName: 'x', ...attracted }], pod: { labels: app } }),
    { a: 0, b: 0, x: 100, none: 0 },
    'pods on nodes draw others',
  );
  const ignoring = interPodAffinity({ hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: true });
  t.equal(
    scoreAll(ignoring, { nodes: zones, existing: [{ nodeName: 'x', ...attracted }], pod: { labels: app } }),
    undefined,
  );
  t.equal(scoreAll(interPodAffinity(), { nodes: zones, existing, pod: {} }), undefined);
  t.end();
});

await t.test('counters follow pods that come, change and go', (t) => {
  const cache = cacheOf(zones, [{ nodeName: 'a', labels: app, name: 'one' }]);
  const query = {
    key: 'q',
    namespace: 'default',
    matches: ({ labels }: { labels: Record<string, string> }) => labels['app'] === 'web',
  };
  t.same([...cache.podCounts(query)], [['a', 1]]);
  const two = infoOf({ name: 'two', labels: app });
  cache.assumePod(two, 'b');
  t.same(Object.fromEntries(cache.podCounts(query)), { a: 1, b: 1 });
  cache.without(['uid-default-one'], () => t.same(Object.fromEntries(cache.podCounts(query)), { b: 1 }));
  cache.setPod(infoOf({ name: 'two', labels: { app: 'api' } }), 'b');
  t.same(Object.fromEntries(cache.podCounts(query)), { a: 1 });
  cache.forgetPod(two.uid);
  t.equal(cache.node('b')?.pods.size, 1, 'a pod that is seen on its node is no assumption any more');
  cache.removePod('uid-default-one');
  t.same(Object.fromEntries(cache.podCounts(query)), {});
  cache.removeNode('b');
  t.equal(
    cache.nodes.some(({ name }) => name === 'b'),
    false,
  );
  cache.removePod(two.uid);
  t.equal(cache.node('b'), undefined, 'a node that is gone is forgotten with its last pod');
  t.end();
});

await t.test('of too many counters the one asked longest ago is dropped, and counted anew when asked again', (t) => {
  const index = new PodCounterIndex(() => undefined);
  const pod = infoOf({ labels: app });
  let walks = 0;
  const counts = (key: string): number => {
    const query = { key, namespace: 'default', matches: () => true };
    const walk = (): [typeof pod, string][] => {
      walks++;
      return [[pod, 'a']];
    };
    return index.counts(query, walk).get('a') ?? 0;
  };
  for (let i = 0; i < 512; i++) counts(`q${i}`);
  t.equal(walks, 512);
  t.equal(counts('q0'), 1);
  t.equal(walks, 512, 'known');
  counts('one more');
  t.equal(counts('q0'), 1);
  t.equal(walks, 513, 'q0 was used since');
  t.equal(counts('q1'), 1);
  t.equal(walks, 514, 'q1 made room');
  t.end();
});
