import { parseDuration, UsageError } from '@naru/component';
import { parseDocument } from 'yaml';
import type { Profile } from './framework/framework.ts';
import { defaultPlugins, defaultScoreWeights, type PluginOptions } from './plugins/default-plugins.ts';
import type { DefaultConstraint } from './plugins/pod-topology-spread.ts';
import { systemDefaultConstraints } from './plugins/pod-topology-spread.ts';

export const DEFAULT_SCHEDULER_NAME = 'default-scheduler';

export interface LeaderElectionConfig {
  readonly leaderElect: boolean;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly resourceName: string;
  readonly resourceNamespace: string;
}

/** KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) with its defaults, as far as it has a meaning here. */
export interface SchedulerConfig {
  readonly kubeconfig: string | undefined;
  readonly leaderElection: LeaderElectionConfig;
  readonly podInitialBackoffMs: number;
  readonly podMaxBackoffMs: number;
  readonly profiles: readonly Profile[];
}

type Json = Readonly<Record<string, unknown>>;

/** Fields by the kind of their value; what is not here is refused. */
type Shape = {
  readonly [field: string]: 'string' | 'boolean' | 'integer' | 'duration' | 'ignored' | Shape | readonly [Shape];
};

const pluginSet = {
  enabled: [{ name: 'string', weight: 'integer' }],
  disabled: [{ name: 'string' }],
} as const satisfies Shape;
const shape = {
  apiVersion: 'string',
  kind: 'string',
  clientConnection: {
    kubeconfig: 'string',
    acceptContentTypes: 'string',
    contentType: 'string',
    qps: 'ignored',
    burst: 'integer',
  },
  leaderElection: {
    leaderElect: 'boolean',
    leaseDuration: 'duration',
    renewDeadline: 'duration',
    retryPeriod: 'duration',
    resourceLock: 'string',
    resourceName: 'string',
    resourceNamespace: 'string',
  },
  parallelism: 'integer',
  percentageOfNodesToScore: 'integer',
  podInitialBackoffSeconds: 'integer',
  podMaxBackoffSeconds: 'integer',
  enableProfiling: 'boolean',
  enableContentionProfiling: 'boolean',
  profiles: [
    {
      schedulerName: 'string',
      percentageOfNodesToScore: 'integer',
      plugins: { multiPoint: pluginSet, filter: pluginSet, score: pluginSet },
      pluginConfig: [{ name: 'string', args: 'ignored' }],
    },
  ],
} as const satisfies Shape;

const fitShape = {
  apiVersion: 'string',
  kind: 'string',
  scoringStrategy: { type: 'string', resources: [{ name: 'string', weight: 'integer' }] },
} as const satisfies Shape;
const spreadShape = {
  apiVersion: 'string',
  kind: 'string',
  defaultingType: 'string',
  defaultConstraints: [{ maxSkew: 'integer', topologyKey: 'string', whenUnsatisfiable: 'string' }],
} as const satisfies Shape;

const fail = (path: string, why: string): UsageError =>
  new UsageError(`--config: ${path === '' ? '' : `${path}: `}${why}`);

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws when `value` has fields or types that `shape` does not. */
function checkShape(value: unknown, shape: Shape, path: string): void {
  if (!isObject(value)) throw fail(path, 'must be an object');
  for (const [field, child] of Object.entries(value)) {
    const at = path === '' ? field : `${path}.${field}`;
    const expected = Object.hasOwn(shape, field) ? shape[field] : undefined;
    if (expected === undefined) throw fail('', `strict decoding error: unknown field "${at}"`);
    if (child === null || child === undefined) continue;
    if (Array.isArray(expected)) {
      const [item] = expected as readonly [Shape];
      if (!Array.isArray(child)) throw fail(at, 'must be a list');
      for (const [i, each] of child.entries()) checkShape(each, item, `${at}[${i}]`);
    } else if (typeof expected === 'object') checkShape(child, expected as Shape, at);
    else if (
      expected === 'integer'
        ? !Number.isSafeInteger(child)
        : expected === 'duration'
          ? typeof child !== 'string' || parseDuration(child) === undefined
          : expected !== 'ignored' && typeof child !== expected
    )
      throw fail(at, `must be a ${expected}`);
  }
}

