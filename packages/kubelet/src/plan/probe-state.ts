import type { Probe } from '@naru/api';

export type ProbeKind = 'liveness' | 'readiness' | 'startup';

/** What a probe says of a container: upstream's results. */
export type ProbeResult = 'success' | 'failure' | 'unknown';

export interface ProbeParameters {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export function probeParameters(probe: Probe): ProbeParameters {
  return {
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: (probe.periodSeconds ?? 10) * 1000,
    timeoutMs: (probe.timeoutSeconds ?? 1) * 1000,
    successThreshold: probe.successThreshold ?? 1,
    failureThreshold: probe.failureThreshold ?? 3,
  };
}

/** Before the first probe: a container is alive, not ready, and its start not known. */
export function initialResult(kind: ProbeKind): ProbeResult {
  switch (kind) {
    case 'liveness':
      return 'success';
    case 'readiness':
      return 'failure';
    case 'startup':
      return 'unknown';
    default:
      return kind satisfies never;
  }
}

/** A probe's history: what it says now, and how often the last answer came in a row. */
export interface ProbeState {
  readonly result: ProbeResult;
  readonly last: 'success' | 'failure' | undefined;
  readonly run: number;
}

export function initialState(kind: ProbeKind): ProbeState {
  return { result: initialResult(kind), last: undefined, run: 0 };
}

/** Takes an answer in: the result changes only when the same answer came as often in a row as its threshold says. */
export function observe(state: ProbeState, answer: 'success' | 'failure', parameters: ProbeParameters): ProbeState {
  const run = state.last === answer ? state.run + 1 : 1;
  const threshold = answer === 'success' ? parameters.successThreshold : parameters.failureThreshold;
  return { result: run >= threshold ? answer : state.result, last: answer, run };
}

export interface ProbeSituation {
  readonly kind: ProbeKind;
  readonly result: ProbeResult;
  readonly isStarted: boolean;
}

/**
 * Whether a container is to be probed now: a startup probe only until it has succeeded or failed for good, the others only
 * after that; a liveness probe that has failed waits for the container's end.
 */
export function wantsProbe({ kind, result, isStarted }: ProbeSituation): boolean {
  switch (kind) {
    case 'startup':
      return !isStarted && result !== 'failure';
    case 'liveness':
      return isStarted && result !== 'failure';
    case 'readiness':
      return isStarted;
    default:
      return kind satisfies never;
  }
}
