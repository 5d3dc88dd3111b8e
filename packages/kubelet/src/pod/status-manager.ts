import { isNotFound, pods, type Pod, type PodStatus } from '@naru/api';
import type { Client } from '@naru/client';
import { backoffMs, type Clock, type Logger } from '@naru/component';
import { messageOf } from '../errors.ts';
import { statusPatch } from '../plan/pod-status.ts';

/** PATCHes under way at once; more wait. */
const CONCURRENCY_MAX = 16;
const backoff = { baseMs: 200, maxMs: 10_000, jitter: 0.2 };

interface Entry {
  pod: Pod;
  desired: PodStatus | undefined;
  /** What the API has, as far as is known. */
  known: PodStatus;
  knownVersion: number;
  failures: number;
  sending: boolean;
  /** The pod is no longer in the API: nothing can be written. */
  gone: boolean;
  waiters: (() => void)[];
}

export interface StatusManagerOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const versionOf = (pod: Pod): number => Number(pod.metadata.resourceVersion ?? 0);

/**
 * Writes pods' statuses to the API: one PATCH per real change, of what changed alone, the latest status when several came
 * while one was under way, again after a failure, and again when the API turns out to have something else.
 */
export class StatusManager {
  readonly #options: StatusManagerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #queue = new Set<string>();
  #sending = 0;
  #scheduled = false;

  constructor(options: StatusManagerOptions) {
    this.#options = options;
  }

  /** The latest status that was set; the API may not have it yet. */
  get(podUid: string): PodStatus | undefined {
    return this.#entries.get(podUid)?.desired;
  }

  set(pod: Pod, status: PodStatus): void {
    const entry = this.#entry(pod);
    entry.desired = status;
    this.#enqueue(pod.metadata.uid ?? '');
  }

  /** The API's pod as the watch shows it: what it has instead of what was written is put right. */
  observe(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.pod = pod;
    if (versionOf(pod) <= entry.knownVersion) return;
    entry.known = pod.status ?? {};
    entry.knownVersion = versionOf(pod);
    this.#enqueue(uid);
  }

  /** Resolves when the API has the latest status, or has the pod no more. */
  async flushed(podUid: string): Promise<void> {
    const entry = this.#entries.get(podUid);
    if (entry === undefined || this.#options.signal.aborted) return;
    if (!entry.sending && !this.#queue.has(podUid) && entry.failures === 0) return;
    await new Promise<void>((resolve) => entry.waiters.push(resolve));
  }

  forget(podUid: string): void {
    const entry = this.#entries.get(podUid);
    if (entry === undefined) return;
    entry.gone = true;
    this.#entries.delete(podUid);
    this.#queue.delete(podUid);
    for (const wake of entry.waiters.splice(0)) wake();
  }

  #entry(pod: Pod): Entry {
    const uid = pod.metadata.uid ?? '';
    let entry = this.#entries.get(uid);
    if (entry === undefined) {
      const known = pod.status ?? {};
      const knownVersion = versionOf(pod);
      entry = { pod, desired: undefined, known, knownVersion, failures: 0, sending: false, gone: false, waiters: [] };
      this.#entries.set(uid, entry);
    }
    return entry;
  }

  #enqueue(uid: string): void {
    this.#queue.add(uid);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After the present turn: several changes within one are one PATCH.
    setImmediate(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    for (const uid of this.#queue) {
      if (this.#sending >= CONCURRENCY_MAX || this.#options.signal.aborted) return;
      const entry = this.#entries.get(uid);
      if (entry?.sending === true) continue;
      this.#queue.delete(uid);
      if (entry === undefined) continue;
      entry.sending = true;
      this.#sending++;
      void this.#send(uid, entry).finally(() => {
        entry.sending = false;
        this.#sending--;
        const isDone = !this.#queue.has(uid) && entry.failures === 0;
        if (isDone || entry.gone) for (const wake of entry.waiters.splice(0)) wake();
        if (this.#queue.size > 0) this.#dispatch();
      });
    }
  }

  async #send(uid: string, entry: Entry): Promise<void> {
    const { client, clock, logger, signal } = this.#options;
    const { desired, pod, known } = entry;
    const patch = desired === undefined || entry.gone ? undefined : statusPatch(pod, known, desired);
    if (patch === undefined) {
      entry.failures = 0;
      return;
    }
    const { name = '', namespace = '' } = pod.metadata;
    try {
      const result = await client.patch(pods, name, 'strategic', patch, { namespace, subresource: 'status', signal });
      entry.failures = 0;
      if (versionOf(result) >= entry.knownVersion) {
        entry.known = result.status ?? {};
        entry.knownVersion = versionOf(result);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isNotFound(error)) {
        entry.gone = true;
        entry.failures = 0;
        return;
      }
      entry.failures++;
      const delay = backoffMs(entry.failures, backoff);
      logger.warn(
        { pod: `${namespace}/${name}`, err: messageOf(error), delay },
        'cannot update pod status, trying again',
      );
      clock.after(delay, () => this.#enqueue(uid));
    }
  }
}
