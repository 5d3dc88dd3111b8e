/**
 * One table of flags per component: it parses argv, prints `--help` and makes docs/flags.md. Names, syntax and defaults
 * are upstream's: `--name value`, `--name=value`, a single dash also works, booleans take no value or `=true|false`,
 * lists are comma-separated and may be repeated.
 */
export type FlagDefinition =
  | (FlagBase & { readonly type: 'string'; readonly default?: string; readonly values?: readonly string[] })
  | (FlagBase & { readonly type: 'integer'; readonly default?: number; readonly min?: number; readonly max?: number })
  | (FlagBase & { readonly type: 'boolean'; readonly default?: boolean })
  /** A Go duration (`300ms`, `1m30s`) or, as etcd has it for some flags, plain milliseconds; parsed to milliseconds. */
  | (FlagBase & { readonly type: 'duration'; readonly default?: number })
  | (FlagBase & { readonly type: 'list'; readonly default?: readonly string[] });

interface FlagBase {
  readonly description: string;
  readonly required?: boolean;
}

export type FlagTable = Readonly<Record<string, FlagDefinition>>;

type ValueOf<D extends FlagDefinition> = D extends { type: 'string' }
  ? string
  : D extends { type: 'boolean' }
    ? boolean
    : D extends { type: 'list' }
      ? readonly string[]
      : number;

type IsSet<D extends FlagDefinition> = D extends { default: unknown } | { required: true } ? true : false;

/** Values by flag name. A flag with neither a default nor `required` may be undefined. */
export type FlagValues<T extends FlagTable> = {
  readonly [K in keyof T]: IsSet<T[K]> extends true ? ValueOf<T[K]> : ValueOf<T[K]> | undefined;
};

/** A flag or configuration that the user must correct; `main` prints the message and exits 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const durationUnitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a Go duration such as `1h2m3.5s`, or undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$/u.test(text))
    return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/gu))
    ms += Number(amount) * (durationUnitsMs[unit ?? ''] ?? 0);
  return text.startsWith('-') ? -ms : ms;
}

/**
 * Parses `argv` (without node and the script) against `table`.
 * Flags of the upstream program that are missing here are `unsupported`: who uses one is told so.
 * @throws UsageError that names the flag: unknown, without a value, of the wrong type, out of range, missing.
 */
export function parseFlags<const T extends FlagTable>(
  table: T,
  argv: readonly string[],
  options: { readonly unsupported?: readonly string[] } = {},
): FlagValues<T> {
  const given = new Map<string, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    const match = /^--?([^=]+)(?:=(.*))?$/su.exec(argument);
    if (match === null) throw new UsageError(`unexpected argument: ${argument}`);
    const [, name = '', inline] = match;
    const flag = Object.hasOwn(table, name) ? table[name] : undefined;
    if (flag === undefined && options.unsupported?.includes(name) === true)
      throw new UsageError(`flag --${name} is not supported`);
    if (flag === undefined) throw new UsageError(`unknown flag: --${name}`);
    let value = inline;
    if (value === undefined) {
      if (flag.type === 'boolean') value = 'true';
      else if ((value = argv[++i]) === undefined) throw new UsageError(`flag needs an argument: --${name}`);
    }
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(table)) {
    const texts = given.get(name);
    if (texts === undefined && flag.required === true) throw new UsageError(`required flag: --${name}`);
    values[name] = texts === undefined ? flag.default : parseValue(name, flag, texts);
  }
  return values as FlagValues<T>;
}

function parseValue(
  name: string,
  flag: FlagDefinition,
  texts: readonly string[],
): string | number | boolean | readonly string[] {
  const text = texts.at(-1) ?? '';
  const invalid = (why: string): UsageError =>
    new UsageError(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: ${why}`);
  switch (flag.type) {
    case 'string':
      if (flag.values !== undefined && !flag.values.includes(text))
        throw invalid(`must be one of ${flag.values.join(', ')}`);
      return text;
    case 'boolean':
      if (text === 'true' || text === '1') return true;
      if (text === 'false' || text === '0') return false;
      throw invalid('must be true or false');
    case 'integer': {
      const value = Number(text);
      if (text.trim() === '' || !Number.isSafeInteger(value)) throw invalid('must be an integer');
      if (flag.min !== undefined && value < flag.min) throw invalid(`must be at least ${flag.min}`);
      if (flag.max !== undefined && value > flag.max) throw invalid(`must be at most ${flag.max}`);
      return value;
    }
    case 'duration': {
      const value = /^\d+$/u.test(text) ? Number(text) : parseDuration(text);
      if (value === undefined) throw invalid('must be a duration such as 1m30s');
      return value;
    }
    case 'list':
      return texts.flatMap((each) => each.split(',')).filter((each) => each !== '');
    default:
      return flag satisfies never;
  }
}

/** The text of `--help`. */
export function helpText(
  name: string,
  description: string,
  table: FlagTable,
  unsupported: readonly string[] = [],
): string {
  const lines = Object.entries(table).map(([flag, definition]) => {
    const fallback = definition.default;
    const shown =
      fallback === undefined || fallback === '' || (Array.isArray(fallback) && fallback.length === 0)
        ? ''
        : ` (default ${formatDefault(definition)})`;
    return `  --${flag} ${definition.type}\n        ${definition.description}${definition.required === true ? ' (required)' : shown}`;
  });
  const missing =
    unsupported.length === 0 ? '' : `\nNot supported: ${unsupported.map((flag) => `--${flag}`).join(', ')}\n`;
  return `${description}\n\nUsage: ${name} [flags]\n\nFlags:\n${lines.join('\n')}\n${missing}`;
}

/** A flag's default as the user would write it. */
export function formatDefault(flag: FlagDefinition): string {
  if (flag.default === undefined) return '';
  if (flag.type === 'duration') return `${flag.default}ms`;
  return String(flag.default);
}
