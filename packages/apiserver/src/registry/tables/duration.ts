/** `5m30s`, `3h`, `12d`: a duration as kubectl shows ages (k8s.io/apimachinery/pkg/util/duration, HumanDuration). */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 60 * 2) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return withRest(minutes, 'm', seconds % 60, 's');
  if (minutes < 60 * 3) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return withRest(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 24 * 8) return withRest(Math.trunc(hours / 24), 'd', hours % 24, 'h');
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24)}d`;
  if (hours < 24 * 365 * 8) {
    const days = Math.trunc(hours / 24) % 365;
    return withRest(Math.trunc(hours / 24 / 365), 'y', days, 'd');
  }
  return `${Math.trunc(hours / 24 / 365)}y`;
}

function withRest(amount: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${amount}${unit}` : `${amount}${unit}${rest}${restUnit}`;
}

/** A cell that changes with time: how long ago something was, within other words. */
export class Elapsed {
  readonly #sinceMs: number;
  readonly #before: string;
  readonly #after: string;

  constructor(
    sinceMs: number,
    { before = '', after = '' }: { readonly before?: string; readonly after?: string } = {},
  ) {
    this.#sinceMs = sinceMs;
    this.#before = before;
    this.#after = after;
  }

  at(nowMs: number): string {
    return `${this.#before}${humanDuration(nowMs - this.#sinceMs)}${this.#after}`;
  }
}

/** Age of a timestamp as a cell: `<unknown>` without one. */
export function ageOf(timestamp: string | undefined): Elapsed | string {
  const ms = timestamp === undefined ? NaN : Date.parse(timestamp);
  return Number.isNaN(ms) ? '<unknown>' : new Elapsed(ms);
}
