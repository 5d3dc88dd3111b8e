/** intstr.IntOrString: an integer, or a string that is a percentage or a port's name. */
import type { IntOrString } from './object.ts';

export class IntOrStringError extends Error {
  override readonly name = 'IntOrStringError';
}

/**
 * Resolves a count or a percentage of `total`; percentages are rounded as told. Throws IntOrStringError with upstream's
 * message where the string is no percentage.
 */
export function scaledValueFromIntOrPercent(
  value: IntOrString,
  { total, roundUp }: { readonly total: number; readonly roundUp: boolean },
): number {
  if (typeof value === 'number') return value;
  const fail = (why: string): never => {
    throw new IntOrStringError(`invalid value for IntOrString: ${why}`);
  };
  if (!value.endsWith('%')) return fail('invalid type: string is not a percentage');
  if (!/^[+-]?[0-9]+%$/u.test(value))
    return fail(`invalid value "${value}": strconv.Atoi: parsing "${value.slice(0, -1)}": invalid syntax`);
  const scaled = (Number.parseInt(value, 10) * total) / 100;
  return roundUp ? Math.ceil(scaled) : Math.floor(scaled);
}
