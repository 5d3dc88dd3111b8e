/**
 * resource.Quantity (k8s.io/apimachinery/pkg/api/resource): exact fixed-point numbers with a decimal, binary or exponent
 * suffix. Parsing, rounding, limits and the canonical text are upstream's.
 *
 *     quantity = [ "+" | "-" ] DIGITS [ "." DIGITS ] suffix
 *     suffix   = "Ki" … "Ei" | "n" | "u" | "m" | "" | "k" | "M" | "G" | "T" | "P" | "E" | ( "e" | "E" ) INTEGER
 */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

const NANO = 1_000_000_000n;
const MILLI_IN_NANO = 1_000_000n;
const INT64_MAX_IN_NANO = (2n ** 63n - 1n) * NANO;
/** Digits that upstream keeps in an int64: larger numbers are capped at the largest int64. */
const INT64_DIGITS = 18;

const formatError = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const suffixError = "unable to parse quantity's suffix";

interface Suffix {
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly format: QuantityFormat;
}

const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const;
const decimalSuffixes = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'] as const;

const suffixes: ReadonlyMap<string, Suffix> = new Map([
  ...binarySuffixes
    .slice(1)
    .map((text, i): [string, Suffix] => [text, { base: 2, exponent: (i + 1) * 10, format: 'BinarySI' }]),
  ...decimalSuffixes.map((text, i): [string, Suffix] => [
    text,
    { base: 10, exponent: (i - 3) * 3, format: 'DecimalSI' },
  ]),
]);

function parseSuffix(text: string): Suffix | undefined {
  const known = suffixes.get(text);
  if (known !== undefined) return known;
  const exponent = /^[eE]([+-]?[0-9]{1,4})$/u.exec(text)?.[1];
  return exponent === undefined ? undefined : { base: 10, exponent: Number(exponent), format: 'DecimalExponent' };
}

/** Quotient rounded away from zero. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  if (value % by === 0n) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

const shape = /^([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/u;

/** Value in nano units, rounded away from zero, or what is wrong with the text. */
function parseNanos(text: string): { readonly nanos: bigint; readonly format: QuantityFormat } | string {
  const match = text === '' ? null : shape.exec(text);
  if (match === null) return formatError;
  const [, sign, integer = '', fraction = '', suffixText = ''] = match;
  const suffix = parseSuffix(suffixText);
  if (suffix === undefined) return suffixError;
  const digits = BigInt(`${integer}${fraction}` || '0');
  let nanos: bigint;
  if (suffix.base === 2) {
    nanos = divideUp(digits * NANO * 2n ** BigInt(suffix.exponent), 10n ** BigInt(fraction.length));
  } else {
    const exponent = suffix.exponent - fraction.length + 9;
    // Beyond this nothing but zero or the cap is left, and powers of ten get expensive.
    if (exponent > 200) nanos = digits === 0n ? 0n : INT64_MAX_IN_NANO;
    else if (exponent >= 0) nanos = digits * 10n ** BigInt(exponent);
    else if (exponent > -200) nanos = divideUp(digits, 10n ** BigInt(-exponent));
    else nanos = digits === 0n ? 0n : 1n;
  }
  const exactInInt64 =
    suffix.base === 10 && Math.max(integer.length, 1) + fraction.length <= INT64_DIGITS && nanos < 10n ** 36n;
  if (nanos > INT64_MAX_IN_NANO && !exactInInt64) nanos = INT64_MAX_IN_NANO;
  return { nanos: sign === '-' ? -nanos : nanos, format: suffix.format };
}

function canonicalDecimal(nanos: bigint, format: QuantityFormat): string {
  let mantissa = nanos;
  let exponent = -9;
  while (mantissa % 1000n === 0n) {
    mantissa /= 1000n;
    exponent += 3;
  }
  const suffix = decimalSuffixes[exponent / 3 + 3];
  if (format === 'DecimalSI' && suffix !== undefined) return `${mantissa}${suffix}`;
  return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
}

