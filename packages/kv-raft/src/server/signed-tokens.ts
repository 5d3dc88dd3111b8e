import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import type { AuthInfo } from '../auth/auth-store.ts';

/** etcd's signing methods and the kind of key each takes. */
const keyTypes = {
  RS256: 'rsa',
  RS384: 'rsa',
  RS512: 'rsa',
  PS256: 'rsa',
  PS384: 'rsa',
  PS512: 'rsa',
  ES256: 'ec',
  ES384: 'ec',
  ES512: 'ec',
  EdDSA: 'ed25519',
  HS256: 'secret',
  HS384: 'secret',
  HS512: 'secret',
} as const;

export type SignMethod = keyof typeof keyTypes;

export function isSignMethod(name: string): name is SignMethod {
  return Object.hasOwn(keyTypes, name);
}

/**
 * etcd's JWTs: `{"username", "revision", "exp"}`, signed. A token is good on every member that has the key, also after a
 * restart, until it expires or anybody's rights change.
 */
export class SignedTokens {
  readonly #method: SignMethod;
  readonly #verifyKey: KeyObject;
  readonly #signKey: KeyObject | undefined;
  readonly #ttlSeconds: number;
  readonly #nowSeconds: () => number;

  /** @throws Error for a key that is missing or does not fit */
  constructor(options: {
    readonly method: SignMethod;
    /** In PEM; without the private key tokens are verified only. For HMAC either is the secret. */
    readonly publicKey?: Buffer | undefined;
    readonly privateKey?: Buffer | undefined;
    readonly ttlSeconds: number;
    readonly nowSeconds: () => number;
  }) {
    this.#method = options.method;
    this.#ttlSeconds = options.ttlSeconds;
    this.#nowSeconds = options.nowSeconds;
    const { publicKey, privateKey } = options;
    const source = publicKey ?? privateKey;
    if (source === undefined) throw new Error('a key is missing');
    if (keyTypes[options.method] === 'secret') {
      this.#verifyKey = createSecretKey(privateKey ?? source);
      this.#signKey = this.#verifyKey;
      return;
    }
    this.#verifyKey = createPublicKey(source);
    this.#signKey = privateKey === undefined ? undefined : createPrivateKey(privateKey);
    const type = this.#verifyKey.asymmetricKeyType ?? '';
    if (type !== keyTypes[options.method]) throw new Error(`a key of type ${type} does not fit ${options.method}`);
  }

  /** Undefined: this member has no private key. */
  async sign(info: AuthInfo): Promise<string | undefined> {
    if (this.#signKey === undefined) return undefined;
    return await new SignJWT({ username: info.user, revision: info.revision })
      .setProtectedHeader({ alg: this.#method, typ: 'JWT' })
      .setExpirationTime(Math.floor(this.#nowSeconds()) + this.#ttlSeconds)
      .sign(this.#signKey);
  }

  /** Undefined: not one of ours, or too old. */
  async verify(token: string): Promise<AuthInfo | undefined> {
    try {
      const currentDate = new Date(this.#nowSeconds() * 1000);
      const options = { algorithms: [this.#method], requiredClaims: ['exp'], currentDate };
      const { payload } = await jwtVerify(token, this.#verifyKey, options);
      const { username, revision } = payload;
      return typeof username === 'string' && typeof revision === 'number' ? { user: username, revision } : undefined;
    } catch {
      return undefined;
    }
  }
}
