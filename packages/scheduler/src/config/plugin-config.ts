import type { PluginOptions } from '../plugins/default-plugins.ts';
import { systemDefaultConstraints, type DefaultConstraint } from '../plugins/pod-topology-spread.ts';
import { checkShape, configError, type Shape } from './config-shape.ts';

export interface PluginConfig {
  readonly name: string;
  readonly args?: unknown;
}

const typeMeta = { apiVersion: 'string', kind: 'string' } as const satisfies Shape;

interface ArgsReader {
  readonly shape: Shape;
  /** What the arguments, whose shape is right, make of the plugins' options. */
  read(args: object, path: string): PluginOptions;
}

type ResourceSpec = { readonly name: string; readonly weight?: number };

/** By plugin: its arguments. */
const readers: Readonly<Record<string, ArgsReader>> = {
  NodeResourcesFit: {
    shape: { ...typeMeta, scoringStrategy: { type: 'string', resources: [{ name: 'string', weight: 'integer' }] } },
    read(args, path) {
      const { scoringStrategy } = args as {
        readonly scoringStrategy?: { readonly type?: string; readonly resources?: readonly ResourceSpec[] };
      };
      const strategy = scoringStrategy?.type ?? 'LeastAllocated';
      if (strategy !== 'LeastAllocated' && strategy !== 'MostAllocated')
        throw configError(`${path}.scoringStrategy.type`, 'must be LeastAllocated or MostAllocated');
      const resources = scoringStrategy?.resources ?? [{ name: 'cpu' }, { name: 'memory' }];
      return {
        nodeResourcesFit: { strategy, resources: resources.map(({ name, weight = 1 }) => ({ name, weight })) },
      };
    },
  },
  NodeResourcesBalancedAllocation: {
    shape: { ...typeMeta, resources: [{ name: 'string', weight: 'integer' }] },
    read(args) {
      const { resources } = args as { readonly resources?: readonly ResourceSpec[] };
      return resources === undefined ? {} : { balancedResources: resources.map(({ name }) => name) };
    },
  },
  InterPodAffinity: {
    shape: { ...typeMeta, hardPodAffinityWeight: 'integer', ignorePreferredTermsOfExistingPods: 'boolean' },
    read(args, path) {
      const { hardPodAffinityWeight = 1, ignorePreferredTermsOfExistingPods = false } = args as {
        readonly hardPodAffinityWeight?: number;
        readonly ignorePreferredTermsOfExistingPods?: boolean;
      };
      if (hardPodAffinityWeight < 0 || hardPodAffinityWeight > 100)
        throw configError(`${path}.hardPodAffinityWeight`, 'not in valid range [0, 100]');
      return { interPodAffinity: { hardPodAffinityWeight, ignorePreferredTermsOfExistingPods } };
    },
  },
  PodTopologySpread: {
    shape: {
      ...typeMeta,
      defaultingType: 'string',
      defaultConstraints: [{ maxSkew: 'integer', topologyKey: 'string', whenUnsatisfiable: 'string' }],
    },
    read(args, path) {
      const { defaultingType = 'System', defaultConstraints = [] } = args as {
        readonly defaultingType?: string;
        readonly defaultConstraints?: readonly DefaultConstraint[];
      };
      if (defaultingType !== 'System' && defaultingType !== 'List')
        throw configError(`${path}.defaultingType`, 'must be System or List');
      if (defaultingType === 'System' && defaultConstraints.length > 0)
        throw configError(`${path}.defaultConstraints`, 'when .defaultingType is System, must be empty');
      for (const [i, { maxSkew, topologyKey, whenUnsatisfiable }] of defaultConstraints.entries()) {
        const at = `${path}.defaultConstraints[${i}]`;
        if (!(maxSkew > 0)) throw configError(`${at}.maxSkew`, 'not in valid range (0, inf)');
        if (topologyKey === undefined || topologyKey === '') throw configError(`${at}.topologyKey`, 'can not be empty');
        if (whenUnsatisfiable !== 'DoNotSchedule' && whenUnsatisfiable !== 'ScheduleAnyway')
          throw configError(`${at}.whenUnsatisfiable`, 'must be DoNotSchedule or ScheduleAnyway');
      }
      return {
        podTopologySpread: {
          defaultingType,
          defaultConstraints: defaultingType === 'System' ? systemDefaultConstraints : defaultConstraints,
        },
      };
    },
  },
};

/** @throws UsageError that names the field */
export function readPluginConfig(configs: readonly PluginConfig[], path: string): PluginOptions {
  let options: PluginOptions = {};
  for (const [i, { name, args = {} }] of configs.entries()) {
    const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (reader === undefined)
      throw configError(`${path}[${i}].name`, `plugin ${JSON.stringify(name)} takes no configuration`);
    checkShape(args, reader.shape, `${path}[${i}].args`);
    options = { ...options, ...reader.read(args as object, `${path}[${i}].args`) };
  }
  return options;
}