interface PluginEntry {
  readonly name: string;
  readonly weight?: number;
}
interface PluginSetConfig {
  readonly enabled?: readonly PluginEntry[] | null;
  readonly disabled?: readonly PluginEntry[] | null;
}
interface ProfileConfig {
  readonly schedulerName?: string;
  readonly percentageOfNodesToScore?: number;
  readonly plugins?: { readonly [point in 'multiPoint' | 'filter' | 'score']?: PluginSetConfig };
  readonly pluginConfig?: readonly { readonly name: string; readonly args?: unknown }[];
}
interface Config {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly clientConnection?: { readonly kubeconfig?: string };
  readonly leaderElection?: {
    readonly leaderElect?: boolean;
    readonly leaseDuration?: string;
    readonly renewDeadline?: string;
    readonly retryPeriod?: string;
    readonly resourceLock?: string;
    readonly resourceName?: string;
    readonly resourceNamespace?: string;
  };
  readonly percentageOfNodesToScore?: number;
  readonly podInitialBackoffSeconds?: number;
  readonly podMaxBackoffSeconds?: number;
  readonly profiles?: readonly ProfileConfig[] | null;
}

/** @throws UsageError that names the field */
export function parseConfig(text: string): SchedulerConfig {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw fail('', error.message);
  const value: unknown = document.toJS();
  checkShape(value, shape, '');
  const config = value as Config;
  if (config.apiVersion !== 'kubescheduler.config.k8s.io/v1')
    throw fail('apiVersion', `${JSON.stringify(config.apiVersion)} is not kubescheduler.config.k8s.io/v1`);
  if (config.kind !== 'KubeSchedulerConfiguration')
    throw fail('kind', `${JSON.stringify(config.kind)} is not KubeSchedulerConfiguration`);
  return configOf(config);
}

export function defaultConfig(): SchedulerConfig {
  return configOf({});
}

function configOf(config: Config): SchedulerConfig {
  const { leaderElection: election = {}, podInitialBackoffSeconds = 1, podMaxBackoffSeconds = 10 } = config;
  if (election.resourceLock !== undefined && election.resourceLock !== 'leases')
    throw fail('leaderElection.resourceLock', 'must be leases');
  if (podInitialBackoffSeconds <= 0) throw fail('podInitialBackoffSeconds', 'must be greater than 0');
  if (podMaxBackoffSeconds < podInitialBackoffSeconds)
    throw fail('podMaxBackoffSeconds', 'must be greater than or equal to podInitialBackoffSeconds');
  const duration = (text: string | undefined, fallback: number): number =>
    text === undefined ? fallback : (parseDuration(text) ?? fallback);
  const profiles = (config.profiles ?? [{}]).map((profile, i) =>
    profileOf(profile, `profiles[${i}]`, config.percentageOfNodesToScore ?? 0),
  );
  if (profiles.length === 0) throw fail('profiles', 'at least one is required');
  const names = new Set(profiles.map(({ schedulerName }) => schedulerName));
  if (names.size < profiles.length) throw fail('profiles', 'schedulerName: Duplicate value');
  return {
    kubeconfig: config.clientConnection?.kubeconfig,
    leaderElection: {
      leaderElect: election.leaderElect ?? true,
      leaseDurationMs: duration(election.leaseDuration, 15_000),
      renewDeadlineMs: duration(election.renewDeadline, 10_000),
      retryPeriodMs: duration(election.retryPeriod, 2000),
      resourceName: election.resourceName ?? 'kube-scheduler',
      resourceNamespace: election.resourceNamespace ?? 'kube-system',
    },
    podInitialBackoffMs: podInitialBackoffSeconds * 1000,
    podMaxBackoffMs: podMaxBackoffSeconds * 1000,
    profiles,
  };
}

