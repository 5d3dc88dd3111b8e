import { selectorFromSet, type Node, type Pod, type PodSpec } from '@naru/api';
import { SchedulerCache, type CacheSources } from '../src/cache/scheduler-cache.ts';
import { Framework, type Profile } from '../src/framework/framework.ts';
import { newPodInfo, type PodInfo } from '../src/framework/pod-info.ts';
import type { Labels } from '../src/framework/selector.ts';
import { defaultPlugins, defaultScoreWeights, type PluginOptions } from '../src/plugins/default-plugins.ts';

export interface PodShorthand {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Labels;
  readonly requests?: Record<string, string>;
  readonly spec?: Partial<PodSpec>;
  readonly status?: Pod['status'];
  readonly nodeName?: string;
  readonly priority?: number;
}

export interface NodeShorthand {
  readonly name: string;
  readonly labels?: Labels;
  readonly allocatable?: Record<string, string>;
  readonly spec?: Node['spec'];
  readonly images?: Record<string, number>;
}

export function newPod(shorthand: PodShorthand = {}): Pod {
  const { name = 'p', namespace = 'default', labels = {}, requests, spec, status, nodeName, priority } = shorthand;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: `uid-${namespace}-${name}`, labels: { ...labels } },
    spec: {
      containers: [{ name: 'c', image: 'app', ...(requests === undefined ? {} : { resources: { requests } }) }],
      schedulerName: 'default-scheduler',
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(priority === undefined ? {} : { priority }),
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

export function newNode({ name, labels = {}, allocatable = {}, spec, images = {} }: NodeShorthand): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    ...(spec === undefined ? {} : { spec }),
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...allocatable },
      images: Object.entries(images).map(([image, sizeBytes]) => ({ names: [image], sizeBytes })),
    },
  };
}

export function newCache(sources: Partial<CacheSources> = {}): SchedulerCache {
  return new SchedulerCache({ namespaceLabels: () => ({}), defaultSelector: () => undefined, ...sources });
}

/** A cache with these nodes and the pods that have a nodeName. */
export function cacheOf(
  nodes: readonly NodeShorthand[],
  pods: readonly PodShorthand[] = [],
  sources: Partial<CacheSources> = {},
): SchedulerCache {
  const cache = newCache(sources);
  for (const node of nodes) cache.setNode(newNode(node));
  for (const [i, pod] of pods.entries()) {
    const object = newPod({ name: `on-node-${i}`, ...pod });
    cache.setPod(newPodInfo(object), pod.nodeName ?? '');
  }
  return cache;
}

export function infoOf(shorthand: PodShorthand = {}): PodInfo {
  return newPodInfo(newPod(shorthand));
}

export function newProfile(options: PluginOptions & Partial<Profile> = {}): Profile {
  const plugins = defaultPlugins(options);
  return {
    schedulerName: 'default-scheduler',
    percentageOfNodesToScore: 0,
    preempts: true,
    filters: plugins.filter(({ filter }) => filter !== undefined),
    scorers: plugins
      .filter(({ score }) => score !== undefined)
      .map((plugin) => ({ plugin, weight: defaultScoreWeights[plugin.name] ?? 0 })),
    ...options,
  };
}

/** Of nodes with the same score the first wins. */
export function newFramework(profile: Profile = newProfile()): Framework {
  return new Framework(profile, { random: () => 0.999999, nominations: { podsFor: () => [] } });
}

/** Default selector of pods that carry an `app` label, as a ReplicaSet of that label would give it. */
export const appSelector: CacheSources['defaultSelector'] = ({ labels, namespace }) => {
  const app = labels['app'];
  if (app === undefined) return undefined;
  const selector = selectorFromSet({ app });
  return { key: `${namespace} ${selector.toString()}`, matches: (other) => selector.matches(other) };
};
