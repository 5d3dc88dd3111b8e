/** Rules that many kinds share. Each returns upstream's errors for the field at `path`; none when it holds. */
import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isConfigMapKey,
  isDns1123Label,
  isDns1123Subdomain,
  isNegativeErrorMessage,
  isQualifiedName,
  isValidLabelValue,
  isValidPercent,
  isValidPortName,
  isValidPortNum,
  type FieldError,
  type IntOrString,
} from '@naru/api';

export const immutableMessage = 'field is immutable';

/** One Invalid per message. */
export function invalidAll(path: string, value: unknown, messages: readonly string[]): FieldError[] {
  return messages.map((message) => fieldInvalid(path, value, message));
}

export const dnsLabel = (path: string, value: string): FieldError[] => invalidAll(path, value, isDns1123Label(value));
export const dnsSubdomain = (path: string, value: string): FieldError[] =>
  invalidAll(path, value, isDns1123Subdomain(value));
// As in Go, a text that is not there is an empty one.
export const labelName = (path: string, value = ''): FieldError[] => invalidAll(path, value, isQualifiedName(value));

/** Required when empty, else a DNS label. */
export function requiredDnsLabel(path: string, value: string | undefined): FieldError[] {
  return value === undefined || value === '' ? [fieldRequired(path)] : dnsLabel(path, value);
}

export function required(path: string, value: unknown, detail = ''): FieldError[] {
  return value === undefined || value === null || value === '' ? [fieldRequired(path, detail)] : [];
}

export function nonNegative(path: string, value: number | undefined): FieldError[] {
  return value !== undefined && value < 0 ? [fieldInvalid(path, value, isNegativeErrorMessage)] : [];
}

export function positive(path: string, value: number | undefined): FieldError[] {
  return value !== undefined && value <= 0 ? [fieldInvalid(path, value, 'must be greater than 0')] : [];
}

/** Required when empty, else one of the values. */
export function oneOf(path: string, value: string | undefined, values: readonly string[]): FieldError[] {
  if (value === undefined || value === '') return [fieldRequired(path)];
  return optionalOneOf(path, value, values);
}

export function optionalOneOf(path: string, value: string | undefined, values: readonly string[]): FieldError[] {
  return value === undefined || values.includes(value) ? [] : [fieldNotSupported(path, value, values)];
}

export function portNumber(path: string, value: number): FieldError[] {
  return invalidAll(path, value, isValidPortNum(value));
}

export function portNumberOrName(path: string, value: IntOrString = 0): FieldError[] {
  return typeof value === 'number' ? portNumber(path, value) : invalidAll(path, value, isValidPortName(value));
}

export function labelsOf(path: string, labels: Readonly<Record<string, string>> | undefined): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...invalidAll(path, key, isQualifiedName(key)),
    ...invalidAll(path, value, isValidLabelValue(value)),
  ]);
}

/** A whole number that is not negative, or a percentage. */
export function intOrPercent(path: string, value: IntOrString): FieldError[] {
  return typeof value === 'number' ? nonNegative(path, value) : invalidAll(path, value, isValidPercent(value));
}

export function notOver100Percent(path: string, value: IntOrString): FieldError[] {
  if (typeof value === 'number' || isValidPercent(value).length > 0 || Number.parseInt(value, 10) <= 100) return [];
  return [fieldInvalid(path, value, 'must not be greater than 100%')];
}

/** Keys of a ConfigMap or Secret. */
export function dataKey(path: string, key: string): FieldError[] {
  return invalidAll(path, key, isConfigMapKey(key));
}

export function immutable(path: string, value: unknown, old: unknown): FieldError[] {
  return deepEqual(value, old) ? [] : [fieldInvalid(path, value ?? null, immutableMessage)];
}

/** Equality of JSON values, as the API server sees it: absent, null, empty lists and empty maps are the same. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (isEmpty(a) && isEmpty(b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((each, i) => deepEqual(each, b[i]));
  }
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
    if (!deepEqual(left[key], right[key])) return false;
  return true;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
