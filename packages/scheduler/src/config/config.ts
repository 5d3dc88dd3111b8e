import { parseDuration, type UsageError } from '@naru/component';
import { parseDocument } from 'yaml';
import type { Profile } from '../framework/framework.ts';
import { defaultPlugins, defaultScoreWeights } from '../plugins/default-plugins.ts';
import { checkShape, configError, configShape } from './config-shape.ts';
import { readPluginConfig, type PluginConfig } from './plugin-config.ts';

export const DEFAULT_SCHEDULER_NAME = 'default-scheduler';
const DEFAULT_PREEMPTION = 'DefaultPreemption';

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
  readonly plugins?: { readonly [point in 'multiPoint' | 'filter' | 'postFilter' | 'score']?: PluginSetConfig };
  readonly pluginConfig?: readonly PluginConfig[];
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
  if (error !== undefined) throw configError('', error.message);
  const value: unknown = document.toJS();
  checkShape(value, configShape, '');
  const config = value as Config;
  if (config.apiVersion !== 'kubescheduler.config.k8s.io/v1')
    throw configError('apiVersion', `${JSON.stringify(config.apiVersion)} is not kubescheduler.config.k8s.io/v1`);
  if (config.kind !== 'KubeSchedulerConfiguration')
    throw configError('kind', `${JSON.stringify(config.kind)} is not KubeSchedulerConfiguration`);
  return configOf(config);
}

export function defaultConfig(): SchedulerConfig {
  return configOf({});
}

function configOf(config: Config): SchedulerConfig {
  const { leaderElection: election = {}, podInitialBackoffSeconds = 1, podMaxBackoffSeconds = 10 } = config;
  if (election.resourceLock !== undefined && election.resourceLock !== 'leases')
    throw configError('leaderElection.resourceLock', 'must be leases');
  if (podInitialBackoffSeconds <= 0) throw configError('podInitialBackoffSeconds', 'must be greater than 0');
  if (podMaxBackoffSeconds < podInitialBackoffSeconds)
    throw configError('podMaxBackoffSeconds', 'must be greater than or equal to podInitialBackoffSeconds');
  const duration = (text: string | undefined, fallback: number): number =>
    text === undefined ? fallback : (parseDuration(text) ?? fallback);
  const profiles = (config.profiles ?? [{}]).map((profile, i) =>
    profileOf(profile, `profiles[${i}]`, config.percentageOfNodesToScore ?? 0),
  );
  if (profiles.length === 0) throw configError('profiles', 'at least one is required');
  const names = new Set(profiles.map(({ schedulerName }) => schedulerName));
  if (names.size < profiles.length) throw configError('profiles', 'schedulerName: Duplicate value');
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

/** Upstream's plugins beyond those here: they can be disabled, as they are, but not enabled. */
const absentPlugins: ReadonlySet<string> = new Set([
  'AzureDiskLimits',
  'DynamicResources',
  'EBSLimits',
  'GCEPDLimits',
  'NodeVolumeLimits',
  'VolumeBinding',
  'VolumeRestrictions',
  'VolumeZone',
]);
/** Parts of the scheduler that upstream makes plugins. Only DefaultPreemption can be switched off. */
const builtIn: ReadonlySet<string> = new Set([DEFAULT_PREEMPTION, 'DefaultBinder', 'PrioritySort', 'SchedulingGates']);

function checkPluginNames(plugins: ProfileConfig['plugins'], known: ReadonlySet<string>, path: string): void {
  for (const [point, set] of Object.entries(plugins ?? {})) {
    const refuse = (name: string): UsageError =>
      configError(`${path}.plugins.${point}`, `plugin ${JSON.stringify(name)} does not exist`);
    for (const { name } of set?.enabled ?? []) if (!known.has(name) && !builtIn.has(name)) throw refuse(name);
    for (const { name } of set?.disabled ?? [])
      if (name !== '*' && !known.has(name) && !builtIn.has(name) && !absentPlugins.has(name)) throw refuse(name);
  }
}

/** Whether a plugin works at an extension point: what is said of the point counts more than what is said of all. */
function isEnabled(name: string, point: PluginSetConfig | undefined, multiPoint: PluginSetConfig | undefined): boolean {
  const lists = (entries: readonly PluginEntry[] | null | undefined, wildcard: boolean): boolean =>
    (entries ?? []).some((entry) => entry.name === name || (wildcard && entry.name === '*'));
  if (lists(point?.enabled, false)) return true;
  if (lists(point?.disabled, true)) return false;
  return lists(multiPoint?.enabled, false) || !lists(multiPoint?.disabled, true);
}

function profileOf(config: ProfileConfig, path: string, globalPercentage: number): Profile {
  const percentageOfNodesToScore = config.percentageOfNodesToScore ?? globalPercentage;
  if (percentageOfNodesToScore < 0 || percentageOfNodesToScore > 100)
    throw configError(`${path}.percentageOfNodesToScore`, 'not in valid range [0-100]');
  const plugins = defaultPlugins(readPluginConfig(config.pluginConfig ?? [], `${path}.pluginConfig`));
  checkPluginNames(config.plugins, new Set(plugins.map(({ name }) => name)), path);
  const { multiPoint, filter, score, postFilter } = config.plugins ?? {};
  const weightOf = (name: string): number =>
    [score, multiPoint]
      .flatMap((set) => set?.enabled ?? [])
      .find((entry) => entry.name === name && (entry.weight ?? 0) > 0)?.weight ??
    defaultScoreWeights[name] ??
    1;
  return {
    schedulerName: config.schedulerName ?? DEFAULT_SCHEDULER_NAME,
    percentageOfNodesToScore,
    preempts: isEnabled(DEFAULT_PREEMPTION, postFilter, multiPoint),
    filters: plugins.filter((plugin) => plugin.filter !== undefined && isEnabled(plugin.name, filter, multiPoint)),
    scorers: plugins
      .filter((plugin) => plugin.score !== undefined && isEnabled(plugin.name, score, multiPoint))
      .map((plugin) => ({ plugin, weight: weightOf(plugin.name) })),
  };
}
