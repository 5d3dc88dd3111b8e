/** `--encryption-provider-config`: an EncryptionConfiguration (apiserver.config.k8s.io/v1). */
import { builtInResources, newInternalError, type Resource } from '@naru/api';
import { UsageError } from '@naru/component';
import { parse } from 'yaml';
import { resourcePrefix } from '../keys.ts';
import { aescbc, aesgcm, identity, secretbox, type ValueTransformer } from './transformers.ts';

interface KeyList {
  readonly keys?: readonly { readonly name?: string; readonly secret?: string }[];
}

interface ProviderConfig {
  readonly aescbc?: KeyList;
  readonly aesgcm?: KeyList;
  readonly secretbox?: KeyList;
  readonly identity?: object;
  readonly kms?: object;
}

interface EncryptionConfiguration {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly resources?: readonly {
    readonly resources?: readonly string[];
    readonly providers?: readonly ProviderConfig[];
  }[];
}

const FLAG = '--encryption-provider-config';
const aesLengths = [16, 24, 32];
const makers = {
  aescbc: { make: aescbc, lengths: aesLengths },
  aesgcm: { make: aesgcm, lengths: aesLengths },
  secretbox: { make: secretbox, lengths: [32] },
} as const;

/** How the values of some resources are stored: the first seals, each can open. */
interface Rule {
  readonly patterns: readonly string[];
  readonly transformers: readonly ValueTransformer[];
}

/** Seals and opens values by the place of their keys. */
export class Encryption {
  readonly #rules: readonly Rule[];
  readonly #etcdPrefix: string;
  /** By the first or the first two segments of the key below the prefix. */
  readonly #byPrefix = new Map<string, readonly ValueTransformer[] | undefined>();

  constructor(rules: readonly Rule[], etcdPrefix: string) {
    this.#rules = rules;
    this.#etcdPrefix = etcdPrefix;
    for (const resource of builtInResources)
      if (resource.stored) this.#byPrefix.set(resourcePrefix(resource, etcdPrefix), this.#transformersOf(resource));
  }

  /** The value to store. */
  seal(key: string, value: Buffer): Buffer {
    const [first] = this.#transformersAt(key) ?? [];
    return first === undefined ? value : Buffer.concat([first.prefix, first.seal(value, key)]);
  }

  /** The value that was stored. @throws StatusError InternalError where no provider can open it. */
  open(key: string, value: Buffer): Buffer {
    const transformers = this.#transformersAt(key);
    if (transformers === undefined) return value;
    let failure: unknown;
    for (const transformer of transformers) {
      const { prefix } = transformer;
      if (!value.subarray(0, prefix.length).equals(prefix)) continue;
      try {
        return transformer.open(value.subarray(prefix.length), key);
      } catch (error) {
        failure ??= error;
      }
    }
    const why = failure instanceof Error ? failure.message : 'no matching prefix found';
    throw newInternalError(`unable to transform key ${JSON.stringify(key)}: ${why}`, { cause: failure });
  }

  /** Whether a stored value is not as it would be stored today. */
  isStale(key: string, value: Buffer): boolean {
    const [first] = this.#transformersAt(key) ?? [];
    if (first === undefined) return false;
    const { prefix } = first;
    if (prefix.length === 0) return value.subarray(0, 8).toString() === 'k8s:enc:';
    return !value.subarray(0, prefix.length).equals(prefix);
  }

  #transformersAt(key: string): readonly ValueTransformer[] | undefined {
    if (!key.startsWith(`${this.#etcdPrefix}/`)) return undefined;
    const first = key.indexOf('/', this.#etcdPrefix.length + 1);
    const second = key.indexOf('/', first + 1);
    const [short, long] = [key.slice(0, first + 1), second === -1 ? '' : key.slice(0, second + 1)];
    if (this.#byPrefix.has(long)) return this.#byPrefix.get(long);
    if (this.#byPrefix.has(short)) return this.#byPrefix.get(short);
    // A custom resource: its group comes first. What is none, such as allocations, has no dot there.
    const group = short.slice(this.#etcdPrefix.length + 1, -1);
    if (!group.includes('.') || long === '') return undefined;
    const resource = long.slice(short.length, -1);
    const transformers = this.#transformersOf({ group, resource });
    this.#byPrefix.set(long, transformers);
    return transformers;
  }

  #transformersOf({ group, resource }: Pick<Resource, 'group' | 'resource'>): readonly ValueTransformer[] | undefined {
    const name = group === '' ? resource : `${resource}.${group}`;
    const isOf = (pattern: string): boolean =>
      pattern === name || pattern === '*.*' || pattern === `*.${group}` || (group === '' && pattern === '*.');
    return this.#rules.find(({ patterns }) => patterns.some(isOf))?.transformers;
  }
}

/** @throws UsageError. */
export function parseEncryptionConfig(text: string, etcdPrefix: string): Encryption {
  let config: EncryptionConfiguration | null;
  try {
    config = parse(text) as EncryptionConfiguration | null;
  } catch (error) {
    throw new UsageError(`${FLAG}: ${(error as Error).message}`);
  }
  if (config?.kind !== 'EncryptionConfiguration' || config.apiVersion !== 'apiserver.config.k8s.io/v1')
    throw new UsageError(`${FLAG}: must be an EncryptionConfiguration of apiserver.config.k8s.io/v1`);
  const rules = (config.resources ?? []).map(({ resources = [], providers = [] }, i): Rule => {
    if (resources.length === 0) throw new UsageError(`${FLAG}: resources[${i}].resources: Required value`);
    if (providers.length === 0) throw new UsageError(`${FLAG}: resources[${i}].providers: Required value`);
    return {
      patterns: resources,
      transformers: providers.flatMap((provider, j) => transformersOf(provider, `resources[${i}].providers[${j}]`)),
    };
  });
  if (rules.length === 0) throw new UsageError(`${FLAG}: resources: Required value`);
  return new Encryption(rules, etcdPrefix);
}

function transformersOf(provider: ProviderConfig, path: string): ValueTransformer[] {
  const given = Object.keys(provider);
  if (given.length !== 1) throw new UsageError(`${FLAG}: ${path}: must name exactly one provider`);
  if (provider.identity !== undefined) return [identity];
  const name = (['aescbc', 'aesgcm', 'secretbox'] as const).find((each) => provider[each] !== undefined);
  if (name === undefined) throw new UsageError(`${FLAG}: ${path}: provider ${given[0] ?? ''} is not supported`);
  const { make, lengths } = makers[name];
  const keys = provider[name]?.keys ?? [];
  if (keys.length === 0) throw new UsageError(`${FLAG}: ${path}.${name}.keys: Required value`);
  return keys.map(({ name: keyName = '', secret = '' }, i) => {
    const at = `${path}.${name}.keys[${i}]`;
    if (keyName === '' || keyName.includes(':')) throw new UsageError(`${FLAG}: ${at}.name: Invalid value`);
    const bytes = Buffer.from(secret, 'base64');
    if (!(lengths as readonly number[]).includes(bytes.length))
      throw new UsageError(
        `${FLAG}: ${at}.secret: secret is not of the expected length, got ${bytes.length}, expected one of ${JSON.stringify(lengths)}`,
      );
    return make(keyName, bytes);
  });
}
