import { backoffMs, type Cancel, type Clock } from '@naru/component';
import type { ClusterEvent, EventKind } from '../framework/cluster-event.ts';
import type { EventRegistration, QueueingHint } from '../framework/plugin.ts';
import { podKey, type PodInfo } from '../framework/pod-info.ts';
import { Heap } from './heap.ts';

/** After this long a pod is tried again even if no event spoke for it. */
const UNSCHEDULABLE_TIMEOUT_MS = 5 * 60_000;
const UNSCHEDULABLE_FLUSH_INTERVAL_MS = 30_000;

/** A pod that waits for a node. */
export interface QueuedPod {
  readonly key: string;
  info: PodInfo;
  /** Tries so far. */
  attempts: number;
  /** When it came into the queue it is in, on the monotonic clock. */
  timestampMs: number;
  /** When it came to the scheduler first. */
  readonly firstSeenMs: number;
  /** Breaks ties between pods of one millisecond. */
  sequence: number;
  /** Plugins that rejected it at the last try; empty: any event may help. */
  rejectedBy: ReadonlySet<string>;
  gated: boolean;
}

export interface SchedulingQueueOptions {
  readonly clock: Clock;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Which events the plugins that reject pods want to hear of. */
  readonly plugins: readonly { readonly name: string; readonly events: readonly EventRegistration[] }[];
  /** Called when there is a pod to pop after there was none. */
  readonly onReady: () => void;
  /** Called for each pod that comes into a queue, with what brought it there. */
  readonly onIncoming?: (queue: 'active' | 'backoff' | 'unschedulable', event: string) => void;
}

/**
 * Pods on their way to a node. Active: to be tried now, the most important first and among those the oldest. Backing off:
 * tried not long ago. Unschedulable: nothing has happened yet that could make them fit; each waits for the events that the
 * plugins which rejected it have asked for. A pod is in one of them, or popped and in nobody's.
 */
