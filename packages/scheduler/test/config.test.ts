import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { defaultConfig, parseConfig } from '../src/config/config.ts';

const head = 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n';
const main = join(import.meta.dirname, '..', 'src', 'main.ts');

await t.test('without a file everything is upstream’s default', (t) => {
  const config = defaultConfig();
  t.match(config.leaderElection, { leaderElect: true, leaseDurationMs: 15_000, resourceName: 'kube-scheduler' });
  const [profile] = config.profiles;
  t.equal(profile?.schedulerName, 'default-scheduler');
  t.same(
    profile?.filters.map(({ name }) => name),
    [
      'NodeUnschedulable',
      'NodeName',
      'TaintToleration',
      'NodeAffinity',
      'NodePorts',
      'NodeResourcesFit',
      'PodTopologySpread',
      'InterPodAffinity',
    ],
  );
  t.same(Object.fromEntries(profile?.scorers.map(({ plugin, weight }) => [plugin.name, weight]) ?? []), {
    TaintToleration: 3,
    NodeAffinity: 2,
    PodTopologySpread: 2,
    InterPodAffinity: 2,
    NodeResourcesFit: 1,
    NodeResourcesBalancedAllocation: 1,
    ImageLocality: 1,
  });
  t.end();
});

await t.test('a file sets leader election, backoff, profiles, plugins and weights', (t) => {
  const config = parseConfig(`${head}
clientConnection: { kubeconfig: /etc/scheduler.conf }
leaderElection: { leaderElect: false, leaseDuration: 30s }
podInitialBackoffSeconds: 2
percentageOfNodesToScore: 30
profiles:
  - schedulerName: packer
    plugins:
      score:
        disabled: [{ name: PodTopologySpread }]
        enabled: [{ name: NodeResourcesFit, weight: 7 }]
      multiPoint: { disabled: [{ name: InterPodAffinity }] }
    pluginConfig:
      - { name: NodeResourcesFit, args: { scoringStrategy: { type: MostAllocated } } }
  - { schedulerName: default-scheduler, percentageOfNodesToScore: 50 }
`);
  t.equal(config.kubeconfig, '/etc/scheduler.conf');
  t.match(config.leaderElection, { leaderElect: false, leaseDurationMs: 30_000, renewDeadlineMs: 10_000 });
  t.equal(config.podInitialBackoffMs, 2000);
  const [packer, plain] = config.profiles;
  t.same([packer?.percentageOfNodesToScore, plain?.percentageOfNodesToScore], [30, 50]);
  const scorers = packer?.scorers.map(({ plugin, weight }) => `${plugin.name}=${weight}`);
  t.ok(scorers?.includes('NodeResourcesFit=7'));
  t.notOk(scorers?.some((each) => /Spread|InterPod/u.test(each)));
  t.notOk(packer?.filters.some(({ name }) => name === 'InterPodAffinity'));
  t.ok(packer?.filters.some(({ name }) => name === 'PodTopologySpread'));
  t.end();
});

await t.test('preemption, pod affinity and balancing can be configured, and absent plugins be disabled', (t) => {
  const config = parseConfig(`${head}
profiles:
  - plugins:
      postFilter: { disabled: [{ name: DefaultPreemption }] }
      filter: { disabled: [{ name: VolumeBinding }, { name: NodeVolumeLimits }] }
      score: { disabled: [{ name: '*' }], enabled: [{ name: ImageLocality, weight: 5 }] }
    pluginConfig:
      - { name: InterPodAffinity, args: { hardPodAffinityWeight: 0 } }
      - { name: NodeResourcesBalancedAllocation, args: { resources: [{ name: cpu }, { name: example.com/gpu }] } }
`);
  const [profile] = config.profiles;
  t.equal(profile?.preempts, false);
  t.equal(profile?.filters.length, 8);
  t.same(
    profile?.scorers.map(({ plugin, weight }) => `${plugin.name}=${weight}`),
    ['ImageLocality=5'],
  );
  t.equal(defaultConfig().profiles[0]?.preempts, true);
  t.end();
});

await t.test('what is wrong is named', (t) => {
  const cases: readonly [string, string, RegExp][] = [
    ['an unknown field', `${head}leaderElecton: {}`, /unknown field "leaderElecton"/u],
    ['an unknown field within', `${head}profiles: [{ plugin: {} }]`, /unknown field "profiles\[0\]\.plugin"/u],
    [
      'a wrong type',
      `${head}leaderElection: { leaderElect: 'yes' }`,
      /leaderElection\.leaderElect: must be a boolean/u,
    ],
    [
      'a bad duration',
      `${head}leaderElection: { leaseDuration: soon }`,
      /leaderElection\.leaseDuration: must be a duration/u,
    ],
    ['another kind', 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: Pod', /kind: "Pod" is not/u],
    ['another version', 'apiVersion: v1\nkind: KubeSchedulerConfiguration', /apiVersion: "v1" is not/u],
    [
      'an unknown plugin',
      `${head}profiles: [{ plugins: { score: { enabled: [{ name: Nope }] } } }]`,
      /plugin "Nope" does not exist/u,
    ],
    ['two profiles of one name', `${head}profiles: [{}, {}]`, /schedulerName: Duplicate value/u],
    [
      'a plugin that is absent',
      `${head}profiles: [{ plugins: { filter: { enabled: [{ name: VolumeBinding }] } } }]`,
      /profiles\[0\]\.plugins\.filter: plugin "VolumeBinding" does not exist/u,
    ],
    [
      'arguments of a plugin',
      `${head}profiles: [{ pluginConfig: [{ name: InterPodAffinity, args: { weight: 1 } }] }]`,
      /unknown field "profiles\[0\]\.pluginConfig\[0\]\.args\.weight"/u,
    ],
    [
      'a value out of range',
      `${head}profiles: [{ pluginConfig: [{ name: InterPodAffinity, args: { hardPodAffinityWeight: 101 } }] }]`,
      /hardPodAffinityWeight: not in valid range/u,
    ],
    [
      'a default constraint',
      `${head}profiles: [{ pluginConfig: [{ name: PodTopologySpread, args: { defaultingType: List, defaultConstraints: [{ maxSkew: 0 }] } }] }]`,
      /defaultConstraints\[0\]\.maxSkew/u,
    ],
    ['no YAML', `${head}a: [`, /^--config: /u],
    ['a list', '[]', /must be an object/u],
  ];
  for (const [name, text, message] of cases) t.throws(() => parseConfig(text), { name: 'UsageError', message }, name);
  t.end();
});

await t.test('the process exits 2 and names the flag or the field', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'naru-scheduler-'));
  t.teardown(async () => await rm(folder, { recursive: true }));
  const file = join(folder, 'config.yaml');
  await writeFile(file, `${head}bogus: 1\n`);
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  const cases: readonly [string[], RegExp][] = [
    [[], /required flag: --kubeconfig/u],
    [[`--config=${file}`], /unknown field "bogus"/u],
    [['--master=http://127.0.0.1:1', '--healthz-bind-address=nowhere'], /--healthz-bind-address/u],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = run(...args);
    t.equal(status, 2, args.join(' '));
    t.match(stderr, message);
  }
});
