import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { EtcdError } from '@naru/etcd';

/*
 * A hash = "$scrypt$ln=" N's exponent ",r=8,p=1$" salt "$" key, both in base64. scrypt stands in Node and runs off the main
 * thread; bcrypt, which etcd has, would need a library and, in JavaScript, stop the member for a tenth of a second.
 */
const BLOCK_SIZE = 8;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** scrypt's N is 2 to the power of --bcrypt-cost plus this: one cost takes about as long as in bcrypt. */
const COST_OFFSET = 4;
export const BCRYPT_COST_DEFAULT = 10;
export const BCRYPT_COST_MIN = 4;
/** Takes 256 MiB. */
export const BCRYPT_COST_MAX = 14;

/** Hashes computed at one time: they take threads and memory that the disk needs, too. */
const RUNNING_MAX = 1;
/** Requests that may wait for their turn. */
const WAITING_MAX = 100;

/** Hashes and checks passwords, one after the other. */
export class Passwords {
  readonly #logN: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: { readonly bcryptCost: number }) {
    this.#logN = options.bcryptCost + COST_OFFSET;
  }

  /** @throws EtcdError tooManyRequests */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const key = await this.#derive(password, salt, this.#logN);
    return `$scrypt$ln=${this.#logN},r=${BLOCK_SIZE},p=1$${salt.toString('base64')}$${key.toString('base64')}`;
  }

  /** @throws EtcdError tooManyRequests */
  async matches(password: string, hash: string): Promise<boolean> {
    const [, logN, salt, key] = /^\$scrypt\$ln=(\d+),r=8,p=1\$([^$]+)\$([^$]+)$/u.exec(hash) ?? [];
    if (logN === undefined || salt === undefined || key === undefined) return false;
    const derived = await this.#derive(password, Buffer.from(salt, 'base64'), Number(logN));
    return timingSafeEqual(derived, Buffer.from(key, 'base64'));
  }

  async #derive(password: string, salt: Buffer, logN: number): Promise<Buffer> {
    if (this.#running >= RUNNING_MAX) {
      if (this.#waiting.length >= WAITING_MAX) throw new EtcdError('tooManyRequests');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      const N = 2 ** logN;
      return await new Promise<Buffer>((resolve, reject) => {
        const options = { N, r: BLOCK_SIZE, p: 1, maxmem: 256 * N * BLOCK_SIZE };
        scrypt(password, salt, KEY_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)));
      });
    } finally {
      // The turn is handed on, or given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
