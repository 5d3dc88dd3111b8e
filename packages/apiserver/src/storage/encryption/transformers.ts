/**
 * Encryption of stored values, in upstream's format (k8s.io/apiserver/pkg/storage/value/encrypt):
 *
 *     stored    = prefix sealed
 *     prefix    = "k8s:enc:" ( "aescbc" | "aesgcm" | "secretbox" ) ":v1:" NAME ":"
 *     aescbc    = IV(16) ciphertext, PKCS #7
 *     aesgcm    = NONCE(12) ciphertext TAG(16); the key in the store is authenticated with it
 *     secretbox = NONCE(24) box (XSalsa20, Poly1305)
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import nacl from 'tweetnacl';

export const ENCRYPTED_PREFIX = Buffer.from('k8s:enc:');
const BLOCK_BYTES = 16;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

/** One key of one provider. `key` is where the value is in the store. */
export interface ValueTransformer {
  readonly prefix: Buffer;
  seal(value: Buffer, key: string): Buffer;
  /** @throws Error for what was not sealed so. */
  open(sealed: Buffer, key: string): Buffer;
}

const prefixOf = (provider: string, name: string): Buffer => Buffer.from(`k8s:enc:${provider}:v1:${name}:`);
const algorithmOf = (secret: Buffer, mode: 'cbc' | 'gcm'): string => `aes-${secret.length * 8}-${mode}`;

export function aescbc(name: string, secret: Buffer): ValueTransformer {
  return {
    prefix: prefixOf('aescbc', name),
    seal(value) {
      const iv = randomBytes(BLOCK_BYTES);
      const cipher = createCipheriv(algorithmOf(secret, 'cbc'), secret, iv);
      return Buffer.concat([iv, cipher.update(value), cipher.final()]);
    },
    open(sealed) {
      if (sealed.length < BLOCK_BYTES) throw new Error('the stored data was shorter than the required size');
      const decipher = createDecipheriv(algorithmOf(secret, 'cbc'), secret, sealed.subarray(0, BLOCK_BYTES));
      return Buffer.concat([decipher.update(sealed.subarray(BLOCK_BYTES)), decipher.final()]);
    },
  };
}

export function aesgcm(name: string, secret: Buffer): ValueTransformer {
  const algorithm = algorithmOf(secret, 'gcm') as 'aes-256-gcm';
  return {
    prefix: prefixOf('aesgcm', name),
    seal(value, key) {
      const nonce = randomBytes(GCM_NONCE_BYTES);
      const cipher = createCipheriv(algorithm, secret, nonce);
      cipher.setAAD(Buffer.from(key));
      return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed, key) {
      if (sealed.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
        throw new Error('the stored data was shorter than the required size');
      const tagAt = sealed.length - GCM_TAG_BYTES;
      const decipher = createDecipheriv(algorithm, secret, sealed.subarray(0, GCM_NONCE_BYTES));
      decipher.setAAD(Buffer.from(key));
      decipher.setAuthTag(sealed.subarray(tagAt));
      return Buffer.concat([decipher.update(sealed.subarray(GCM_NONCE_BYTES, tagAt)), decipher.final()]);
    },
  };
}

export function secretbox(name: string, secret: Buffer): ValueTransformer {
  const { nonceLength } = nacl.secretbox;
  return {
    prefix: prefixOf('secretbox', name),
    seal(value) {
      const nonce = randomBytes(nonceLength);
      return Buffer.concat([nonce, nacl.secretbox(value, nonce, secret)]);
    },
    open(sealed) {
      const opened = nacl.secretbox.open(sealed.subarray(nonceLength), sealed.subarray(0, nonceLength), secret);
      if (opened === null) throw new Error('the data cannot be decrypted');
      return Buffer.from(opened);
    },
  };
}

/** Values as they are. */
export const identity: ValueTransformer = {
  prefix: Buffer.alloc(0),
  seal: (value) => value,
  open(value) {
    if (value.subarray(0, ENCRYPTED_PREFIX.length).equals(ENCRYPTED_PREFIX))
      throw new Error('identity transformer tried to read encrypted data');
    return value;
  },
};
