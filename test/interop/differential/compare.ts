import type { Answer } from './request.ts';

/** A place where two answers differ. */
export interface Difference {
  /** The name of the request. */
  readonly request: string;
  /** As `body.spec.ports[0].port`. */
  readonly at: string;
  readonly ours: unknown;
  readonly upstream: unknown;
}

type Place = Omit<Difference, 'request'>;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null;
}

function* differencesOf(at: string, ours: unknown, upstream: unknown): Generator<Place> {
  if (isObject(ours) && isObject(upstream)) {
    for (const key of new Set([...Object.keys(ours), ...Object.keys(upstream)]))
      yield* differencesOf(`${at}.${key}`, ours[key], upstream[key]);
  } else if (Array.isArray(ours) && Array.isArray(upstream) && ours.length === upstream.length) {
    for (const [i, each] of ours.entries()) yield* differencesOf(`${at}[${i}]`, each, upstream[i]);
  } else if (JSON.stringify(ours) !== JSON.stringify(upstream) && !(isEmpty(ours) && isEmpty(upstream))) {
    yield { at, ours, upstream };
  }
}

function messageOf({ status, body }: Answer): string {
  const { message } = (isObject(body) ? body : {}) as { message?: unknown };
  return `${status} ${typeof message === 'string' ? message : typeof body === 'string' ? body : ''}`.trim();
}

function isStatus(body: unknown): boolean {
  return isObject(body) && body['kind'] === 'Status';
}

function* compare(ours: Answer, upstream: Answer): Generator<Place> {
  const [code, message] = [messageOf(ours), messageOf(upstream)];
  // Another outcome is one difference; what else follows from it says nothing.
  if (ours.status !== upstream.status || isStatus(ours.body) !== isStatus(upstream.body))
    yield { at: 'outcome', ours: code, upstream: message };
  else {
    yield* differencesOf('headers', ours.headers, upstream.headers);
    if (isStatus(ours.body) && code !== message) yield { at: 'message', ours: code, upstream: message };
    else yield* differencesOf('body', ours.body, upstream.body);
  }
}

/** Where two masked answers to one request differ. */
export function compareAnswers(request: string, answers: { ours: Answer; upstream: Answer }): Difference[] {
  return [...compare(answers.ours, answers.upstream)].map((place) => ({ request, ...place }));
}
