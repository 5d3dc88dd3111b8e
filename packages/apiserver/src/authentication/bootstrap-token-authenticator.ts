/** Bootstrap tokens: Secrets of kube-system by which nodes that have no identity yet ask for one. */
import { timingSafeEqual } from 'node:crypto';
import { parseTime, secrets, type Secret } from '@naru/api';
import type { Clock } from '@naru/component';
import type { AdmissionStore } from '../admission/admission.ts';
import type { UserInfo } from './authenticator.ts';

const NAMESPACE = 'kube-system';
const TYPE = 'bootstrap.kubernetes.io/token';
const GROUP = 'system:bootstrappers';
const tokenPattern = /^([a-z0-9]{6})\.([a-z0-9]{16})$/u;
const groupPattern = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/u;

export class BootstrapTokenAuthenticator {
  readonly #store: AdmissionStore;
  readonly #clock: Clock;

  constructor(store: AdmissionStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The user of a token; undefined for what is none, or is good no more. */
  authenticateToken(token: string): UserInfo | undefined {
    const [, id = '', given = ''] = tokenPattern.exec(token) ?? [];
    if (id === '') return undefined;
    const secret = this.#store.get(secrets, NAMESPACE, `bootstrap-token-${id}`);
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined || secret.type !== TYPE)
      return undefined;
    if (textOf(secret, 'token-id') !== id || !isSame(textOf(secret, 'token-secret'), given)) return undefined;
    const expiration = textOf(secret, 'expiration');
    // What cannot be read has expired.
    if (expiration !== '' && !(parseTime(expiration) > this.#clock.now())) return undefined;
    if (textOf(secret, 'usage-bootstrap-authentication') !== 'true') return undefined;
    const extra = textOf(secret, 'auth-extra-groups')
      .split(',')
      .filter((each) => each !== '');
    if (!extra.every((each) => groupPattern.test(each))) return undefined;
    return { name: `system:bootstrap:${id}`, groups: [GROUP, ...new Set(extra)] };
  }
}

function textOf(secret: Secret, field: string): string {
  return Buffer.from(secret.data?.[field] ?? '', 'base64').toString('utf8');
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
