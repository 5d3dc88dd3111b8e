import {
  formatMicroTime,
  formatTime,
  isAlreadyExists,
  isNotFound,
  leases,
  nodes,
  type Lease,
  type Node,
  type Taint,
} from '@naru/api';
import type { Client, EventRecorder, Informer } from '@naru/client';
import { backoffMs, type Clock, type Logger } from '@naru/component';
import { messageOf } from '../errors.ts';
import {
  newNode,
  nodeLabels,
  nodeStatus,
  nodeStatusChanged,
  nodeStatusPatch,
  type NodeFacts,
} from '../plan/node-status.ts';
import { readMachine, readPressure } from './machine.ts';

const LEASE_NAMESPACE = 'kube-node-lease';
/** Upstream's nodeLeaseDurationSeconds; renewed at a quarter of it. */
const LEASE_DURATION_SECONDS = 40;
const RENEW_MS = (LEASE_DURATION_SECONDS * 1000) / 4;
/** An unchanged status is written this often: upstream's nodeStatusReportFrequency. */
const REPORT_MS = 300_000;
const retry = { baseMs: 200, maxMs: 7000, jitter: 0.1 };

export interface NodeAgentOptions {
  readonly client: Client;
  /** Of this node alone. */
  readonly informer: Informer<Node>;
  readonly recorder: Pick<EventRecorder, 'event'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly name: string;
  readonly nodeIP: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly maxPods: number;
  readonly rootDir: string;
  readonly kubeletVersion: string;
  readonly containerRuntimeVersion: string;
  /** Of the kubelet's own API. */
  readonly port: number;
  readonly statusUpdateMs: number;
  readonly notReadyReason: () => string | undefined;
}

/** Keeps the Node object and its Lease: registers the node, says how it fares, and that it is alive. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  #lease: Lease | undefined;
  #lastReportAt = -Infinity;
  #wasReady: boolean | undefined;
  #updating: Promise<void> | undefined;
  #updateAgain = false;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
  }

  /** The Node as the API has it, once it is known. */
  get node(): Node | undefined {
    return this.#options.informer.get('', this.#options.name);
  }

  /** Registers the node, trying until it is there or the signal aborts, then keeps it up to date in the background. */
  async start(): Promise<void> {
    const { clock, logger, signal } = this.#options;
    for (let failures = 0; ; failures++) {
      try {
        await this.#register();
        break;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: messageOf(error) }, 'cannot register node, trying again');
        await clock.sleep(backoffMs(failures, retry), { signal });
      }
    }
    this.#every(RENEW_MS, async () => await this.#renewLease());
    this.#every(this.#options.statusUpdateMs, async () => await this.updateStatus());
  }

  /** Looks at the node now and writes its status if it changed. */
  async updateStatus(): Promise<void> {
    this.#updateAgain = true;
    this.#updating ??= (async () => {
      while (this.#updateAgain && !this.#options.signal.aborted) {
        this.#updateAgain = false;
        await this.#writeStatus();
      }
    })().finally(() => (this.#updating = undefined));
    await this.#updating;
  }

  /** At once, then after each `ms`; a failure is tried again soon. */
  #every(ms: number, task: () => Promise<void>): void {
    const { clock, logger, signal } = this.#options;
    let failures = 0;
    const run = (): void => {
      if (signal.aborted) return;
      task()
        .then(
          () => (failures = 0),
          (error: unknown) => {
            if (!signal.aborted) logger.warn({ err: messageOf(error) }, 'cannot update node, trying again');
            failures++;
          },
        )
        .finally(() => clock.after(failures === 0 ? ms : Math.min(ms, backoffMs(failures, retry)), run));
    };
    run();
  }

  #facts(): NodeFacts {
    const { clock, rootDir, notReadyReason } = this.#options;
    return {
      ...this.#options,
      machine: readMachine(rootDir),
      pressure: readPressure(rootDir),
      notReady: notReadyReason(),
      now: formatTime(clock.now()),
    };
  }

  async #register(): Promise<void> {
    const { client, signal, name, logger } = this.#options;
    const facts = this.#facts();
    try {
      await client.create(nodes, newNode(facts), { signal });
      logger.info({ node: name }, 'node registered');
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const node = await client.get(nodes, name, { signal });
      const wanted = nodeLabels(facts);
      const differs = Object.entries(wanted).some(([key, value]) => node.metadata.labels?.[key] !== value);
      if (differs) await client.patch(nodes, name, 'strategic', { metadata: { labels: wanted } }, { signal });
    }
  }

  /** Somebody may have deleted it: it is registered again, as upstream does at its next start. */
  async #getOrRegister(): Promise<Node> {
    const { client, signal, name } = this.#options;
    try {
      return await client.get(nodes, name, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#register();
      return await client.get(nodes, name, { signal });
    }
  }

  async #writeStatus(): Promise<void> {
    const { client, signal, name, clock, recorder, informer } = this.#options;
    const cached = informer.get('', name);
    const node = cached ?? (await this.#getOrRegister());
    const facts = this.#facts();
    const status = nodeStatus(facts, node.status);
    const now = clock.monotonic();
    if (!nodeStatusChanged(node.status, status) && now - this.#lastReportAt < REPORT_MS) return;
    try {
      const patch = { status: nodeStatusPatch(node.status, status) };
      await client.patch(nodes, name, 'strategic', patch, { subresource: 'status', signal });
    } catch (error) {
      if (isNotFound(error)) await this.#register();
      throw error;
    }
    this.#lastReportAt = now;
    const isReady = facts.notReady === undefined;
    if (this.#wasReady !== isReady) {
      const reason = isReady ? 'NodeReady' : 'NodeNotReady';
      recorder.event(node, { type: 'Normal', reason, message: `Node ${name} status is now: ${reason}` });
    }
    this.#wasReady = isReady;
  }

  async #renewLease(): Promise<void> {
    const { client, signal, name, clock } = this.#options;
    const renewTime = formatMicroTime(clock.now());
    try {
      const lease = this.#lease ?? (await client.get(leases, name, { namespace: LEASE_NAMESPACE, signal }));
      const spec = { ...lease.spec, holderIdentity: name, leaseDurationSeconds: LEASE_DURATION_SECONDS, renewTime };
      this.#lease = await client.update(leases, { ...lease, spec }, { namespace: LEASE_NAMESPACE, signal });
    } catch (error) {
      this.#lease = undefined;
      if (!isNotFound(error)) throw error;
      const node = this.node ?? (await client.get(nodes, name, { signal }));
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid: node.metadata.uid ?? '' }];
      this.#lease = await client.create(
        leases,
        {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name, namespace: LEASE_NAMESPACE, ownerReferences },
          spec: { holderIdentity: name, leaseDurationSeconds: LEASE_DURATION_SECONDS, renewTime },
        },
        { namespace: LEASE_NAMESPACE, signal },
      );
    }
  }
}
