import { apiVersionOf, subjectAccessReviews, type SubjectAccessReview } from '@naru/api';
import type { Client } from '@naru/client';
import type { Clock } from '@naru/component';

/** Who calls the kubelet API: the subject of a client certificate. */
export interface Caller {
  readonly name: string;
  readonly groups: readonly string[];
}

export interface KubeletAuthorizerOptions {
  readonly client: Client;
  readonly nodeName: string;
  readonly clock: Clock;
}

/** How long an answer holds, as upstream's --authorization-webhook-cache-*-ttl. */
const ALLOWED_TTL_MS = 5 * 60_000;
const DENIED_TTL_MS = 30_000;
/** Answers kept; the oldest goes first. */
const ANSWERS_MAX = 1_024;
const REVIEW_TIMEOUT_MS = 5_000;

const verbs: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Subresource of `nodes` that a path of the kubelet API belongs to (kubelet authentication/authorization, upstream). */
function subresourceOf(path: string): string {
  for (const [prefix, subresource] of [
    ['/stats', 'stats'],
    ['/metrics', 'metrics'],
    ['/logs', 'log'],
    ['/spec', 'spec'],
  ] as const)
    if (path === prefix || path.startsWith(`${prefix}/`)) return subresource;
  return 'proxy';
}

/**
 * Asks the API server whether a caller may do something on this node (SubjectAccessReview on `nodes/…`), as the kubelet's
 * Webhook mode does upstream, and remembers the answer for a while.
 */
export class KubeletAuthorizer {
  readonly #options: KubeletAuthorizerOptions;
  readonly #answers = new Map<string, { readonly allowed: boolean; readonly untilMs: number }>();

  constructor(options: KubeletAuthorizerOptions) {
    this.#options = options;
  }

  /** @throws StatusError, or another Error, when the API server does not answer: the caller is then refused */
  async allows(caller: Caller, method: string, path: string): Promise<boolean> {
    const verb = verbs[method] ?? 'get';
    const subresource = subresourceOf(path);
    const key = JSON.stringify([caller, verb, subresource]);
    const now = this.#options.clock.monotonic();
    const known = this.#answers.get(key);
    if (known !== undefined && known.untilMs > now) return known.allowed;
    const allowed = await this.#review(caller, verb, subresource);
    this.#answers.delete(key);
    this.#answers.set(key, { allowed, untilMs: now + (allowed ? ALLOWED_TTL_MS : DENIED_TTL_MS) });
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > ANSWERS_MAX && oldest !== undefined) this.#answers.delete(oldest);
    return allowed;
  }

  async #review(caller: Caller, verb: string, subresource: string): Promise<boolean> {
    const { client, nodeName } = this.#options;
    const review: SubjectAccessReview = {
      apiVersion: apiVersionOf(subjectAccessReviews),
      kind: subjectAccessReviews.kind,
      metadata: {},
      spec: {
        user: caller.name,
        groups: [...caller.groups],
        resourceAttributes: { verb, version: 'v1', resource: 'nodes', subresource, name: nodeName },
      },
    };
    const signal = AbortSignal.timeout(REVIEW_TIMEOUT_MS);
    const { status } = await client.create(subjectAccessReviews, review, { signal });
    return status?.allowed === true;
  }
}
