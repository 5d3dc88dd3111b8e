import type { Container, Pod, Probe } from '@naru/api';
import type { Cancel, Clock } from '@naru/component';
import type { ProbeResults } from '../plan/compute-pod-actions.ts';
import { allContainers, allContainerStatuses, isInitContainer, isSidecar } from '../plan/pod-spec.ts';
import {
  initialState,
  observe,
  probeParameters,
  wantsProbe,
  type ProbeKind,
  type ProbeState,
} from '../plan/probe-state.ts';
import { isRunning, newestContainer, readySandbox, type RuntimePod } from '../plan/runtime-pod.ts';
import type { Probed, ProbeTarget } from './prober.ts';

const kinds = { liveness: 'livenessProbe', readiness: 'readinessProbe', startup: 'startupProbe' } as const;
const kindNames = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const;

export interface ProbeManagerOptions {
  readonly probe: (probe: Probe, target: ProbeTarget, timeoutMs: number) => Promise<Probed>;
  readonly clock: Clock;
  /** What a pod's probes say has changed. */
  readonly onChange: (podUid: string) => void;
  readonly onUnhealthy: (pod: Pod, container: Container, message: string) => void;
}

/** Probes the running containers of all pods; says what it found. */
export class ProbeManager implements Disposable {
  readonly #options: ProbeManagerOptions;
  readonly #workers = new Map<string, Map<string, ProbeWorker>>();

  constructor(options: ProbeManagerOptions) {
    this.#options = options;
  }

  /** Probes what runs now of a pod, and nothing else of it. A container that was probed goes on; a new one begins. */
  sync(pod: Pod, runtime: RuntimePod): void {
    const uid = pod.metadata.uid ?? '';
    const podIP = readySandbox(runtime)?.ip ?? '';
    const wanted = new Map<string, ProbeWorker>();
    const known = this.#workers.get(uid);
    for (const container of allContainers(pod)) {
      if (isInitContainer(pod, container.name) && !isSidecar(container)) continue;
      const status = newestContainer(runtime, container.name);
      if (status === undefined || !isRunning(status)) continue;
      for (const kind of Object.keys(kinds) as ProbeKind[]) {
        const probe = container[kinds[kind]];
        if (probe === undefined) continue;
        const key = `${status.id}/${kind}`;
        const target = { pod, container, containerId: status.id, podIP };
        const worker =
          known?.get(key) ??
          new ProbeWorker({
            ...this.#options,
            kind,
            spec: probe,
            target,
            startedAt: status.startedAt,
            isStarted: () => this.#isStarted(uid, status.id),
          });
        wanted.set(key, worker);
      }
    }
    for (const [key, worker] of known ?? []) if (!wanted.has(key)) worker[Symbol.dispose]();
    if (wanted.size > 0) this.#workers.set(uid, wanted);
    else this.#workers.delete(uid);
    for (const [key, worker] of wanted) if (known?.has(key) !== true) worker.start();
  }

  /** The pod is ending: whether it is alive no longer matters, whether it is ready does. */
  stopLiveness(podUid: string): void {
    for (const worker of this.#workers.get(podUid)?.values() ?? [])
      if (worker.kind !== 'readiness') worker[Symbol.dispose]();
  }

  remove(podUid: string): void {
    for (const worker of this.#workers.get(podUid)?.values() ?? []) worker[Symbol.dispose]();
    this.#workers.delete(podUid);
  }

  results(podUid: string): ProbeResults {
    const failed = (kind: ProbeKind): Set<string> => {
      const workers = [...(this.#workers.get(podUid)?.values() ?? [])];
      return new Set(
        workers.filter((each) => each.kind === kind && each.result === 'failure').map((each) => each.containerId),
      );
    };
    return {
      livenessFailed: failed('liveness'),
      startupFailed: failed('startup'),
      isStarted: (containerId) => this.#isStarted(podUid, containerId),
    };
  }

  /** Whether a running container is ready: as its probe says, at once if it has none. */
  isReady(podUid: string, containerId: string): boolean {
    const worker = this.#workers.get(podUid)?.get(`${containerId}/readiness`);
    return worker === undefined || worker.result === 'success';
  }

  [Symbol.dispose](): void {
    for (const uid of this.#workers.keys()) this.remove(uid);
  }

  #isStarted(podUid: string, containerId: string): boolean {
    const worker = this.#workers.get(podUid)?.get(`${containerId}/startup`);
    return worker === undefined || worker.result === 'success';
  }
}

interface ProbeWorkerOptions extends ProbeManagerOptions {
  readonly kind: ProbeKind;
  readonly spec: Probe;
  readonly target: ProbeTarget;
  readonly startedAt: number;
  readonly isStarted: () => boolean;
}

/** One probe of one container, from its start to its end. */
class ProbeWorker implements Disposable {
  readonly kind: ProbeKind;
  readonly containerId: string;
  readonly #options: ProbeWorkerOptions;
  #state: ProbeState;
  #cancel: Cancel | undefined;
  #stopped = false;

  constructor(options: ProbeWorkerOptions) {
    this.kind = options.kind;
    this.containerId = options.target.containerId;
    this.#options = options;
    this.#state = knownState(options) ?? initialState(options.kind);
  }

  get result(): ProbeState['result'] {
    return this.#state.result;
  }

  start(): void {
    const { clock, spec, startedAt } = this.#options;
    this.#schedule(Math.max(0, startedAt + probeParameters(spec).initialDelayMs - clock.now()));
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #schedule(ms: number): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(ms, () => {
      const began = this.#options.clock.monotonic();
      this.#probe()
        .catch(() => undefined)
        .finally(() => {
          const { periodMs } = probeParameters(this.#options.spec);
          this.#schedule(Math.max(0, began + periodMs - this.#options.clock.monotonic()));
        });
    });
  }

  async #probe(): Promise<void> {
    const { kind, spec, target, isStarted, onChange, onUnhealthy } = this.#options;
    if (
      !wantsProbe({
        kind,
        result: this.#state.result,
        isStarted: kind === 'startup' ? this.#state.result === 'success' : isStarted(),
      })
    )
      return;
    const parameters = probeParameters(spec);
    const answer = await this.#options.probe(spec, target, parameters.timeoutMs);
    if (this.#stopped) return;
    if (answer.result === 'error') {
      onUnhealthy(
        target.pod,
        target.container,
        `${kindNames[kind]} probe errored and resulted in unknown state: ${answer.output}`,
      );
      return;
    }
    if (answer.result === 'failure')
      onUnhealthy(target.pod, target.container, `${kindNames[kind]} probe failed: ${answer.output}`);
    const before = this.#state.result;
    this.#state = observe(this.#state, answer.result, parameters);
    if (this.#state.result !== before) onChange(target.pod.metadata.uid ?? '');
  }
}

/**
 * A container that this kubelet takes up from the one before it keeps what the API knows of it, so that a kubelet's restart
 * does not make ready pods unready.
 */
function knownState({ kind, target }: ProbeWorkerOptions): ProbeState | undefined {
  const status = allContainerStatuses(target.pod.status).find(
    ({ containerID }) => containerID?.endsWith(`://${target.containerId}`) === true,
  );
  const isKnown = (kind === 'readiness' && status?.ready === true) || (kind === 'startup' && status?.started === true);
  return isKnown ? { result: 'success', last: 'success', run: 1 } : undefined;
}
