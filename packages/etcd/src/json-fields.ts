/**
 * Reading protobuf's JSON mapping as grpc-gateway does: a field in snake_case or camelCase, int64 as string or number,
 * bytes as base64, enums by name or number, null as the default, unknown fields ignored.
 */
import { Buffer } from 'node:buffer';
import { EtcdError } from './errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

const empty: JsonObject = Object.freeze({});

function invalid(message: string): EtcdError {
  return new EtcdError('invalidRequest', { message });
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function mismatch(value: unknown, goType: string): EtcdError {
  return invalid(`json: cannot unmarshal ${kindOf(value)} into Go value of type ${goType}`);
}

/** A message; null and absence are the empty one. */
export function objectOf(value: unknown, goType: string): JsonObject {
  if (value === undefined || value === null) return empty;
  if (typeof value !== 'object' || Array.isArray(value)) throw mismatch(value, goType);
  return value as JsonObject;
}

/** A field by its protobuf name or its camelCase form. */
export function field(source: JsonObject, name: string, camel: string): unknown {
  const value = source[name];
  return value === undefined ? source[camel] : value;
}

export function arrayOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw mismatch(value, '[]json.RawMessage');
  return value;
}

export function booleanOf(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw mismatch(value, 'bool');
  return value;
}

/** An int64 as a safe integer. */
export function integerOf(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value))
      throw invalid(`json: cannot unmarshal number ${value} into Go value of type int64`);
    return value;
  }
  if (typeof value !== 'string') throw mismatch(value, 'int64');
  if (!/^-?\d{1,19}$/u.test(value)) throw invalid(`json: cannot unmarshal string into Go value of type int64`);
  const number = Number(value);
  // Beyond 2^53 only extremes make sense ("any revision up to MaxInt64"): they are clamped.
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, number));
}

const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** A 64-bit id: int64, or uint64 where `max` says so. */
export function idOf(value: unknown, max: bigint = INT64_MAX): bigint {
  if (value === undefined || value === null) return 0n;
  if (typeof value !== 'string' && typeof value !== 'number') throw mismatch(value, 'int64');
  if (typeof value === 'string' && !/^-?\d{1,20}$/u.test(value))
    throw invalid('json: cannot unmarshal string into Go value of type int64');
  if (typeof value === 'number' && !Number.isInteger(value))
    throw invalid(`json: cannot unmarshal number ${value} into Go value of type int64`);
  const id = BigInt(value);
  if (id > max || id < (max === INT64_MAX ? -INT64_MAX - 1n : 0n))
    throw invalid(`json: cannot unmarshal number ${value} into Go value of type int64`);
  return id;
}

export function memberIdOf(value: unknown): bigint {
  return idOf(value, UINT64_MAX);
}

/** Bytes, as base64 or (from protobuf) as they are; undefined when absent or empty, which protobuf does not tell apart. */
export function bytesOf(value: unknown): Buffer | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (Buffer.isBuffer(value)) return value.length === 0 ? undefined : value;
  if (typeof value !== 'string') throw mismatch(value, '[]uint8');
  const bytes = Buffer.from(value, 'base64');
  // Buffer.from skips what is not base64: then the length is not what the text promised.
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0;
  if (value.length % 4 !== 0 || bytes.length !== (value.length / 4) * 3 - padding)
    throw invalid(`illegal base64 data at input byte ${illegalAt(value)}`);
  return bytes;
}

function illegalAt(text: string): number {
  const at = text.search(/[^A-Za-z0-9+/]/u);
  return at === -1 ? text.length - (text.length % 4) : at;
}

/** An enum by name or number; `names` in the order of their numbers. */
export function enumOf<T extends string>(value: unknown, names: readonly [T, ...T[]], goType: string): T {
  if (value === undefined || value === null) return names[0];
  if (typeof value === 'number') {
    const name = names[value];
    if (name === undefined) throw invalid(`unknown value ${JSON.stringify(value)} for enum ${goType}`);
    return name;
  }
  const name = names.find((each) => each === value);
  if (name === undefined) throw invalid(`unknown value ${JSON.stringify(value)} for enum ${goType}`);
  return name;
}

export function stringOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw mismatch(value, 'string');
  return value;
}

export function stringsOf(value: unknown): readonly string[] {
  return arrayOf(value).map(stringOf);
}
