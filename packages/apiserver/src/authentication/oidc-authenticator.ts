/** OpenID Connect: ID tokens of an issuer whose keys are found by its discovery document (OpenID Connect Discovery 1.0). */
import { constants, createHash, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { decodeJwt, type Claims, type Clock, type Logger } from '@naru/component';
import { Agent, request } from 'undici';
import { ExpiringCache } from '../expiring-cache.ts';
import type { UserInfo } from './authenticator.ts';
import { ClaimError, type MapClaims } from './claim-mapping.ts';

export interface OidcOptions {
  readonly issuerUrl: string;
  /** The discovery document; undefined: at the issuer's well-known path. */
  readonly discoveryUrl?: string | undefined;
  /** Tokens are for one of these. */
  readonly audiences: readonly string[];
  readonly mapClaims: MapClaims;
  readonly signingAlgs: readonly string[];
  /** PEM; undefined: whom the system trusts. */
  readonly ca: string | undefined;
}

interface Algorithm {
  readonly digest: string;
  readonly type: 'rsa' | 'ec';
  readonly curve?: string;
  readonly isPss?: boolean;
}

const algorithms: Readonly<Record<string, Algorithm>> = {
  RS256: { digest: 'sha256', type: 'rsa' },
  RS384: { digest: 'sha384', type: 'rsa' },
  RS512: { digest: 'sha512', type: 'rsa' },
  PS256: { digest: 'sha256', type: 'rsa', isPss: true },
  PS384: { digest: 'sha384', type: 'rsa', isPss: true },
  PS512: { digest: 'sha512', type: 'rsa', isPss: true },
  ES256: { digest: 'sha256', type: 'ec', curve: 'prime256v1' },
  ES384: { digest: 'sha384', type: 'ec', curve: 'secp384r1' },
  ES512: { digest: 'sha512', type: 'ec', curve: 'secp521r1' },
};

/** What `--oidc-signing-algs` may name. */
export const oidcAlgorithms: readonly string[] = Object.keys(algorithms);

/** How long a token that was good is not looked at again, as upstream has it. */
const CACHE_TTL_MS = 10_000;
const TOKENS_MAX = 4096;
/** How often keys are asked for at most when tokens name others. */
const REFRESH_INTERVAL_MS = 10_000;
const TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

interface IssuerKey {
  readonly kid: string | undefined;
  readonly alg: string | undefined;
  readonly key: KeyObject;
}

export class OidcAuthenticator {
  readonly #options: OidcOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #agent: Agent;
  readonly #cache: ExpiringCache<UserInfo | undefined>;
  #keys: readonly IssuerKey[] = [];
  #refreshing: Promise<void> | undefined;
  #refreshedMs = -Infinity;

  constructor(options: OidcOptions, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#agent = new Agent({ connect: { ca: (options.ca ?? rootCertificates) as string | string[] } });
    this.#cache = new ExpiringCache(clock, TOKENS_MAX);
  }

  /** The user of the issuer's token; undefined for others, and for what is not good. */
  async authenticateToken(token: string): Promise<UserInfo | undefined> {
    const decoded = decodeJwt(token);
    if (decoded?.claims['iss'] !== this.#options.issuerUrl) return undefined;
    const key = createHash('sha256').update(token).digest('base64');
    const nowMs = this.#clock.now();
    try {
      return await this.#cache.get(
        key,
        async () => ((await this.#isSigned(token, decoded.header)) ? this.#userOf(decoded.claims) : undefined),
        (user) => (user === undefined ? 0 : Math.min(CACHE_TTL_MS, Number(decoded.claims['exp']) * 1000 - nowMs)),
      );
    } catch (error) {
      this.#logger.warn({ err: error }, 'the keys of the OpenID issuer cannot be had');
      return undefined;
    }
  }

  async #isSigned(token: string, { alg, kid }: Claims): Promise<boolean> {
    const algorithm = typeof alg === 'string' && this.#options.signingAlgs.includes(alg) ? algorithms[alg] : undefined;
    if (algorithm === undefined) return false;
    const dot = token.lastIndexOf('.');
    const input = Buffer.from(token.slice(0, dot));
    const signature = Buffer.from(token.slice(dot + 1), 'base64url');
    const isOfSome = (): boolean =>
      this.#keys.some(
        (each) =>
          (kid === undefined || each.kid === undefined || each.kid === kid) &&
          (each.alg === undefined || each.alg === alg) &&
          isSignedBy(each.key, algorithm, input, signature),
      );
    if (isOfSome()) return true;
    // It may be of a key that is newer than ours.
    return (await this.#refresh()) && isOfSome();
  }

  /** Asks for the issuer's keys; false: that was done a moment ago. */
  async #refresh(): Promise<boolean> {
    if (this.#refreshing === undefined) {
      if (this.#clock.monotonic() - this.#refreshedMs < REFRESH_INTERVAL_MS) return false;
      this.#refreshing = this.#fetchKeys().finally(() => {
        this.#refreshedMs = this.#clock.monotonic();
        this.#refreshing = undefined;
      });
    }
    await this.#refreshing;
    return true;
  }

  async #fetchKeys(): Promise<void> {
    const { issuerUrl, discoveryUrl } = this.#options;
    const wellKnown = `${issuerUrl.replace(/\/$/u, '')}/.well-known/openid-configuration`;
    const { issuer, jwks_uri: uri } = (await this.#get(discoveryUrl ?? wellKnown)) as {
      issuer?: string;
      jwks_uri?: string;
    };
    if (issuer !== issuerUrl)
      throw new Error(`oidc: issuer did not match the issuer returned by provider, expected "${issuerUrl}"`);
    const { keys = [] } = (await this.#get(uri ?? '')) as { keys?: readonly JsonWebKey[] };
    this.#keys = keys.flatMap((jwk) => {
      const { kid, alg, use } = jwk as { kid?: string; alg?: string; use?: string };
      if (use !== undefined && use !== 'sig') return [];
      try {
        return [{ kid, alg, key: createPublicKey({ key: jwk, format: 'jwk' }) }];
      } catch {
        // Of a kind that Node does not know: no algorithm here would use it.
        return [];
      }
    });
  }

  async #get(url: string): Promise<unknown> {
    const { statusCode, body } = await request(url, {
      dispatcher: this.#agent,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer of ${url} is too large`);
      chunks.push(chunk);
    }
    if (statusCode !== 200) throw new Error(`${url} answers ${statusCode}`);
    return JSON.parse(Buffer.concat(chunks).toString());
  }

  #userOf(claims: Claims): UserInfo | undefined {
    const { audiences, mapClaims } = this.#options;
    const now = this.#clock.now() / 1000;
    const { aud, exp, nbf } = claims;
    if (![aud].flat().some((each) => typeof each === 'string' && audiences.includes(each))) return undefined;
    if (typeof exp !== 'number' || now >= exp || (typeof nbf === 'number' && now < nbf)) return undefined;
    try {
      return mapClaims(claims);
    } catch (error) {
      if (!(error instanceof ClaimError)) throw error;
      this.#logger.info({ why: error.message }, "a token of the OpenID issuer is no user's");
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

function isSignedBy(
  key: KeyObject,
  { digest, type, curve, isPss }: Algorithm,
  input: Buffer,
  signature: Buffer,
): boolean {
  if (key.asymmetricKeyType !== type) return false;
  if (type === 'ec') {
    if (key.asymmetricKeyDetails?.namedCurve !== curve) return false;
    return verify(digest, input, { key, dsaEncoding: 'ieee-p1363' }, signature);
  }
  const padding = isPss === true ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
  return verify(
    digest,
    input,
    { key, padding, ...(isPss === true ? { saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {}) },
    signature,
  );
}
