import { formatTime, isNotFound, keyOf, nodes, pods, type Node, type Pod } from '@naru/api';
import type { Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isPodTerminal } from '../pod/pod-state-plan.ts';
import { planPodGc, type DoomedPod } from './plan.ts';

/** Upstream's period: it is a net below other controllers, and nobody waits for it. */
const GC_PERIOD_MS = 20_000;
/** How long a node must be missing before its pods go: it may only be slow to register. */
const QUARANTINE_MS = 40_000;

/** Removes pods of nodes that are gone, pods deleted before they were scheduled, and the oldest of too many ended ones. */
export class PodGcController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #missingSince = new Map<string, number>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#nodes = context.informers.informer(nodes);
    this.#pods = context.informers.informer(pods);
  }

  start(signal: AbortSignal): void {
    this.#running = this.#run(AbortSignal.any([signal, this.#stop.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the pod garbage collector is disposed'));
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#context;
    while (!signal.aborted) {
      await clock.sleep(GC_PERIOD_MS, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#collect(signal);
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, 'pod garbage collection failed');
      }
    }
  }

  async #collect(signal: AbortSignal): Promise<void> {
    const byName = new Map(this.#nodes.list().map((node) => [node.metadata.name ?? '', node]));
    const doomed = planPodGc(this.#pods.list(), byName, this.#context.options.terminatedPodGcThreshold);
    const missing = await this.#missingNodes(doomed, signal);
    for (const each of doomed) {
      if (each.reason === 'orphaned' && !missing.has(each.pod.spec?.nodeName ?? '')) continue;
      await this.#remove(each, signal);
    }
  }

  /** Of the nodes that the cache lacks, those that have been missing for long, and that the server does not have either. */
  async #missingNodes(doomed: readonly DoomedPod[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { client, clock } = this.#context;
    const nowMs = clock.monotonic();
    const candidates = new Set(
      doomed.filter(({ reason }) => reason === 'orphaned').map(({ pod }) => pod.spec?.nodeName ?? ''),
    );
    for (const name of this.#missingSince.keys()) if (!candidates.has(name)) this.#missingSince.delete(name);
    const missing = new Set<string>();
    for (const name of candidates) {
      const since = this.#missingSince.get(name) ?? nowMs;
      this.#missingSince.set(name, since);
      if (nowMs - since < QUARANTINE_MS) continue;
      try {
        await client.get(nodes, name, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
        missing.add(name);
      }
    }
    return missing;
  }

  async #remove({ pod, reason }: DoomedPod, signal: AbortSignal): Promise<void> {
    const { client, clock, logger } = this.#context;
    const { name = '', namespace, uid = '' } = pod.metadata;
    logger.info({ pod: keyOf(pod), reason }, 'removing a pod');
    try {
      if (!isPodTerminal(pod)) {
        const orphaned = reason === 'orphaned';
        const condition = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'DeletionByPodGC',
          message: 'PodGC: node no longer exists',
          lastTransitionTime: formatTime(clock.now()),
        };
        const patch = {
          metadata: { uid },
          status: { phase: 'Failed', ...(orphaned ? { conditions: [condition] } : {}) },
        };
        await client.patch(pods, name, 'strategic', patch, { namespace, subresource: 'status', signal });
      }
      await client.delete(pods, name, { namespace, signal, body: { gracePeriodSeconds: 0, preconditions: { uid } } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
