// Random histories of a cluster: what is kept up to date per event must equal what a walk over everything gives, and no
// placement may break what it promises.
import fc from 'fast-check';
import t from 'tap';
import type { NodeInfo } from '../src/framework/node-info.ts';
import { newPodInfo, termMatches, type PodInfo } from '../src/framework/pod-info.ts';
import { newResources, addResources } from '../src/framework/resources.ts';
import { Heap } from '../src/queue/heap.ts';
import { appSelector, newCache, newFramework, newNode, newPod, type PodShorthand } from './fixtures.ts';

const RUNS = 60;
const nodeNames = ['a', 'b', 'c', 'd'];
const apps = ['web', 'db'];

const podSpec = (name: string): fc.Arbitrary<PodShorthand> =>
  fc
    .record({
      app: fc.constantFrom(...apps),
      cpu: fc.integer({ min: 0, max: 20 }),
      hostPort: fc.option(fc.constantFrom(80, 81), { nil: undefined, freq: 8 }),
      alone: fc.boolean(),
      spread: fc.boolean(),
    })
    .map(({ app, cpu, hostPort, alone, spread }) => ({
      name,
      labels: { app },
      requests: cpu === 0 ? {} : { cpu: `${cpu * 100}m` },
      spec: {
        ...(hostPort === undefined
          ? {}
          : {
              containers: [
                {
                  name: 'c',
                  ports: [{ containerPort: hostPort, hostPort }],
                  resources: { requests: { cpu: `${cpu * 100}m` } },
                },
              ],
            }),
        ...(alone
          ? {
              affinity: {
                podAntiAffinity: {
                  requiredDuringSchedulingIgnoredDuringExecution: [
                    { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } },
                  ],
                },
              },
            }
          : {}),
        ...(spread
          ? {
              topologySpreadConstraints: [
                {
                  maxSkew: 1,
                  topologyKey: 'zone',
                  whenUnsatisfiable: 'DoNotSchedule',
                  labelSelector: { matchLabels: { app } },
                },
              ],
            }
          : {}),
      },
    }));

type Step =
  | { readonly kind: 'schedule'; readonly pod: PodShorthand }
  | { readonly kind: 'delete' | 'confirm' | 'forget'; readonly index: number }
  | { readonly kind: 'node'; readonly name: string; readonly cpu: number }
  | { readonly kind: 'removeNode'; readonly name: string };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.nat().chain((n) => podSpec(`p${n}`).map((pod): Step => ({ kind: 'schedule', pod }))) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('delete', 'confirm', 'forget'),
        index: fc.nat(),
      }) as fc.Arbitrary<Step>,
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('node'),
        name: fc.constantFrom(...nodeNames),
        cpu: fc.integer({ min: 1, max: 6 }),
      }) as fc.Arbitrary<Step>,
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('removeNode'),
        name: fc.constantFrom(...nodeNames),
      }) as fc.Arbitrary<Step>,
    },
  ),
  { maxLength: 60 },
);

/** What a placement must hold against all pods on all nodes, by plain loops. */
function violations(pod: PodInfo, nodeName: string, nodes: readonly NodeInfo[]): string[] {
  const found: string[] = [];
  const target = nodes.find(({ name }) => name === nodeName);
  if (target === undefined) return ['no such node'];
  if (target.requested.milliCpu > target.allocatable.milliCpu && pod.requests.milliCpu > 0) found.push('overcommitted');
  const others = [...target.pods.values()].filter(({ uid }) => uid !== pod.uid);
  const labels = (): undefined => undefined;
  for (const other of others) {
    if (other.hostPorts.some(({ hostPort }) => pod.hostPorts.some((each) => each.hostPort === hostPort)))
      found.push('port taken');
    if (pod.requiredAntiAffinity.some((term) => termMatches(term, other, labels))) found.push('not alone');
    if (other.requiredAntiAffinity.some((term) => termMatches(term, pod, labels))) found.push('not wanted');
  }
  if ((pod.pod.spec?.topologySpreadConstraints ?? []).length > 0) {
    const perZone = new Map<string, number>();
    for (const node of nodes) {
      const zone = node.labels['zone'] ?? '';
      const matching = [...node.pods.values()].filter((each) => each.labels['app'] === pod.labels['app']).length;
      perZone.set(zone, (perZone.get(zone) ?? 0) + matching);
    }
    const own = perZone.get(target.labels['zone'] ?? '') ?? 0;
    if (own - Math.min(...perZone.values()) > 1) found.push('skewed');
  }
  return found;
}