export class SchedulingQueue implements Disposable {
  readonly #options: SchedulingQueueOptions;
  readonly #clock: Clock;
  readonly #active = new Heap<QueuedPod>({
    keyOf: ({ key }) => key,
    less: (a, b) =>
      a.info.priority !== b.info.priority
        ? a.info.priority > b.info.priority
        : a.timestampMs !== b.timestampMs
          ? a.timestampMs < b.timestampMs
          : a.sequence < b.sequence,
  });
  readonly #backoff = new Heap<QueuedPod>({
    keyOf: ({ key }) => key,
    less: (a, b) => this.#backoffEndsMs(a) < this.#backoffEndsMs(b),
  });
  readonly #unschedulable = new Map<string, QueuedPod>();
  /** The unschedulable pods by a plugin that rejected them; '' holds those that any event may help. */
  readonly #byPlugin = new Map<string, Set<QueuedPod>>();
  readonly #hints = new Map<EventKind, Map<string, QueueingHint | undefined>>();
  #sequence = 0;
  #cancelBackoff: Cancel | undefined;
  #cancelFlush: Cancel | undefined;
  #disposed = false;

  constructor(options: SchedulingQueueOptions) {
    this.#options = options;
    this.#clock = options.clock;
    for (const { name, events } of options.plugins)
      for (const { kind, hint } of events) {
        const hints = this.#hints.get(kind) ?? new Map<string, QueueingHint | undefined>();
        this.#hints.set(kind, hints.set(name, hint));
      }
    this.#armFlush();
  }

  get counts(): {
    readonly active: number;
    readonly backoff: number;
    readonly unschedulable: number;
    readonly gated: number;
  } {
    const gated = this.#unschedulable.values().reduce((sum, pod) => sum + (pod.gated ? 1 : 0), 0);
    return {
      active: this.#active.size,
      backoff: this.#backoff.size,
      unschedulable: this.#unschedulable.size - gated,
      gated,
    };
  }

  /** Takes in a pod without a node; one that is known already is updated. */
  add(info: PodInfo): void {
    const key = podKey(info.pod);
    if (this.#find(key) !== undefined) {
      this.update(info);
      return;
    }
    const now = this.#clock.monotonic();
    this.#enqueue(
      {
        key,
        info,
        attempts: 0,
        timestampMs: now,
        firstSeenMs: now,
        sequence: this.#sequence++,
        rejectedBy: new Set(),
        gated: false,
      },
      'UnscheduledPodAdd',
    );
  }

  /** A waiting pod was changed; it is tried anew if that could help. */
  update(info: PodInfo): void {
    const queued = this.#find(podKey(info.pod));
    if (queued === undefined) {
      this.add(info);
      return;
    }
    const old = queued.info;
    if (this.#unschedulable.has(queued.key)) {
      const helps = queued.gated ? !isGated(info) : this.#mayHelp(queued, { kind: 'PodUpdate', pod: info, old });
      queued.info = info;
      if (helps) this.#requeue(queued, 'UnscheduledPodUpdate');
      return;
    }
    const heap = this.#active.get(queued.key) === undefined ? this.#backoff : this.#active;
    queued.info = info;
    heap.set(queued);
  }

  delete(info: PodInfo): void {
    const key = podKey(info.pod);
    this.#active.delete(key);
    this.#backoff.delete(key);
    const queued = this.#unschedulable.get(key);
    if (queued !== undefined) this.#removeUnschedulable(queued);
  }

  has(info: PodInfo): boolean {
    return this.#find(podKey(info.pod)) !== undefined;
  }

  /** The next pod to try; undefined when none is due. */
  pop(): QueuedPod | undefined {
    const queued = this.#active.pop();
    if (queued !== undefined) queued.attempts++;
    return queued;
  }

  /** A popped pod fits nowhere: it waits for an event that one of these plugins asked for. */
  addUnschedulable(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    if (this.#find(queued.key) !== undefined) return;
    queued.rejectedBy = rejectedBy;
    queued.timestampMs = this.#clock.monotonic();
    this.#putUnschedulable(queued, 'ScheduleAttemptFailure');
  }

  /** A popped pod failed for a reason that has nothing to do with its fit: it is tried again after its backoff. */
  addBackoff(queued: QueuedPod): void {
    if (this.#find(queued.key) !== undefined) return;
    queued.rejectedBy = new Set();
    queued.timestampMs = this.#clock.monotonic();
    this.#putBackoff(queued, 'ScheduleAttemptFailure');
  }

  /** Something happened: pods that it may help are tried again, after their backoff. */
  moveOnEvent(event: ClusterEvent): void {
    const candidates = new Set<QueuedPod>(this.#byPlugin.get('') ?? []);
    for (const plugin of this.#hints.get(event.kind)?.keys() ?? [])
      for (const queued of this.#byPlugin.get(plugin) ?? []) candidates.add(queued);
    for (const queued of candidates) if (this.#mayHelp(queued, event)) this.#requeue(queued, event.kind);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancelBackoff?.();
    this.#cancelFlush?.();
  }

  #find(key: string): QueuedPod | undefined {
    return this.#active.get(key) ?? this.#backoff.get(key) ?? this.#unschedulable.get(key);
  }

  #mayHelp(queued: QueuedPod, event: ClusterEvent): boolean {
    if (queued.gated) return false;
    if (queued.rejectedBy.size === 0) return true;
    const hints = this.#hints.get(event.kind);
    for (const plugin of queued.rejectedBy) {
      if (hints?.has(plugin) !== true) continue;
      const hint = hints.get(plugin);
      if (hint === undefined || hint(queued.info, event)) return true;
    }
    return false;
  }

  #requeue(queued: QueuedPod, event: string): void {
    this.#removeUnschedulable(queued);
    if (!queued.gated && this.#backoffEndsMs(queued) > this.#clock.monotonic()) this.#putBackoff(queued, event);
    else {
      queued.timestampMs = this.#clock.monotonic();
      this.#enqueue(queued, event);
    }
  }

  /** To the active pods, unless a gate holds the pod. */
  #enqueue(queued: QueuedPod, event: string): void {
    queued.gated = isGated(queued.info);
    if (queued.gated) {
      this.#putUnschedulable(queued, event);
      return;
    }
    this.#options.onIncoming?.('active', event);
    queued.sequence = this.#sequence++;
    this.#active.set(queued);
    if (this.#active.size === 1) this.#options.onReady();
  }

  #putUnschedulable(queued: QueuedPod, event: string): void {
    this.#options.onIncoming?.('unschedulable', event);
    this.#unschedulable.set(queued.key, queued);
    if (queued.gated) return;
    for (const plugin of queued.rejectedBy.size === 0 ? [''] : queued.rejectedBy) {
      const pods = this.#byPlugin.get(plugin) ?? new Set();
      this.#byPlugin.set(plugin, pods.add(queued));
    }
  }

  #removeUnschedulable(queued: QueuedPod): void {
    this.#unschedulable.delete(queued.key);
    for (const plugin of queued.rejectedBy.size === 0 ? [''] : queued.rejectedBy)
      this.#byPlugin.get(plugin)?.delete(queued);
  }

  #putBackoff(queued: QueuedPod, event: string): void {
    this.#options.onIncoming?.('backoff', event);
    this.#backoff.set(queued);
    if (this.#backoff.peek() === queued) this.#armBackoff();
  }

  #backoffEndsMs({ attempts, timestampMs }: QueuedPod): number {
    if (attempts === 0) return timestampMs;
    const { initialBackoffMs, maxBackoffMs } = this.#options;
    return timestampMs + backoffMs(attempts - 1, { baseMs: initialBackoffMs, maxMs: maxBackoffMs });
  }

  #armBackoff(): void {
    this.#cancelBackoff?.();
    this.#cancelBackoff = undefined;
    const next = this.#backoff.peek();
    if (next === undefined || this.#disposed) return;
    const wait = Math.max(0, Math.ceil(this.#backoffEndsMs(next) - this.#clock.monotonic()));
    this.#cancelBackoff = this.#clock.after(wait, () => this.#flushBackoff());
  }

  #flushBackoff(): void {
    const now = this.#clock.monotonic();
    for (
      let next = this.#backoff.peek();
      next !== undefined && this.#backoffEndsMs(next) <= now;
      next = this.#backoff.peek()
    ) {
      this.#backoff.pop();
      next.timestampMs = now;
      this.#enqueue(next, 'BackoffComplete');
    }
    this.#armBackoff();
  }

  #armFlush(): void {
    this.#cancelFlush = this.#clock.after(UNSCHEDULABLE_FLUSH_INTERVAL_MS, () => {
      const since = this.#clock.monotonic() - UNSCHEDULABLE_TIMEOUT_MS;
      const stale = this.#unschedulable
        .values()
        .filter((each) => !each.gated && each.timestampMs <= since)
        .toArray();
      for (const queued of stale) this.#requeue(queued, 'UnschedulableTimeout');
      if (!this.#disposed) this.#armFlush();
    });
  }
}

function isGated({ pod }: PodInfo): boolean {
  return (pod.spec?.schedulingGates ?? []).length > 0;
}
