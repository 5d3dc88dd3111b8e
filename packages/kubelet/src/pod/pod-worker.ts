import { isNotFound, parseTime, pods, type Pod, type PodStatus } from '@naru/api';
import { backoffMs, type Cancel } from '@naru/component';
import { messageOf, StartError } from '../errors.ts';
import { computePodActions, type ContainerToStart, type PodActions } from '../plan/compute-pod-actions.ts';
import type { WaitingReason } from '../plan/container-statuses.ts';
import { formatSeconds } from '../plan/crash-loop-backoff.ts';
import { allContainers, gracePeriodSeconds, isTerminalPhase, specOf } from '../plan/pod-spec.ts';
import { podStatus } from '../plan/pod-status.ts';
import { readySandbox, type RuntimePod } from '../plan/runtime-pod.ts';
import type { ContainerKiller } from './container-killer.ts';
import { downwardFacts, type ContainerStarter } from './container-starter.ts';
import {
  containerFieldPath,
  podFolder,
  podLogFolder,
  runtimePod,
  sandboxConfig,
  type PodContext,
} from './pod-context.ts';
import { collectGarbage, removePod } from './pod-garbage.ts';
import { readTerminationMessage } from './termination-message.ts';

/** Errors of a sync (a volume that cannot be set up, a runtime that does not answer) are tried again after this. */
const retry = { baseMs: 1000, maxMs: 60_000, jitter: 0.2 };
/** A container whose configuration or image is refused is tried again after this, or when what it refers to changes. */
const START_RETRY_MS = 10_000;
const BACKOFF_EVENT_REASON = 'BackOff';

export interface PodWorkerOptions {
  readonly context: PodContext;
  readonly starter: ContainerStarter;
  readonly killer: ContainerKiller;
  /** The pod has ended here and the API has it no more: the worker can be dropped. */
  readonly onFinished: (uid: string) => void;
}

/**
 * One pod's life on this node: reads what the runtime has, plans, acts, reports; one thing at a time. What wakes it is not
 * an argument: it always looks at everything.
 */
export class PodWorker {
  readonly uid: string;
  readonly #options: PodWorkerOptions;
  readonly #waiting = new Map<string, WaitingReason>();
  /** Aborts when the pod is to end: what its start waits for is waited for no longer. */
  readonly #ending = new AbortController();
  /** What ended containers left to say, by id: the folder that holds it goes before the pod. */
  readonly #messages = new Map<string, string>();
  #pod: Pod;
  /** Not in the API any more: deleted without waiting for this kubelet, or never there. */
  #isGone = false;
  #failure: { readonly reason: string; readonly message: string } | undefined;
  #isAdmitted = false;
  #isTerminating = false;
  #isTerminated = false;
  #graceSeconds = Infinity;
  #dirty = false;
  #running: Promise<void> | undefined;
  #cancelTimer: Cancel | undefined;
  #failures = 0;

  constructor(pod: Pod, options: PodWorkerOptions) {
    this.uid = pod.metadata.uid ?? '';
    this.#pod = pod;
    this.#options = options;
  }

  get pod(): Pod {
    return this.#pod;
  }

  get isTerminated(): boolean {
    return this.#isTerminated;
  }

  /** Its status as this kubelet sees it; the API may not have it yet. */
  get status(): PodStatus {
    return this.#status();
  }

