/** Tokens that another service knows (TokenReview). */
import { createHash } from 'node:crypto';
import type { Clock, Logger } from '@naru/component';
import { ExpiringCache } from '../expiring-cache.ts';
import { ReviewWebhook, type ReviewWebhookConfig } from '../review-webhook.ts';
import type { UserInfo } from './authenticator.ts';

export interface WebhookTokenOptions {
  readonly webhook: ReviewWebhookConfig;
  /** `--authentication-token-webhook-version`: v1 or v1beta1. */
  readonly version: string;
  /** `--authentication-token-webhook-cache-ttl`. */
  readonly cacheTtlMs: number;
  /** What tokens are for, as far as nobody asks for something else. */
  readonly audiences: readonly string[];
}

/** Tokens whose answer is remembered. */
const TOKENS_MAX = 4096;

interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
  readonly audiences?: readonly string[];
}

export class WebhookTokenAuthenticator {
  readonly #options: WebhookTokenOptions;
  readonly #logger: Logger;
  readonly #webhook: ReviewWebhook;
  readonly #cache: ExpiringCache<UserInfo | undefined>;

  constructor(options: WebhookTokenOptions, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#options = options;
    this.#logger = logger;
    this.#webhook = new ReviewWebhook(options.webhook, clock);
    this.#cache = new ExpiringCache(clock, TOKENS_MAX);
  }

  async authenticateToken(token: string, audiences: readonly string[]): Promise<UserInfo | undefined> {
    const wanted = audiences.length === 0 ? this.#options.audiences : audiences;
    // Tokens are not kept, only what tells them apart.
    const key = createHash('sha256').update(token).update('\0').update(wanted.join('\0')).digest('base64');
    try {
      return await this.#cache.get(
        key,
        async () => await this.#review(token, wanted),
        () => this.#options.cacheTtlMs,
      );
    } catch (error) {
      this.#logger.warn({ err: error }, 'the token webhook does not answer');
      return undefined;
    }
  }

  async #review(token: string, audiences: readonly string[]): Promise<UserInfo | undefined> {
    const review = {
      apiVersion: `authentication.k8s.io/${this.#options.version}`,
      kind: 'TokenReview',
      metadata: { creationTimestamp: null },
      spec: { token, ...(audiences.length === 0 ? {} : { audiences }) },
    };
    const { status = {} } = (await this.#webhook.review(review)) as { status?: TokenReviewStatus };
    if (status.authenticated !== true) return undefined;
    // A webhook that knows no audiences says that its tokens are for this server.
    const given = status.audiences ?? [];
    if (given.length > 0 && audiences.length > 0 && !given.some((each) => audiences.includes(each))) return undefined;
    const { username = '', uid, groups = [], extra } = status.user ?? {};
    return {
      name: username,
      groups,
      ...(uid === undefined || uid === '' ? {} : { uid }),
      ...(extra === undefined ? {} : { extra }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#webhook[Symbol.asyncDispose]();
  }
}
