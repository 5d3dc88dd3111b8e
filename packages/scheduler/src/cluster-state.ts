import {
  controllerOf,
  namespaces,
  nodes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
  type KubeObject,
  type LabelSelector,
  type Node,
  type Pod,
} from '@naru/api';
import type { Informer, InformerFactory, Lister } from '@naru/client';
import { SchedulerCache } from './cache/scheduler-cache.ts';
import type { DisruptionBudget } from './framework/preemption.ts';
import { newPodInfo, podUid, type PodInfo } from './framework/pod-info.ts';
import {
  compileLabelSelector,
  compileLabelSet,
  matchAll,
  type LabelMatcher,
  type Labels,
} from './framework/selector.ts';
import type { Nominator } from './nominator.ts';
import type { SchedulingQueue } from './queue/scheduling-queue.ts';

/** Terminal pods take no room; upstream's informer leaves them out too. */
const LIVE_PODS = 'status.phase!=Succeeded,status.phase!=Failed';

type WithSelector = KubeObject & { readonly spec?: { readonly selector?: LabelSelector | Labels } };

/** Keeps cache and queue in step with the API server. */
export class ClusterState {
  readonly cache: SchedulerCache;
  readonly pods: Informer<Pod>;
  readonly #informers: InformerFactory;
  readonly #nominator: Nominator;
  readonly #owners: ReadonlyMap<string, Lister<WithSelector>>;
  readonly #services: Lister<WithSelector>;
  /** Compiled selectors of Services and owners, as long as the objects stay the same. */
  readonly #compiled = new WeakMap<object, LabelMatcher>();