await t.test('sums and counters equal a recount, and placements hold what was asked', (t) => {
  fc.assert(
    fc.property(steps, (history) => {
      const cache = newCache({ defaultSelector: appSelector });
      const framework = newFramework();
      // A node may come back in another zone.
      const zoneOf = (name: string, cpu = 4): string => (name < 'c' && cpu % 3 > 0 ? 'z1' : 'z2');
      for (const name of nodeNames) cache.setNode(newNode({ name, labels: { zone: zoneOf(name) } }));
      const placed: { readonly info: PodInfo; readonly nodeName: string }[] = [];
      const counted = apps.map((app) => ({
        key: `test|${app}`,
        namespace: 'default',
        matches: ({ labels }: PodInfo) => labels['app'] === app,
      }));
      for (const query of counted) cache.podCountsByDomain(query, 'zone');
      for (const step of history) {
        const at = 'index' in step && placed.length > 0 ? step.index % placed.length : -1;
        const chosen = placed[at];
        switch (step.kind) {
          case 'schedule': {
            const info = newPodInfo(newPod(step.pod));
            if (cache.isPlaced(info.uid)) break;
            const result = framework.schedule(info, cache);
            if (result.kind === 'unschedulable') break;
            cache.assumePod(info, result.nodeName);
            const broken = violations(info, result.nodeName, cache.nodes);
            if (broken.length > 0) throw new Error(`${info.name} on ${result.nodeName}: ${broken.join()}`);
            placed.push({ info, nodeName: result.nodeName });
            break;
          }
          case 'confirm':
            if (chosen !== undefined) cache.setPod(chosen.info, chosen.nodeName);
            break;
          case 'delete':
            if (chosen !== undefined) {
              cache.removePod(chosen.info.uid);
              placed.splice(at, 1);
            }
            break;
          case 'forget':
            if (chosen !== undefined && cache.isAssumed(chosen.info.uid)) {
              cache.forgetPod(chosen.info.uid);
              placed.splice(at, 1);
            }
            break;
          case 'node':
            cache.setNode(
              newNode({
                name: step.name,
                labels: { zone: zoneOf(step.name, step.cpu) },
                allocatable: { cpu: String(step.cpu) },
              }),
            );
            break;
          case 'removeNode':
            cache.removeNode(step.name);
            break;
          default:
            step satisfies never;
        }
      }
      for (const name of nodeNames) {
        const here = placed.filter(({ nodeName }) => nodeName === name).map(({ info }) => info);
        const sum = newResources();
        for (const { requests } of here) addResources(sum, requests);
        const node = cache.node(name);
        t.equal(node?.requested.milliCpu ?? 0, sum.milliCpu);
        t.equal(node?.pods.size ?? 0, here.length);
        for (const query of counted)
          t.equal(cache.podCounts(query).get(name) ?? 0, here.filter((each) => query.matches(each)).length);
        const alone = [...cache.termUsages('requiredAntiAffinity')].reduce(
          (total, { podsByNode }) => total + (podsByNode.get(name) ?? 0),
          0,
        );
        t.equal(
          alone,
          here.reduce((total, { requiredAntiAffinity }) => total + requiredAntiAffinity.length, 0),
        );
      }
      for (const query of counted)
        for (const zone of ['z1', 'z2'])
          t.equal(
            cache.podCountsByDomain(query, 'zone').get(zone) ?? 0,
            placed.filter(({ info, nodeName }) => query.matches(info) && cache.node(nodeName)?.labels['zone'] === zone)
              .length,
          );
    }),
    { numRuns: RUNS },
  );
  t.end();
});

await t.test('a heap yields what a sort does, whatever was replaced and removed meanwhile', (t) => {
  interface Item {
    readonly key: string;
    readonly rank: number;
  }
  const operations = fc.array(
    fc.record({
      remove: fc.boolean(),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
      rank: fc.integer({ min: 0, max: 99 }),
    }),
    { maxLength: 80 },
  );
  fc.assert(
    fc.property(operations, (list) => {
      const heap = new Heap<Item>({ keyOf: ({ key }) => key, less: (a, b) => a.rank < b.rank });
      const model = new Map<string, number>();
      for (const { remove, key, rank } of list) {
        if (remove) {
          t.equal(heap.delete(key)?.rank, model.get(key));
          model.delete(key);
        } else {
          heap.set({ key, rank });
          model.set(key, rank);
        }
      }
      const ranks: number[] = [];
      for (let item = heap.pop(); item !== undefined; item = heap.pop()) ranks.push(item.rank);
      t.same(
        ranks,
        [...model.values()].sort((a, b) => a - b),
      );
    }),
    { numRuns: RUNS },
  );
  t.end();
});
