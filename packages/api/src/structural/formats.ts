/** Formats of strings that schemas may name (k8s.io/kube-openapi/pkg/validation/strfmt). Unknown formats are not checked. */
import { isIPv4, isIPv6 } from './ip-formats.ts';

const dateTime =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/u;
const uuid = (version: string): RegExp =>
  new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, 'iu');
const matches =
  (pattern: RegExp) =>
  (text: string): boolean =>
    pattern.test(text);

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => dateTime.test(text) && !Number.isNaN(Date.parse(text.replace(' ', 'T'))),
  datetime: (text) => dateTime.test(text) && !Number.isNaN(Date.parse(text.replace(' ', 'T'))),
  date: (text) => /^\d{4}-\d\d-\d\d$/u.test(text) && isDay(text),
  duration: matches(/^(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w|[a-z]*sec|[a-z]*min|hours?|days?|weeks?)\s*)+$/iu),
  email: matches(/^[^\s@<>]+@[^\s@<>]+$/u),
  hostname: matches(
    /^(?=.{1,255}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.?$/iu,
  ),
  ipv4: isIPv4,
  ipv6: isIPv6,
  ip: (text) => isIPv4(text) || isIPv6(text),
  cidr: isCidr,
  mac: matches(/^([0-9a-f]{2}[:-]){5}([0-9a-f]{2}[:-]?){1}(([0-9a-f]{2}[:-]){1}[0-9a-f]{2})?$/iu),
  uri: (text) => /^[a-z][a-z0-9+.-]*:/iu.test(text) && URL.canParse(text),
  uuid: matches(uuid('[0-9a-f]')),
  uuid3: matches(uuid('3')),
  uuid4: matches(uuid('4')),
  uuid5: matches(uuid('5')),
  byte: matches(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u),
  hexcolor: matches(/^#?([0-9a-f]{3}|[0-9a-f]{6})$/iu),
  'k8s-short-name': matches(/^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/u),
  'k8s-long-name': matches(/^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/u),
};

/** Whether a string is of the format; a format that is not known is not checked. */
export function hasFormat(format: string, text: string): boolean {
  return !Object.hasOwn(formats, format) || (formats[format]?.(text) ?? true);
}

function isDay(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

function isCidr(text: string): boolean {
  const [address = '', length = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^\d{1,3}$/u.test(length)) return false;
  return (isIPv4(address) && Number(length) <= 32) || (isIPv6(address) && Number(length) <= 128);
}