  /** Whether its containers may still use the node's resources. */
  get isActive(): boolean {
    return !this.#isTerminated && !isTerminalPhase(this.#status().phase);
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) this.#ending.abort();
    this.wake();
  }

  /** The pod is gone from the API. */
  remove(): void {
    this.#isGone = true;
    this.#ending.abort();
    this.wake();
  }

  /** Looks at the pod as soon as it can. */
  wake(): void {
    this.#dirty = true;
    if (this.#isTerminating && !this.#isTerminated) this.#shortenGrace();
    if (this.#running !== undefined || this.#options.context.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#dirty) this.wake();
    });
  }

  /** Resolves when what is under way is done. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, logger, signal } = this.#options.context;
    while (this.#dirty && !signal.aborted) {
      this.#dirty = false;
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
      try {
        const next = await this.#sync();
        this.#failures = 0;
        if (next !== undefined) this.#wakeAt(next);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ pod: this.#key(), err: messageOf(error) }, 'cannot sync pod, trying again');
        this.#wakeAt(clock.now() + backoffMs(this.#failures++, retry));
      }
    }
  }

  #key(): string {
    return `${this.#pod.metadata.namespace}/${this.#pod.metadata.name}`;
  }

  #wakeAt(atMs: number): void {
    const { clock } = this.#options.context;
    this.#cancelTimer?.();
    this.#cancelTimer = clock.after(Math.max(0, atMs - clock.now()), () => this.wake());
  }

  /** Returns when to look again by itself, if at all. */
  async #sync(): Promise<number | undefined> {
    const { context } = this.#options;
    if (this.#isTerminated) {
      await this.#finish();
      return undefined;
    }
    if (this.#isGone || this.#pod.metadata.deletionTimestamp !== undefined) {
      await this.#terminate();
      return undefined;
    }
    const runtime = await runtimePod(context.runtime, this.uid);
    this.#admit(runtime);
    const deadline = this.#checkDeadline();
    if (this.#failure !== undefined || isTerminalPhase(this.#status().phase)) {
      await this.#endPod(runtime);
      return undefined;
    }
    context.probes.sync(this.#withStatus(), runtime);
    this.#report(runtime);
    const next = await this.#act(runtime);
    return deadline === undefined ? next : Math.min(deadline, next ?? Infinity);
  }

  /** The status as last written, over the API's, which may lag behind. */
  #status(): PodStatus {
    return this.#options.context.statuses.get(this.uid) ?? this.#pod.status ?? {};
  }

  #withStatus(): Pod {
    const written = this.#options.context.statuses.get(this.uid);
    if (written === undefined) return this.#pod;
    const gates = specOf(this.#pod).readinessGates?.map(({ conditionType }) => conditionType) ?? [];
    const ofOthers = this.#pod.status?.conditions?.filter(({ type }) => gates.includes(type)) ?? [];
    const own = written.conditions?.filter(({ type }) => !gates.includes(type)) ?? [];
    return { ...this.#pod, status: { ...written, conditions: [...own, ...ofOthers] } };
  }

  #report(runtime: RuntimePod): void {
    const { context } = this.#options;
    const status = podStatus({
      pod: this.#withStatus(),
      runtime,
      runtimeName: context.runtime.version.runtimeName,
      waiting: this.#waiting,
      isReady: (id) => context.probes.isReady(this.uid, id),
      isStarted: (id) => context.probes.results(this.uid).isStarted(id, ''),
      terminationMessage: (id) => this.#terminationMessage(runtime, id),
      hostIP: context.hostIP,
      nowMs: context.clock.now(),
      failure: this.#failure,
      isTerminated: this.#isTerminating,
    });
    const wasOver = isTerminalPhase(this.#status().phase);
    context.statuses.set(this.#pod, status);
    // It is over now: what is left of it must be ended.
    if (!wasOver && isTerminalPhase(status.phase) && !this.#isTerminating) this.#dirty = true;
  }

  #terminationMessage(runtime: RuntimePod, id: string): string | undefined {
    const { context } = this.#options;
    const known = this.#messages.get(id);
    if (known !== undefined || context.isHollow) return known;
    const status = runtime.containers.find((each) => each.id === id);
    const container = allContainers(this.#pod).find(({ name }) => name === status?.metadata.name);
    if (status === undefined || container === undefined) return undefined;
    const message = readTerminationMessage(podFolder(context, this.#pod), container, status);
    if (message !== undefined) this.#messages.set(id, message);
    return message;
  }

  /** A pod that has not begun here is looked at once: can this node run it at all? */
  #admit(runtime: RuntimePod): void {
    if (this.#isAdmitted) return;
    this.#isAdmitted = true;
    const phase = this.#pod.status?.phase ?? 'Pending';
    if (runtime.sandboxes.length > 0 || phase !== 'Pending') return;
    const refusal = this.#options.context.admit(this.#pod);
    if (refusal === undefined) return;
    this.#failure = { reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
    this.#event('Warning', refusal.reason, refusal.message);
  }

  /** activeDeadlineSeconds. Returns when it will be over. */
  #checkDeadline(): number | undefined {
    const { activeDeadlineSeconds } = specOf(this.#pod);
    const startTime = parseTime(this.#status().startTime);
    if (activeDeadlineSeconds === undefined || Number.isNaN(startTime)) return undefined;
    const deadline = startTime + activeDeadlineSeconds * 1000;
    if (this.#options.context.clock.now() < deadline) return deadline;
    if (this.#failure === undefined && !isTerminalPhase(this.#status().phase)) {
      const message = 'Pod was active on the node longer than the specified deadline';
      this.#failure = { reason: 'DeadlineExceeded', message };
      this.#event('Normal', 'DeadlineExceeded', message);
    }
    return undefined;
  }

  /** The pod is over but still in the API: nothing of it may run, its containers stay for their logs. */
  async #endPod(runtime: RuntimePod): Promise<void> {
    const { context, killer } = this.#options;
    const grace = specOf(this.#pod).terminationGracePeriodSeconds ?? 30;
    context.probes.remove(this.uid);
    await killer.killPod(this.#pod, runtime, Math.max(1, grace));
    for (const { id } of runtime.sandboxes) await context.runtime.stopPodSandbox(id);
    this.#report(await runtimePod(context.runtime, this.uid));
  }

  async #act(runtime: RuntimePod): Promise<number | undefined> {
    const { context, killer } = this.#options;
    const actions = computePodActions({ pod: this.#pod, runtime, probes: context.probes.results(this.uid) });
    const sandbox = readySandbox(runtime);
    if (actions.killPod) {
      await killer.killPod(this.#pod, runtime, gracePeriodSeconds(this.#pod));
      for (const { id } of runtime.sandboxes) await context.runtime.stopPodSandbox(id);
      if (actions.createSandbox === undefined) {
        this.#report(await runtimePod(context.runtime, this.uid));
        return undefined;
      }
    }
    // Before the sandbox, as upstream: a pod whose volumes are missing has no address.
    const volumes = await this.#setUpVolumes(sandbox?.ip ?? '');
    if (actions.createSandbox !== undefined) {
      await this.#createSandbox(actions.createSandbox.attempt);
      return await this.#again();
    }
    if (sandbox === undefined) return undefined;
    for (const { id, name, message, reason } of actions.containersToKill) {
      const status = runtime.containers.find((each) => each.id === id);
      if (status === undefined) continue;
      const graceSeconds = killer.probeGraceSeconds(this.#pod, name, reason);
      const willRestart = specOf(this.#pod).restartPolicy === 'Never' ? 'will be killed' : 'will be restarted';
      await killer.kill({
        pod: this.#pod,
        status,
        message: `${message}, ${willRestart}`,
        graceSeconds,
        podIP: sandbox.ip,
      });
      this.#dirty = true;
    }
    const next = await this.#startContainers(actions, { sandbox, volumes });
    await collectGarbage(context, await runtimePod(context.runtime, this.uid));
    return this.#earliest(next, context.isHollow ? undefined : this.#volumesDue());
  }

  /** Looks again within this call, so that a pod gets from its sandbox to its containers without waiting for an event. */
  async #again(): Promise<number | undefined> {
    const { context } = this.#options;
    const runtime = await runtimePod(context.runtime, this.uid);
    this.#report(runtime);
    return await this.#act(runtime);
  }

  async #setUpVolumes(podIP: string): Promise<ReadonlyMap<string, string>> {
    const { context } = this.#options;
    if (context.isHollow) return new Map();
    try {
      return await context.volumes.setUp(downwardFacts(context, this.#pod, podIP), context.signal);
    } catch (error) {
      this.#event('Warning', 'FailedMount', messageOf(error));
      throw error;
    }
  }

  /** Tokens must be renewed in time; what else volumes show is followed by watches. */
  #volumesDue(): number | undefined {
    return this.#options.context.volumes.tokensDue(this.uid);
  }

  async #createSandbox(attempt: number): Promise<void> {
    const { context } = this.#options;
    try {
      const reason = specOf(this.#pod).hostNetwork === true ? undefined : context.network.notReadyReason();
      if (reason !== undefined) throw new Error(`network is not ready: ${reason}`);
      await context.runtime.runPodSandbox(sandboxConfig(context, this.#pod, attempt));
    } catch (error) {
      this.#event('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
      throw error;
    }
  }

  async #startContainers(
    actions: PodActions,
    where: {
      readonly sandbox: NonNullable<ReturnType<typeof readySandbox>>;
      readonly volumes: ReadonlyMap<string, string>;
    },
  ): Promise<number | undefined> {
    let next: number | undefined;
    let started = false;
    for (const start of actions.containersToStart) {
      // What was asked for meanwhile (a deletion) comes first.
      if (this.#isGone || this.#pod.metadata.deletionTimestamp !== undefined) return undefined;
      const wait = this.#inBackoff(start);
      if (wait !== undefined) {
        next = this.#earliest(next, wait);
        continue;
      }
      const container = allContainers(this.#pod).find(({ name }) => name === start.name);
      if (container === undefined) continue;
      try {
        await this.#options.starter.start({ pod: this.#pod, container, start, ending: this.#ending.signal, ...where });
        this.#waiting.delete(start.name);
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        this.#waiting.set(start.name, { reason: error.reason, message: error.message });
        // One that was made but did not start ends at once; its end leads to the next try. Others are tried later.
        next = this.#earliest(next, this.#options.context.clock.now() + START_RETRY_MS);
      }
      started = true;
    }
    if (!started && actions.containersToStart.length === 0) return next;
    const runtime = await runtimePod(this.#options.context.runtime, this.uid);
    this.#options.context.probes.sync(this.#withStatus(), runtime);
    this.#report(runtime);
    return next;
  }

  #backoffKey(name: string): string {
    return `${this.uid}/${name}`;
  }

  /** When a container that ended may start again, or undefined if it may now. */
  #inBackoff({ name, lastFinishedAt }: ContainerToStart): number | undefined {
    const { startBackoff, clock, recorder } = this.#options.context;
    const now = clock.now();
    if (lastFinishedAt === undefined) return undefined;
    const wait = startBackoff.check(this.#backoffKey(name), lastFinishedAt, now);
    if (wait === undefined) {
      startBackoff.next(this.#backoffKey(name), lastFinishedAt, now);
      return undefined;
    }
    const { name: podName, namespace } = this.#pod.metadata;
    const pod = `${podName}_${namespace}(${this.uid})`;
    const message = `back-off ${formatSeconds(wait.backoffMs)} restarting failed container=${name} pod=${pod}`;
    this.#waiting.set(name, { reason: 'CrashLoopBackOff', message });
    recorder.event(
      this.#pod,
      {
        type: 'Warning',
        reason: BACKOFF_EVENT_REASON,
        message: `Back-off restarting failed container ${name} in pod ${pod}`,
      },
      { fieldPath: containerFieldPath(this.#pod, name) },
    );
    return wait.until;
  }

  #earliest(a: number | undefined, b: number | undefined): number | undefined {
    if (a === undefined) return b;
    return b === undefined ? a : Math.min(a, b);
  }

  /** A second deletion may leave less time than the first. */
  #shortenGrace(): void {
    const seconds = this.#terminationGraceSeconds();
    if (seconds >= this.#graceSeconds) return;
    this.#graceSeconds = seconds;
    const { context } = this.#options;
    void (async () => {
      const { containers } = await runtimePod(context.runtime, this.uid);
      await Promise.all(
        containers.map(async ({ id }) => await context.runtime.stopContainer(id, { timeoutSeconds: seconds })),
      );
    })().catch((error: unknown) => context.logger.warn({ pod: this.#key(), err: error }, 'cannot stop container'));
  }

  #terminationGraceSeconds(): number {
    // Gone without waiting for us: it was deleted by force, so what runs must end soon.
    const { deletionTimestamp } = this.#pod.metadata;
    if (this.#isGone && deletionTimestamp !== undefined) return Math.min(1, gracePeriodSeconds(this.#pod));
    return gracePeriodSeconds(this.#pod);
  }

  /** The pod is being deleted: ends what runs, says how it ended, lets the API forget it. */
  async #terminate(): Promise<void> {
    const { context, killer } = this.#options;
    this.#isTerminating = true;
    this.#graceSeconds = this.#terminationGraceSeconds();
    const runtime = await runtimePod(context.runtime, this.uid);
    context.probes.stopLiveness(this.uid);
    await killer.killPod(this.#pod, runtime, this.#graceSeconds);
    context.probes.remove(this.uid);
    for (const { id } of runtime.sandboxes) await context.runtime.stopPodSandbox(id);
    // How a hollow pod ended says nothing to anybody: one write less for each.
    if (!this.#isGone && !context.isHollow) this.#report(await runtimePod(context.runtime, this.uid));
    this.#isTerminated = true;
    this.#dirty = true;
  }

  /** After the last container's end: the final status, then the deletion, then what is left on the node. Repeated until done. */
  async #finish(): Promise<void> {
    const { context, onFinished } = this.#options;
    await context.objects.release(this.uid);
    context.volumes.tearDown(this.uid);
    if (!this.#isGone) {
      await context.statuses.flushed(this.uid);
      if (context.signal.aborted) return;
      await this.#deleteFromApi();
    }
    context.statuses.forget(this.uid);
    await removePod(context, this.uid, podLogFolder(context.podLogsFolder, this.#pod));
    context.startBackoff.forget(`${this.uid}/`);
    if (this.#isGone) onFinished(this.uid);
  }

  async #deleteFromApi(): Promise<void> {
    const { name = '', namespace = '' } = this.#pod.metadata;
    // A finalizer keeps it in the API: deleting it once more changes nothing.
    if ((this.#pod.metadata.finalizers?.length ?? 0) > 0 && this.#pod.metadata.deletionGracePeriodSeconds === 0) return;
    try {
      await this.#options.context.client.delete(pods, name, {
        namespace,
        signal: this.#options.context.signal,
        body: { gracePeriodSeconds: 0, preconditions: { uid: this.uid } },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#options.context.recorder.event(this.#pod, { type, reason, message });
  }
}