function profileOf(config: ProfileConfig, path: string, globalPercentage: number): Profile {
  const percentageOfNodesToScore = config.percentageOfNodesToScore ?? globalPercentage;
  if (percentageOfNodesToScore < 0 || percentageOfNodesToScore > 100)
    throw fail(`${path}.percentageOfNodesToScore`, 'must be from 0 to 100');
  const plugins = defaultPlugins(pluginOptionsOf(config, `${path}.pluginConfig`));
  const known = new Set(plugins.map(({ name }) => name));
  const { multiPoint, filter, score } = config.plugins ?? {};
  for (const [point, set] of Object.entries({ multiPoint, filter, score }))
    for (const { name } of [...(set?.enabled ?? []), ...(set?.disabled ?? [])])
      if (name !== '*' && !known.has(name))
        throw fail(`${path}.plugins.${point}`, `plugin ${JSON.stringify(name)} does not exist`);
  const isOn = (name: string, set: PluginSetConfig | undefined): boolean => {
    const off = (each: PluginSetConfig | undefined): boolean =>
      (each?.disabled ?? []).some((entry) => entry.name === name || entry.name === '*');
    const on = (each: PluginSetConfig | undefined): boolean =>
      (each?.enabled ?? []).some((entry) => entry.name === name);
    if (on(set)) return true;
    if (off(set)) return false;
    return on(multiPoint) || !off(multiPoint);
  };
  const weightOf = (name: string): number =>
    [score, multiPoint]
      .flatMap((set) => set?.enabled ?? [])
      .find((entry) => entry.name === name && (entry.weight ?? 0) > 0)?.weight ??
    defaultScoreWeights[name] ??
    1;
  return {
    schedulerName: config.schedulerName ?? DEFAULT_SCHEDULER_NAME,
    percentageOfNodesToScore,
    filters: plugins.filter((plugin) => plugin.filter !== undefined && isOn(plugin.name, filter)),
    scorers: plugins
      .filter((plugin) => plugin.score !== undefined && isOn(plugin.name, score))
      .map((plugin) => ({ plugin, weight: weightOf(plugin.name) })),
  };
}

function pluginOptionsOf({ pluginConfig = [] }: ProfileConfig, path: string): PluginOptions {
  let options: PluginOptions = {};
  for (const [i, { name, args }] of pluginConfig.entries()) {
    const at = `${path}[${i}].args`;
    switch (name) {
      case 'NodeResourcesFit': {
        checkShape(args, fitShape, at);
        const { scoringStrategy } = args as {
          scoringStrategy?: { type?: string; resources?: { name: string; weight?: number }[] };
        };
        const strategy = scoringStrategy?.type ?? 'LeastAllocated';
        if (strategy !== 'LeastAllocated' && strategy !== 'MostAllocated')
          throw fail(`${at}.scoringStrategy.type`, 'must be LeastAllocated or MostAllocated');
        const resources = scoringStrategy?.resources ?? [{ name: 'cpu' }, { name: 'memory' }];
        options = {
          ...options,
          nodeResourcesFit: {
            strategy,
            resources: resources.map((each) => ({ name: each.name, weight: each.weight ?? 1 })),
          },
        };
        break;
      }
      case 'PodTopologySpread': {
        checkShape(args, spreadShape, at);
        const { defaultingType = 'System', defaultConstraints = [] } = args as {
          defaultingType?: string;
          defaultConstraints?: DefaultConstraint[];
        };
        if (defaultingType !== 'System' && defaultingType !== 'List')
          throw fail(`${at}.defaultingType`, 'must be System or List');
        if (defaultingType === 'System' && defaultConstraints.length > 0)
          throw fail(`${at}.defaultConstraints`, 'when .defaultingType is System, must be empty');
        options = {
          ...options,
          podTopologySpread: {
            defaultingType,
            defaultConstraints: defaultingType === 'System' ? systemDefaultConstraints : defaultConstraints,
          },
        };
        break;
      }
      default:
        throw fail(`${path}[${i}].name`, `plugin ${JSON.stringify(name)} takes no configuration`);
    }
  }
  return options;
}
