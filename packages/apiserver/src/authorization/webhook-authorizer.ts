/** Asks another service who may do what (SubjectAccessReview). */
import type { Clock, Logger } from '@naru/component';
import { conditionsHold, type CompiledCondition } from '../admission/webhooks/match-conditions.ts';
import { CelError } from '../cel/cel-program.ts';
import { toCel } from '../cel/cel-values.ts';
import { ExpiringCache } from '../expiring-cache.ts';
import { ReviewWebhook, type ReviewWebhookConfig } from '../review-webhook.ts';
import type { AuthorizationAttributes, Authorizer, Verdict } from './authorizer.ts';

export interface WebhookAuthorizerOptions {
  readonly webhook: ReviewWebhookConfig;
  /** `--authorization-webhook-version`: v1 or v1beta1. */
  readonly version: string;
  readonly authorizedTtlMs: number;
  readonly unauthorizedTtlMs: number;
  /** How long one call may take; default 30 s. */
  readonly timeoutMs?: number;
  /** What it means that the service, or a condition, has no answer; default NoOpinion. */
  readonly failurePolicy?: 'NoOpinion' | 'Deny';
  /** The service is asked only where all of them hold. They see the spec of the review (v1) as `request`. */
  readonly conditions?: readonly CompiledCondition[];
}

/** Questions whose answers are remembered. */
const QUESTIONS_MAX = 8192;
/** Longest question that is remembered, in characters. */
const QUESTION_LENGTH_MAX = 10_000;

interface ReviewStatus {
  readonly allowed?: boolean;
  readonly denied?: boolean;
  readonly reason?: string;
}

const noOpinion: Verdict = { decision: 'no-opinion', reason: '' };

export class WebhookAuthorizer implements Authorizer {
  readonly #options: WebhookAuthorizerOptions;
  readonly #logger: Logger;
  readonly #webhook: ReviewWebhook;
  readonly #cache: ExpiringCache<Verdict>;

  constructor(
    options: WebhookAuthorizerOptions,
    { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#options = options;
    this.#logger = logger;
    this.#webhook = new ReviewWebhook(options.webhook, clock, options.timeoutMs);
    this.#cache = new ExpiringCache(clock, QUESTIONS_MAX);
  }

  /** From memory, it is not known what another service says. */
  authorize(): Verdict {
    return noOpinion;
  }

  /** What is the case when the service does not answer is the failure policy's. */
  async decide(attributes: AuthorizationAttributes): Promise<Verdict> {
    const { authorizedTtlMs, unauthorizedTtlMs, conditions = [] } = this.#options;
    try {
      if (!conditionsHold(conditions, () => ({ request: toCel(conditionSpecOf(attributes)) }))) return noOpinion;
      const spec = this.#specOf(attributes);
      const question = JSON.stringify(spec);
      const ask = async (): Promise<Verdict> => await this.#ask(spec);
      if (question.length > QUESTION_LENGTH_MAX) return await ask();
      return await this.#cache.get(question, ask, ({ decision }) =>
        decision === 'allow' ? authorizedTtlMs : unauthorizedTtlMs,
      );
    } catch (error) {
      if (error instanceof CelError)
        this.#logger.warn({ err: error }, 'a condition of the authorization webhook fails');
      else this.#logger.warn({ err: error }, 'the authorization webhook does not answer');
      if (this.#options.failurePolicy !== 'Deny') return noOpinion;
      return { decision: 'deny', reason: (error as Error).message };
    }
  }

  async #ask(spec: object): Promise<Verdict> {
    const review = {
      apiVersion: `authorization.k8s.io/${this.#options.version}`,
      kind: 'SubjectAccessReview',
      metadata: { creationTimestamp: null },
      spec,
    };
    const { status = {} } = (await this.#webhook.review(review)) as { status?: ReviewStatus };
    const { allowed = false, denied = false, reason = '' } = status;
    if (allowed && denied) throw new Error('webhook subject access review returned both allow and deny response');
    return { decision: denied ? 'deny' : allowed ? 'allow' : 'no-opinion', reason };
  }

  #specOf({ user, verb, isResourceRequest, path, ...resource }: AuthorizationAttributes): object {
    const { namespace, group, version, resource: plural, subresource, name } = resource;
    const present = (fields: Readonly<Record<string, string>>): object =>
      Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
    return {
      ...(isResourceRequest
        ? { resourceAttributes: present({ namespace, verb, group, version, resource: plural, subresource, name }) }
        : { nonResourceAttributes: present({ path, verb }) }),
      user: user.name,
      // In v1beta1 the field was in the singular.
      ...(user.groups.length === 0 ? {} : { [this.#options.version === 'v1beta1' ? 'group' : 'groups']: user.groups }),
      ...(user.extra === undefined ? {} : { extra: user.extra }),
      ...(user.uid === undefined || user.uid === '' ? {} : { uid: user.uid }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#webhook[Symbol.asyncDispose]();
  }
}

/** The spec as conditions see it: all fields of what is asked for are there. */
function conditionSpecOf({ user, verb, isResourceRequest, path, ...resource }: AuthorizationAttributes): object {
  const { namespace, group, version, resource: plural, subresource, name } = resource;
  return {
    user: user.name,
    groups: user.groups,
    uid: user.uid ?? '',
    extra: user.extra ?? {},
    ...(isResourceRequest
      ? { resourceAttributes: { namespace, verb, group, version, resource: plural, subresource, name } }
      : { nonResourceAttributes: { path, verb } }),
  };
}
