import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

export type Claims = Readonly<Record<string, unknown>>;

interface Algorithm {
  readonly alg: string;
  readonly digest: string;
}

/** The JWS algorithm of a key: RS256 for RSA, ES256, ES384 or ES512 by the curve. @throws Error for other keys. */
function algorithmOf(key: KeyObject): Algorithm {
  if (key.asymmetricKeyType === 'rsa') return { alg: 'RS256', digest: 'sha256' };
  if (key.asymmetricKeyType === 'ec') {
    switch (key.asymmetricKeyDetails?.namedCurve) {
      case 'prime256v1':
        return { alg: 'ES256', digest: 'sha256' };
      case 'secp384r1':
        return { alg: 'ES384', digest: 'sha384' };
      case 'secp521r1':
        return { alg: 'ES512', digest: 'sha512' };
      default:
    }
  }
  throw new Error('a key for service account tokens must be RSA or EC with curve P-256, P-384 or P-521');
}

/** The `alg` of tokens that a key signs. @throws Error for keys that sign none. */
export function jwsAlgorithmOf(key: KeyObject): string {
  return algorithmOf(key).alg;
}

/** Id of a public key: the hash of its DER form, as upstream computes it. */
export function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

/** Signs claims as a compact JWS. */
export function signJwt(claims: Claims, privateKey: KeyObject): string {
  const { alg, digest } = algorithmOf(privateKey);
  const header = { alg, kid: keyIdOf(createPublicKey(privateKey)) };
  const input = `${encode(header)}.${encode(claims)}`;
  const signature = sign(digest, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** The claims of a compact JWS whether or not they are true, or undefined if it is none. */
export function decodeJwt(token: string): { readonly header: Claims; readonly claims: Claims } | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  const header = decode(parts[0]);
  const claims = decode(parts[1]);
  return header === undefined || claims === undefined ? undefined : { header, claims };
}

/** Whether one of the keys has signed the token. The algorithm is the key's, never the token's to choose. */
export function verifyJwt(token: string, publicKeys: readonly KeyObject[]): boolean {
  const decoded = decodeJwt(token);
  if (decoded === undefined) return false;
  const dot = token.lastIndexOf('.');
  const input = Buffer.from(token.slice(0, dot));
  const signature = Buffer.from(token.slice(dot + 1), 'base64url');
  return publicKeys.some((key) => {
    const { alg, digest } = algorithmOf(key);
    return alg === decoded.header['alg'] && verify(digest, input, { key, dsaEncoding: 'ieee-p1363' }, signature);
  });
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string | undefined): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Claims) : undefined;
  } catch {
    return undefined;
  }
}