  constructor(informers: InformerFactory, nominator: Nominator) {
    this.#informers = informers;
    this.#nominator = nominator;
    this.pods = informers.informer(pods, { fieldSelector: LIVE_PODS, transform: withoutManagedFields });
    this.#services = informers.informer(services, { transform: onlySelector });
    this.#owners = new Map<string, Lister<WithSelector>>([
      ['apps/v1 ReplicaSet', informers.informer(replicaSets, { transform: onlySelector })],
      ['apps/v1 StatefulSet', informers.informer(statefulSets, { transform: onlySelector })],
      ['v1 ReplicationController', informers.informer(replicationControllers, { transform: onlySelector })],
    ]);
    const namespaceLister = informers.informer(namespaces);
    this.cache = new SchedulerCache({
      namespaceLabels: (name) => namespaceLister.get('', name)?.metadata.labels,
      defaultSelector: (pod) => this.#defaultSelector(pod),
    });
  }

  /** The budgets that preemption respects. */
  disruptionBudgets(): readonly DisruptionBudget[] {
    return this.#informers
      .informer(podDisruptionBudgets)
      .list()
      .map(({ metadata, spec, status }) => {
        const selector = compileLabelSelector(spec?.selector);
        const disrupted = status?.disruptedPods ?? {};
        return {
          namespace: metadata.namespace ?? '',
          disruptionsAllowed: status?.disruptionsAllowed ?? 0,
          matches: (pod) => selector.matches(pod.labels) && !Object.hasOwn(disrupted, pod.name),
        };
      });
  }

  /** Feeds events into cache and queue from now on. `responsible`: whether a pod without a node is ours to place. */
  attach(queue: SchedulingQueue, responsible: (pod: Pod) => boolean): void {
    this.#informers.informer(podDisruptionBudgets);
    this.#attachNodes(queue);
    const added = (pod: Pod): void => this.#podAdded(pod, queue, responsible);
    const deleted = (pod: Pod): void => this.#podDeleted(pod, queue);
    this.pods.addHandlers({
      added,
      updated: (pod, old) => {
        if (pod.metadata.uid !== old.metadata.uid || isTerminal(pod)) {
          deleted(old);
          if (!isTerminal(pod)) added(pod);
        } else if (isAssigned(pod) && isAssigned(old)) this.#assignedPodUpdated(pod, old, queue);
        else if (isAssigned(pod)) added(pod);
        else if (responsible(pod) && !this.cache.isPlaced(podUid(pod))) {
          const info = newPodInfo(pod);
          this.#nominator.set(info, pod.status?.nominatedNodeName ?? '');
          queue.update(info);
        }
      },
      deleted,
    });
    this.#informers.informer(namespaces).addHandlers({
      updated: (namespace, old) => {
        if (JSON.stringify(namespace.metadata.labels) === JSON.stringify(old.metadata.labels)) return;
        this.cache.namespaceLabelsChanged();
        queue.moveOnEvent({ kind: 'NamespaceUpdate', namespace });
      },
    });
  }

  #attachNodes(queue: SchedulingQueue): void {
    this.#informers.informer(nodes, { transform: withoutManagedFields }).addHandlers({
      added: (node) => {
        this.cache.setNode(node);
        queue.moveOnEvent({ kind: 'NodeAdd', node });
      },
      updated: (node, old) => {
        if (matters(node) === matters(old)) return;
        this.cache.setNode(node);
        queue.moveOnEvent({ kind: 'NodeUpdate', node, old });
      },
      deleted: (node) => {
        this.cache.removeNode(node.metadata.name ?? '');
        queue.moveOnEvent({ kind: 'NodeDelete', node });
      },
    });
  }

  #podAdded(pod: Pod, queue: SchedulingQueue, responsible: (pod: Pod) => boolean): void {
    if (isTerminal(pod)) return;
    const info = newPodInfo(pod);
    if (isAssigned(pod)) {
      queue.delete(info);
      this.#nominator.delete(info.uid);
      this.cache.setPod(info, pod.spec?.nodeName ?? '');
      queue.moveOnEvent({ kind: 'AssignedPodAdd', pod: info });
    } else if (responsible(pod) && !this.cache.isPlaced(info.uid)) {
      this.#nominator.set(info, pod.status?.nominatedNodeName ?? '');
      queue.add(info);
    }
  }

  #assignedPodUpdated(pod: Pod, old: Pod, queue: SchedulingQueue): void {
    // Most updates are the kubelet's, of the status, and change nothing that pods are placed by.
    if (!placementChanged(pod, old)) return;
    const info = newPodInfo(pod);
    this.cache.setPod(info, pod.spec?.nodeName ?? '');
    queue.moveOnEvent({ kind: 'AssignedPodUpdate', pod: info, old: newPodInfo(old) });
  }

  #podDeleted(pod: Pod, queue: SchedulingQueue): void {
    const info = newPodInfo(pod);
    queue.delete(info);
    this.#nominator.delete(info.uid);
    const wasPlaced = this.cache.isPlaced(info.uid);
    this.cache.removePod(info.uid);
    if (wasPlaced) queue.moveOnEvent({ kind: 'AssignedPodDelete', pod: info });
  }

  #defaultSelector(pod: PodInfo): LabelMatcher | undefined {
    const matchers = this.#services
      .list(pod.namespace)
      .filter(({ spec }) => Object.keys(spec?.selector ?? {}).length > 0)
      .map((service) => this.#compile(service, () => compileLabelSet((service.spec?.selector ?? {}) as Labels)))
      .filter((matcher) => matcher.matches(pod.labels));
    const ref = controllerOf(pod.pod);
    const owner = ref && this.#owners.get(`${ref.apiVersion} ${ref.kind}`)?.get(pod.namespace, ref.name);
    const selector = owner?.spec?.selector;
    if (owner !== undefined && selector !== undefined)
      matchers.push(
        this.#compile(owner, () =>
          owner.kind === 'ReplicationController' ? compileLabelSet(selector as Labels) : compileLabelSelector(selector),
        ),
      );
    return matchers.length === 0 ? undefined : matchAll(matchers);
  }

  #compile(object: object, compile: () => LabelMatcher): LabelMatcher {
    let matcher = this.#compiled.get(object);
    if (matcher === undefined) this.#compiled.set(object, (matcher = compile()));
    return matcher;
  }
}

export function isAssigned(pod: Pod): boolean {
  return (pod.spec?.nodeName ?? '') !== '';
}

function isTerminal({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** What of a node decides about pods. */
function matters({ metadata, spec, status }: Node): string {
  return JSON.stringify([metadata.labels, spec?.taints, spec?.unschedulable, status?.allocatable, status?.images]);
}

function placementChanged(pod: Pod, old: Pod): boolean {
  return (
    pod.metadata.deletionTimestamp !== old.metadata.deletionTimestamp ||
    JSON.stringify(pod.metadata.labels) !== JSON.stringify(old.metadata.labels) ||
    JSON.stringify(pod.spec) !== JSON.stringify(old.spec)
  );
}

function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _dropped, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Of Services, ReplicaSets and so on only the selector is of interest. */
function onlySelector<T extends KubeObject & { spec?: unknown }>(object: T): T {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  const selector = (object.spec as { selector?: unknown } | undefined)?.selector;
  const metadata = Object.fromEntries(
    Object.entries({ name, namespace, uid, resourceVersion }).filter(([, value]) => value !== undefined),
  );
  return { apiVersion: object.apiVersion, kind: object.kind, metadata, spec: { selector } } as unknown as T;
}
