/** Configuration files (apiserver.config.k8s.io and the like): decoded strictly, and read again when they change. */
import { readFile } from 'node:fs/promises';
import { isJsonObject, type JsonObject } from '@naru/api';
import { parseDuration, UsageError, type Clock, type Logger } from '@naru/component';
import { parse } from 'yaml';

/** A file as it was read first. */
export interface ConfigurationFile {
  readonly path: string;
  readonly text: string;
}

/** How often files are looked at. */
const POLL_INTERVAL_MS = 2000;

/** An object of a configuration file, and its place. What it throws is UsageError with the flag's name and the place. */
export class Fields {
  readonly #flag: string;
  readonly #path: string;
  readonly #value: JsonObject;

  constructor(flag: string, path: string, value: JsonObject) {
    this.#flag = flag;
    this.#path = path;
    this.#value = value;
  }

  #at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  has(name: string): boolean {
    const value = this.#value[name];
    return value !== undefined && value !== null;
  }

  /** The error of a field. */
  invalid(name: string, why: string): UsageError {
    return new UsageError(`--${this.#flag}: ${name === '' ? this.#path : this.#at(name)}: ${why}`);
  }

  /** Refuses all other fields. */
  only(...names: readonly string[]): this {
    for (const name of Object.keys(this.#value))
      if (!names.includes(name))
        throw new UsageError(`--${this.#flag}: strict decoding error: unknown field "${this.#at(name)}"`);
    return this;
  }

  /** ''  where it is absent. */
  string(name: string): string {
    const value = this.#value[name] ?? '';
    if (typeof value !== 'string') throw this.invalid(name, 'Invalid value: must be a string');
    return value;
  }

  required(name: string): string {
    const value = this.string(name);
    if (value === '') throw this.invalid(name, 'Required value');
    return value;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const value = this.required(name);
    const found = values.find((each) => each === value);
    if (found !== undefined) return found;
    const supported = values.map((each) => JSON.stringify(each)).join(', ');
    throw this.invalid(name, `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`);
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#value[name] ?? fallback;
    if (typeof value !== 'boolean') throw this.invalid(name, 'Invalid value: must be a boolean');
    return value;
  }

  /** In milliseconds. */
  duration(name: string, fallbackMs?: number): number {
    if (fallbackMs !== undefined && !this.has(name)) return fallbackMs;
    const value = this.required(name);
    const parsed = parseDuration(value);
    if (parsed === undefined) throw this.invalid(name, `Invalid value: ${JSON.stringify(value)}: must be a duration`);
    return parsed;
  }

  strings(name: string): readonly string[] {
    return this.#items(name).map((each, i) => {
      if (typeof each !== 'string') throw this.invalid(`${name}[${i}]`, 'Invalid value: must be a string');
      return each;
    });
  }

  object(name: string): Fields | undefined {
    const value = this.#value[name] ?? undefined;
    return value === undefined ? undefined : this.#child(name, value);
  }

  list(name: string): readonly Fields[] {
    return this.#items(name).map((each, i) => this.#child(`${name}[${i}]`, each));
  }

  #items(name: string): readonly unknown[] {
    const value = this.#value[name] ?? [];
    if (!Array.isArray(value)) throw this.invalid(name, 'Invalid value: must be a list');
    return value;
  }

  #child(name: string, value: unknown): Fields {
    if (!isJsonObject(value)) throw this.invalid(name, 'Invalid value: must be an object');
    return new Fields(this.#flag, this.#at(name), value);
  }
}

/** Of any kind, where none is given. @throws UsageError with the flag's name. */
export function decodeConfiguration(
  text: string,
  {
    flag,
    kind,
    apiVersions = [],
  }: { readonly flag: string; readonly kind?: string; readonly apiVersions?: readonly string[] },
): Fields {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
  if (!isJsonObject(value)) throw new UsageError(`--${flag}: the file is empty`);
  if (kind !== undefined && (value['kind'] !== kind || !apiVersions.includes(String(value['apiVersion']))))
    throw new UsageError(
      `--${flag}: no kind ${JSON.stringify(value['kind'] ?? '')} is registered for version ${JSON.stringify(value['apiVersion'] ?? '')}; expected ${kind} of ${apiVersions.join(' or ')}`,
    );
  return new Fields(flag, '', value);
}

/** Reads the file that a flag names. @throws UsageError. */
export async function readConfigurationFile(flag: string, path: string): Promise<ConfigurationFile> {
  try {
    return { path, text: await readFile(path, 'utf8') };
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
}

/** Calls `apply` with every new text until the signal aborts; while it throws, what was before goes on. */
export async function followFile(
  { path, text }: ConfigurationFile,
  options: { readonly clock: Clock; readonly logger: Logger; readonly apply: (text: string) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  const { clock, logger, apply } = options;
  let seen = text;
  while (!signal.aborted) {
    await clock.sleep(POLL_INTERVAL_MS, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const now = await readFile(path, 'utf8');
      if (now === seen) continue;
      seen = now;
      await apply(now);
      logger.info({ path }, 'reloaded');
    } catch (error) {
      logger.warn({ err: error, path }, 'the file is not good, what it said before holds');
    }
  }
}