function canonical(nanos: bigint, format: QuantityFormat): string {
  if (nanos === 0n) return '0';
  if (format !== 'BinarySI') return canonicalDecimal(nanos, format);
  const whole = nanos / NANO;
  // Small and fractional amounts keep their precision by the decimal form.
  if (nanos % NANO !== 0n || (whole > -1024n && whole < 1024n)) return canonicalDecimal(nanos, 'DecimalSI');
  let mantissa = whole;
  let power = 0;
  while (mantissa % 1024n === 0n && power < 6) {
    mantissa /= 1024n;
    power++;
  }
  return `${mantissa}${binarySuffixes[power] ?? ''}`;
}

/** An exact amount. Immutable; sums keep the format of the left side, as upstream. */
export class Quantity {
  readonly nanos: bigint;
  readonly format: QuantityFormat;

  constructor(nanos: bigint, format: QuantityFormat = 'DecimalSI') {
    this.nanos = nanos;
    this.format = format;
  }

  /** Less than 0, 0, more than 0. */
  compare(other: Quantity): number {
    return this.nanos < other.nanos ? -1 : this.nanos > other.nanos ? 1 : 0;
  }

  equals(other: Quantity): boolean {
    return this.nanos === other.nanos;
  }

  add(other: Quantity): Quantity {
    return new Quantity(this.nanos + other.nanos, this.nanos === 0n ? other.format : this.format);
  }

  sub(other: Quantity): Quantity {
    return new Quantity(this.nanos - other.nanos, this.nanos === 0n ? other.format : this.format);
  }

  negate(): Quantity {
    return new Quantity(-this.nanos, this.format);
  }

  get isZero(): boolean {
    return this.nanos === 0n;
  }

  get sign(): -1 | 0 | 1 {
    return this.nanos === 0n ? 0 : this.nanos < 0n ? -1 : 1;
  }

  /** Units, rounded away from zero. Exact up to 2^53. */
  value(): number {
    return Number(divideUp(this.nanos, NANO));
  }

  /** Thousandths, rounded away from zero. Exact up to 2^53. */
  milliValue(): number {
    return Number(divideUp(this.nanos, MILLI_IN_NANO));
  }

  toNumber(): number {
    return Number(this.nanos / NANO) + Number(this.nanos % NANO) / 1e9;
  }

  /** The canonical text: no fraction, the largest suffix that loses nothing. */
  toString(): string {
    return canonical(this.nanos, this.format);
  }

  toJSON(): string {
    return this.toString();
  }
}

export class QuantityError extends Error {
  override readonly name = 'QuantityError';
}

/** Parses a quantity; throws QuantityError with upstream's message. */
export function parseQuantity(value: string | number): Quantity {
  const parsed = parseNanos(typeof value === 'number' ? String(value) : value.trim());
  if (typeof parsed === 'string') throw new QuantityError(parsed);
  return new Quantity(parsed.nanos, parsed.format);
}

export const zeroQuantity = new Quantity(0n);

/** An amount of whole units. */
export function newQuantity(value: number, format: QuantityFormat = 'DecimalSI'): Quantity {
  return new Quantity(BigInt(value) * NANO, format);
}

/** An amount of thousandths. */
export function newMilliQuantity(milliValue: number, format: QuantityFormat = 'DecimalSI'): Quantity {
  return new Quantity(BigInt(milliValue) * MILLI_IN_NANO, format);
}

/** Texts that already are canonical and need no arithmetic to be told so. */
const plainlyCanonical = /^(?:0|[1-9][0-9]{0,2}(?:m|k|M|G|Ki|Mi|Gi)?)$/u;

/** The canonical text of a quantity; throws QuantityError with upstream's message. */
export function canonicalQuantity(value: string | number): string {
  if (typeof value === 'string' && plainlyCanonical.test(value)) return value;
  return parseQuantity(value).toString();
}
