import { findCondition, formatTime, isNotFound, leases, nodes, pods, type Lease, type Node, type Pod } from '@naru/api';
import { Controller, type EventRecorder, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isPodReady } from '../pod/pod-state-plan.ts';
import { observeHealth, planConditions, planEvictionRates, zoneOf, type NodeHealth } from './plan.ts';
import { evictionTaintKey, isManagedEvictionTaint, planTaints } from './taints-plan.ts';

const LEASE_NAMESPACE = 'kube-node-lease';
const BY_NODE = 'node';

/** A budget of evictions that refills with time; never more than one at a time is saved up. */
interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/** Notices nodes that fell silent, and taints nodes by their conditions. */
export class NodeLifecycleController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;
  readonly #health = new Map<string, NodeHealth>();
  readonly #buckets = new Map<string, Bucket>();
  /** Nodes that have been cleared for eviction and not been ready since. */
  readonly #evict = new Set<string>();
  readonly #stop = new AbortController();
  #monitoring: Promise<void> | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('node-controller');
    this.#nodes = context.informers.informer(nodes);
    this.#leases = context.informers.informer(leases, { namespace: LEASE_NAMESPACE });
    this.#pods = context.informers.informer(pods, { indexers: { [BY_NODE]: ({ spec }) => [spec?.nodeName ?? ''] } });
    this.#controller = new Controller({
      name: 'node-lifecycle',
      workers: 8,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (name, { signal }) => await this.#reconcile(name, signal),
    });
    const enqueue = (node: Node): void => {
      this.#observe(node);
      this.#controller.queue.add(node.metadata.name ?? '');
    };
    this.#nodes.addHandlers({
      added: enqueue,
      updated: enqueue,
      deleted: ({ metadata }) => {
        this.#health.delete(metadata.name ?? '');
        this.#evict.delete(metadata.name ?? '');
      },
    });
    // Seen when it happens, so that the grace period counts from the heartbeat and not from the next look at it.
    const renewed = ({ metadata }: Lease): void => {
      const node = this.#nodes.get('', metadata.name ?? '');
      if (node !== undefined) this.#observe(node);
    };
    this.#leases.addHandlers({ added: renewed, updated: renewed });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
    this.#monitoring = this.#monitor(AbortSignal.any([signal, this.#stop.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the node lifecycle controller is disposed'));
    await this.#monitoring;
    await this.#controller[Symbol.asyncDispose]();
  }

  #observe(node: Node): void {
    const name = node.metadata.name ?? '';
    const renewTime = this.#leases.get(LEASE_NAMESPACE, name)?.spec?.renewTime;
    this.#health.set(name, observeHealth(this.#health.get(name), node, renewTime, this.#context.clock.monotonic()));
  }

  /** Silence makes no event: it has to be looked for. */
  async #monitor(signal: AbortSignal): Promise<void> {
    const { clock, logger, options } = this.#context;
    while (!signal.aborted) {
      for (const node of this.#nodes.list()) {
        try {
          await this.#checkHealth(node, signal);
        } catch (error) {
          if (!signal.aborted) logger.warn({ err: error, node: node.metadata.name }, 'cannot update a silent node');
        }
      }
      this.#clearForEviction();
      await clock.sleep(options.nodeMonitorPeriodMs, { signal }).catch(() => {});
    }
  }

  async #checkHealth(node: Node, signal: AbortSignal): Promise<void> {
    const { clock, client, options } = this.#context;
    const name = node.metadata.name ?? '';
    this.#observe(node);
    const health = this.#health.get(name);
    if (health === undefined || node.metadata.deletionTimestamp !== undefined) return;
    const conditions = planConditions(node, health, {
      graceMs: options.nodeMonitorGracePeriodMs,
      startupGraceMs: options.nodeStartupGracePeriodMs,
      nowMs: clock.monotonic(),
      now: formatTime(clock.now()),
    });
    if (conditions === undefined) return;
    const wasReady = findCondition(node.status?.conditions, 'Ready')?.status === 'True';
    const status = { ...node.status, conditions: [...conditions] };
    await client.update(nodes, { ...node, status }, { subresource: 'status', signal });
    if (!wasReady) return;
    const message = `Node ${name} status is now: NodeNotReady`;
    this.#recorder.event(node, { type: 'Normal', reason: 'NodeNotReady', message });
  }

  /** Lets as many nodes that are not ready be tainted with NoExecute as their zones' rates allow. */
  #clearForEviction(): void {
    const nowMs = this.#context.clock.monotonic();
    const all = this.#nodes.list();
    const rates = planEvictionRates(all, this.#context.options.nodeEvictionRatePerSecond);
    for (const node of all) {
      const name = node.metadata.name ?? '';
      if (evictionTaintKey(node) === undefined || this.#evict.has(name)) continue;
      if (node.spec?.taints?.some(isManagedEvictionTaint) === true) continue;
      const zone = zoneOf(node);
      const rate = rates.get(zone) ?? 0;
      const bucket = this.#buckets.get(zone) ?? { tokens: 1, atMs: nowMs };
      const tokens = Math.min(1, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * rate);
      const granted = rate > 0 && tokens >= 1;
      this.#buckets.set(zone, { tokens: granted ? tokens - 1 : tokens, atMs: nowMs });
      if (!granted) continue;
      this.#evict.add(name);
      this.#controller.queue.add(name);
    }
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const { clock, client } = this.#context;
    const node = this.#nodes.get('', name);
    if (node === undefined) return;
    const ready = findCondition(node.status?.conditions, 'Ready')?.status;
    if (ready === 'True') this.#evict.delete(name);
    const taints = planTaints(node, { evict: this.#evict.has(name), now: formatTime(clock.now()) });
    if (taints !== (node.spec?.taints ?? taints) || (node.spec?.taints === undefined && taints.length > 0)) {
      const { uid, resourceVersion } = node.metadata;
      const patch = { metadata: { uid, resourceVersion }, spec: { taints: taints.length === 0 ? null : taints } };
      try {
        await client.patch(nodes, name, 'merge', patch, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    if (ready !== undefined && ready !== 'True') await this.#markPodsNotReady(name, signal);
  }

  /** The kubelet cannot tell that its pods are not to be reached: it is told for it, so that Services leave them out. */
  async #markPodsNotReady(node: string, signal: AbortSignal): Promise<void> {
    const { clock, client } = this.#context;
    for (const pod of this.#pods.byIndex(BY_NODE, node)) {
      if (!isPodReady(pod) || pod.metadata.deletionTimestamp !== undefined) continue;
      const { name = '', namespace, uid } = pod.metadata;
      const condition = { type: 'Ready', status: 'False', lastTransitionTime: formatTime(clock.now()) };
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      try {
        await client.patch(pods, name, 'strategic', patch, { namespace, subresource: 'status', signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
        continue;
      }
      this.#recorder.event(pod, { type: 'Warning', reason: 'NodeNotReady', message: 'Node is not ready' });
    }
  }
}
