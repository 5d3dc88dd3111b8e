/** metav1.Time and metav1.MicroTime: RFC 3339 in UTC, with seconds or microseconds. */

/** `2006-01-02T15:04:05Z`: metav1.Time of a moment in milliseconds since the epoch; fractions are cut. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** `2006-01-02T15:04:05.000000Z`: metav1.MicroTime of a moment in milliseconds since the epoch. */
export function formatMicroTime(ms: number): string {
  const micros = Math.floor((ms - Math.floor(ms)) * 1000);
  return `${new Date(Math.floor(ms)).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`;
}

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})$/u;
const canonicalTime = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/u;

/** Milliseconds since the epoch, or NaN where the text is no RFC 3339 time. */
export function parseTime(text: string | undefined): number {
  if (text === undefined) return Number.NaN;
  if (canonicalTime.test(text)) return Date.parse(text);
  const match = rfc3339.exec(text);
  if (match === null) return Number.NaN;
  const [, year, month, day, , , , fraction = ''] = match;
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number(day) > lastDay) return Number.NaN;
  const ms = Date.parse(text.replace(/[.,]\d+/u, ''));
  return ms + Math.trunc(Number(`0.${fraction}0`) * 1e6) / 1000;
}

/** metav1.Time as it is stored: UTC, seconds; undefined where the text is no RFC 3339 time. */
export function canonicalTimeOf(text: string): string | undefined {
  if (canonicalTime.test(text)) return text;
  const ms = parseTime(text);
  return Number.isNaN(ms) ? undefined : formatTime(ms);
}

/** metav1.MicroTime as it is stored: UTC, microseconds; undefined where the text is no RFC 3339 time. */
export function canonicalMicroTimeOf(text: string): string | undefined {
  const ms = parseTime(text);
  if (Number.isNaN(ms)) return undefined;
  const fraction = /[.,](\d+)/u.exec(text)?.[1] ?? '';
  return `${formatTime(ms).slice(0, -1)}.${fraction.slice(0, 6).padEnd(6, '0')}Z`;
}
