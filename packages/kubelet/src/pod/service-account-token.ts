import { parseTime, serviceAccounts, type KubeObject, type Pod } from '@naru/api';
import type { Client } from '@naru/client';
import type { Clock } from '@naru/component';
import { messageOf } from '../errors.ts';
import { specOf } from '../plan/pod-spec.ts';

/** A token is renewed after this share of its life, and after a day at the latest, as upstream. */
const RENEW_AFTER = 0.8;
const RENEW_MS_MAX = 24 * 3_600_000;
const DEFAULT_EXPIRATION_SECONDS = 3600;

interface Token {
  readonly token: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

interface TokenRequest extends KubeObject {
  spec: object;
  status?: { token?: string; expirationTimestamp?: string };
}

/** Tokens for projected volumes, asked for by TokenRequest, bound to the pod, and renewed in time. */
export class ServiceAccountTokens {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token>();

  constructor(options: { readonly client: Client; readonly clock: Clock }) {
    this.#client = options.client;
    this.#clock = options.clock;
  }

  async token(
    pod: Pod,
    options: { readonly audience: string | undefined; readonly expirationSeconds: number | undefined },
  ): Promise<string> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    const expirationSeconds = options.expirationSeconds ?? DEFAULT_EXPIRATION_SECONDS;
    const key = `${uid}/${options.audience ?? ''}/${expirationSeconds}`;
    const known = this.#tokens.get(key);
    const now = this.#clock.now();
    if (known !== undefined && now < known.renewAt) return known.token;
    const account = specOf(pod).serviceAccountName ?? 'default';
    const body: TokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: {
        audiences: options.audience === undefined || options.audience === '' ? [] : [options.audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    };
    try {
      const answer = (await this.#client.createSubresource(serviceAccounts, account, 'token', body, {
        namespace,
      })) as TokenRequest;
      const { token = '', expirationTimestamp } = answer.status ?? {};
      const expiresAt = parseTime(expirationTimestamp);
      const lifeMs = Number.isNaN(expiresAt) ? expirationSeconds * 1000 : expiresAt - now;
      const renewAt = now + Math.min(lifeMs * RENEW_AFTER, RENEW_MS_MAX);
      this.#tokens.set(key, { token, renewAt, expiresAt: now + lifeMs });
      return token;
    } catch (error) {
      // An old one is good for a while yet.
      if (known !== undefined && now < known.expiresAt) return known.token;
      throw new Error(`failed to fetch token: ${messageOf(error)}`, { cause: error });
    }
  }

  /** When the first of a pod's tokens wants to be renewed. */
  renewAt(podUid: string): number | undefined {
    const times = [...this.#tokens].filter(([key]) => key.startsWith(`${podUid}/`)).map(([, { renewAt }]) => renewAt);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  forget(podUid: string): void {
    for (const key of this.#tokens.keys()) if (key.startsWith(`${podUid}/`)) this.#tokens.delete(key);
  }
}
