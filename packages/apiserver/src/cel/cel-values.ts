/** JSON to CEL's values and back. CEL's int is a bigint and its double a number. */
import { Optional } from '@marcbachmann/cel-js';

/** A JSON value as CEL sees it: whole numbers are ints. Copies; what is missing is null. */
export function toCel(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(toCel);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, each]) => each !== undefined)
        .map(([key, each]) => [key, toCel(each)]),
    );
  return value ?? null;
}

/** A value may hold another many times, which JSON cannot. */
const JSON_VALUES_MAX = 1_000_000;

/** The JSON value of what an expression came to. @throws TypeError for what JSON has no word for, and what is too large. */
export function fromCel(value: unknown): unknown {
  return jsonOf(value, { left: JSON_VALUES_MAX });
}

function jsonOf(value: unknown, bound: { left: number }): unknown {
  if (bound.left-- <= 0) throw new TypeError('the value is too large');
  if (typeof value === 'bigint') return Number(value);
  if (isUnsigned(value)) return Number(value.valueOf());
  if (value instanceof Optional) return value.hasValue() ? jsonOf(value.value(), bound) : null;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((each) => jsonOf(each, bound));
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, each]) => [String(key), jsonOf(each, bound)]));
  if (typeof value === 'object' && value !== null) {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) throw new TypeError('not a JSON value');
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, jsonOf(each, bound)]));
  }
  return value;
}

function isUnsigned(value: unknown): value is object {
  return typeof value === 'object' && value !== null && typeof value.valueOf() === 'bigint';
}
