/** Functions of strings that Kubernetes adds: find, findAll, format, replace, charAt, reverse, and named formats. */
import { type Environment } from '@marcbachmann/cel-js';
import { compilePattern } from '@naru/api';
import { LINEAR_MATCHES } from './cel-ast.ts';
import { validateFormat, namedFormats } from './named-formats.ts';
import { fromCel } from './cel-values.ts';
import { registerSpace, type FunctionSpace } from './function-space.ts';

/** What `format()` makes of one value for a verb such as `%d` or `%.2f`. */
function formatted(value: unknown, verb: string, precision: string | undefined): string {
  switch (verb) {
    case 's':
      return textOf(value);
    case 'd':
      if (typeof value !== 'bigint' && typeof value !== 'number')
        throw new Error(`error during formatting: decimal clause can only be used on integers`);
      return String(value);
    case 'f':
      return Number(value).toFixed(precision === undefined ? 6 : Number(precision));
    case 'e':
      return Number(value)
        .toExponential(precision === undefined ? 6 : Number(precision))
        .replace(/e([+-])(\d)$/u, 'e$10$2');
    case 'b':
      return typeof value === 'boolean' ? (value ? '1' : '0') : (value as bigint).toString(2);
    case 'o':
      return (value as bigint).toString(8);
    case 'x':
    case 'X': {
      const text = typeof value === 'string' ? Buffer.from(value).toString('hex') : (value as bigint).toString(16);
      return verb === 'X' ? text.toUpperCase() : text;
    }
    default:
      throw new Error(`error during formatting: unrecognized formatting clause "${verb}"`);
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${value.map(textOf).join(', ')}]`;
  if (typeof value === 'object') {
    const json = fromCel(value);
    if (typeof json === 'string') return json;
    const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, each]) => `${key}: ${textOf(each)}`).join(', ')}}`;
  }
  return `${value as number | bigint | boolean}`;
}

function format(template: string, values: readonly unknown[]): string {
  let next = 0;
  return template.replaceAll(/%(%|(?:\.(\d+))?([a-zA-Z]))/gu, (_all, clause: string, precision?: string, verb = '') => {
    if (clause === '%') return '%';
    if (next >= values.length) throw new Error(`error during formatting: index ${next} out of range`);
    return formatted(values[next++], verb, precision);
  });
}

function replace(text: string, [from, to]: readonly [string, string], count: number): string {
  if (count < 0) return text.replaceAll(from, () => to);
  let result = text;
  let offset = 0;
  for (let i = 0; i < count; i++) {
    const at = result.indexOf(from, offset);
    if (at === -1) break;
    result = result.slice(0, at) + to + result.slice(at + from.length);
    offset = at + to.length + (from === '' ? 1 : 0);
  }
  return result;
}

function charAt(text: string, at: bigint): string {
  let left = at;
  for (const character of text) if (left-- === 0n) return character;
  return '';
}

/** @throws Error as CEL's programs have it. */
function patternOf(text: string): ReturnType<typeof compilePattern> {
  try {
    return compilePattern(text);
  } catch (error) {
    throw new Error(`invalid_argument: ${(error as Error).message}`, { cause: error });
  }
}

function findAll(text: string, pattern: string, limit = Infinity): string[] {
  const matcher = patternOf(pattern).matcher(text);
  const all: string[] = [];
  while (all.length < limit && matcher.find()) all.push(matcher.group() ?? '');
  return all;
}

/** The value of `format.NAME()`: something with `validate`. */
export class NamedFormat {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export function registerStringFunctions(environment: Environment): void {
  registerSpace(environment, 'jsonpatch', 'kubernetes.JSONPatch');
  registerSpace(environment, 'format', 'kubernetes.Formats');
  environment
    .registerFunction(`string.${LINEAR_MATCHES}(string): bool`, (text: string, pattern: string) =>
      patternOf(pattern).matcher(text).find(),
    )
    .registerFunction(
      'string.find(string): string',
      (text: string, pattern: string) => findAll(text, pattern, 1)[0] ?? '',
    )
    .registerFunction('string.findAll(string): list<string>', (text: string, pattern: string) => findAll(text, pattern))
    .registerFunction('string.findAll(string, int): list<string>', (text: string, pattern: string, limit: bigint) =>
      findAll(text, pattern, limit < 0n ? Infinity : Number(limit)),
    )
    .registerFunction('string.format(list): string', format)
    .registerFunction('string.replace(string, string): string', (text: string, from: string, to: string) =>
      replace(text, [from, to], -1),
    )
    .registerFunction(
      'string.replace(string, string, int): string',
      (text: string, from: string, to: string, count: bigint) => replace(text, [from, to], Number(count)),
    )
    .registerFunction('string.charAt(int): string', charAt)
    .registerFunction('string.reverse(): string', (text: string) => Array.from(text).toReversed().join(''))
    .registerFunction('kubernetes.JSONPatch.escapeKey(string): string', (_space: FunctionSpace, key: string) =>
      key.replaceAll('~', '~0').replaceAll('/', '~1'),
    );
  environment.registerType('kubernetes.NamedFormat', { ctor: NamedFormat, fields: {} });
  for (const name of Object.keys(namedFormats))
    environment.registerFunction(`kubernetes.Formats.${name}(): kubernetes.NamedFormat`, () => new NamedFormat(name));
  environment.registerFunction('kubernetes.NamedFormat.validate(string): optional<list<string>>', {
    handler: ({ name }: NamedFormat, text: string) => validateFormat(name, text),
  });
}
