import { nodes, pods, secrets, serviceAccounts, type KubeObject, type Resource } from '@naru/api';
import { decodeJwt, signJwt, verifyJwt, type Claims, type Clock } from '@naru/component';
import { createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import type { AdmissionStore } from '../admission/admission.ts';
import type { UserInfo } from './authenticator.ts';

export interface ServiceAccountTokenOptions {
  /** `--service-account-issuer`; the first one signs. */
  readonly issuers: readonly string[];
  /** `--api-audiences`; default: the issuers. */
  readonly audiences?: readonly string[];
  /** `--service-account-signing-key-file`: without it no token is issued. */
  readonly signingKey?: KeyObject;
  /** `--service-account-key-file`; the signing key's public half is always among them. */
  readonly publicKeys?: readonly KeyObject[];
  readonly store: AdmissionStore;
  readonly clock: Clock;
}

export interface BoundObject {
  readonly kind: 'Pod' | 'Node' | 'Secret';
  readonly name: string;
  readonly uid: string;
}

export interface TokenSubject {
  readonly serviceAccount: KubeObject;
  readonly bound?: BoundObject;
  /** The node that the bound pod runs on. */
  readonly node?: { readonly name: string; readonly uid?: string };
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  /** Second, counted from now, from which on the token's use should be warned of. */
  readonly warnAfterSeconds?: number;
}

interface Reference {
  readonly name: string;
  readonly uid?: string;
}

interface KubernetesClaims {
  readonly namespace: string;
  readonly serviceaccount: Reference;
  readonly pod?: Reference;
  readonly secret?: Reference;
  readonly node?: Reference;
}

/** Issuer of the tokens that Secrets hold. */
const LEGACY_ISSUER = 'kubernetes/serviceaccount';

/** Tokens that are remembered as signed. */
const VERIFIED_MAX = 4096;

/** How long the token of an object outlives the moment that its deletion was due. */
const DELETION_LEEWAY_MS = 60_000;

/** Issues and checks ServiceAccount tokens. A token is good as long as its ServiceAccount and its bound object exist. */
export class ServiceAccountTokens {
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  readonly #options: ServiceAccountTokenOptions;
  readonly #publicKeys: readonly KeyObject[];
  /** Tokens whose signature is good: that does not change, unlike what they are bound to. */
  readonly #verified = new Set<string>();

  constructor(options: ServiceAccountTokenOptions) {
    this.#options = options;
    this.issuers = options.issuers;
    this.audiences = options.audiences ?? options.issuers;
    this.#publicKeys = [
      ...(options.signingKey === undefined ? [] : [createPublicKey(options.signingKey)]),
      ...(options.publicKeys ?? []),
    ];
  }

  get canSign(): boolean {
    return this.#options.signingKey !== undefined;
  }

  /** Signs a token. `expirationSeconds` counts from now. */
  issue(subject: TokenSubject): { readonly token: string; readonly issuedAtSeconds: number } {
    const { signingKey, clock } = this.#options;
    if (signingKey === undefined) throw new Error('no signing key');
    const { namespace = '', name = '', uid = '' } = subject.serviceAccount.metadata;
    const now = Math.floor(clock.now() / 1000);
    const { bound, node, warnAfterSeconds } = subject;
    const claims = {
      aud: subject.audiences,
      exp: now + subject.expirationSeconds,
      iat: now,
      iss: this.issuers[0] ?? '',
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        ...(bound?.kind === 'Node' ? { node: { name: bound.name, uid: bound.uid } } : {}),
        ...(node === undefined ? {} : { node }),
        ...(bound?.kind === 'Pod' ? { pod: { name: bound.name, uid: bound.uid } } : {}),
        ...(bound?.kind === 'Secret' ? { secret: { name: bound.name, uid: bound.uid } } : {}),
        serviceaccount: { name, uid },
        ...(warnAfterSeconds === undefined ? {} : { warnafter: now + warnAfterSeconds }),
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${name}`,
    };
    return { token: signJwt(claims, signingKey), issuedAtSeconds: now };
  }

  /** The user of a token, or undefined if it is not a good one. `audiences` empty means the API server's own. */
  async authenticate(token: string, audiences: readonly string[]): Promise<UserInfo | undefined> {
    const claims = decodeJwt(token)?.claims;
    if (claims === undefined) return undefined;
    const isLegacy = claims['iss'] === LEGACY_ISSUER;
    if (!isLegacy && !this.issuers.includes(String(claims['iss']))) return undefined;
    if (!this.#isSigned(token)) return undefined;
    if (isLegacy) return await this.#authenticateLegacy(token, claims, audiences);
    if (!this.#isTimely(claims)) return undefined;
    const wanted = audiences.length === 0 ? this.audiences : audiences;
    const given = [claims['aud'] ?? []].flat() as unknown[];
    if (!wanted.some((each) => given.includes(each))) return undefined;
    const kubernetes = claims['kubernetes.io'] as KubernetesClaims | undefined;
    if (kubernetes === undefined || !(await this.#isBacked(kubernetes))) return undefined;
    return userOf(kubernetes, claims['jti']);
  }

  #isSigned(token: string): boolean {
    if (this.#verified.has(token)) return true;
    if (!verifyJwt(token, this.#publicKeys)) return false;
    if (this.#verified.size >= VERIFIED_MAX) this.#verified.clear();
    this.#verified.add(token);
    return true;
  }

  /** A token of a Secret: good for as long as the Secret holds it. */
  async #authenticateLegacy(
    token: string,
    claims: Claims,
    audiences: readonly string[],
  ): Promise<UserInfo | undefined> {
    if (audiences.length > 0 && !audiences.some((each) => this.audiences.includes(each))) return undefined;
    const of = (name: string): string => (claims[`kubernetes.io/serviceaccount/${name}`] as string | undefined) ?? '';
    const namespace = of('namespace');
    const serviceaccount = { name: of('service-account.name'), uid: of('service-account.uid') };
    const secret = await this.#options.store.getConsistent(secrets, namespace, of('secret.name'));
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return undefined;
    if (Buffer.from(secret.data?.['token'] ?? '', 'base64').toString() !== token) return undefined;
    if (claims['sub'] !== `system:serviceaccount:${namespace}:${serviceaccount.name}`) return undefined;
    if (!(await this.#isBacked({ namespace, serviceaccount }))) return undefined;
    return userOf({ namespace, serviceaccount }, undefined);
  }

  #isTimely(claims: Claims): boolean {
    const now = this.#options.clock.now() / 1000;
    const { exp, nbf } = claims;
    return typeof exp === 'number' && now < exp && (typeof nbf !== 'number' || now >= nbf - 60);
  }

  async #isBacked({ namespace, serviceaccount, pod, secret, node }: KubernetesClaims): Promise<boolean> {
    if (!(await this.#isAlive(serviceAccounts, namespace, serviceaccount))) return false;
    if (secret !== undefined && !(await this.#isAlive(secrets, namespace, secret))) return false;
    if (pod !== undefined) return await this.#isAlive(pods, namespace, pod);
    return node === undefined || (await this.#isAlive(nodes, '', node));
  }

  /** Reads the cache, and the store itself where the cache has not seen the object yet. */
  async #isAlive(resource: Resource, namespace: string, { name, uid }: Reference): Promise<boolean> {
    const { store, clock } = this.#options;
    const cached = store.get(resource, namespace, name);
    const object = cached?.metadata.uid === uid ? cached : await store.getConsistent(resource, namespace, name);
    if (object === undefined || object.metadata.uid !== uid) return false;
    const deleted = object.metadata.deletionTimestamp;
    return deleted === undefined || clock.now() < Date.parse(deleted) + DELETION_LEEWAY_MS;
  }
}

function userOf({ namespace, serviceaccount, pod, node }: KubernetesClaims, jti: unknown): UserInfo {
  const extra: Record<string, readonly string[]> = {};
  if (typeof jti === 'string') extra['authentication.kubernetes.io/credential-id'] = [`JTI=${jti}`];
  for (const [kind, reference] of [['pod', pod] as const, ['node', node] as const]) {
    if (reference === undefined) continue;
    extra[`authentication.kubernetes.io/${kind}-name`] = [reference.name];
    if (reference.uid !== undefined) extra[`authentication.kubernetes.io/${kind}-uid`] = [reference.uid];
  }
  return {
    name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
    uid: serviceaccount.uid ?? '',
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
    extra,
  };
}
