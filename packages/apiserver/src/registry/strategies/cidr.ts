/** Networks in CIDR notation. */
import { fieldInvalid, type FieldError } from '@naru/api';
import { isIpAddress, isIpv4Address } from './pod-spec.ts';

interface Network {
  readonly family: 4 | 6;
  readonly address: bigint;
  readonly prefixLength: number;
}

const addressBits = { 4: 32, 6: 128 } as const;

function ipv4Number(address: string): bigint {
  return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function ipv6Number(address: string): bigint {
  const tail = address.slice(address.lastIndexOf(':') + 1);
  const embedded = tail.includes('.') ? ipv4Number(tail) : undefined;
  const hex =
    embedded === undefined
      ? address
      : `${address.slice(0, -tail.length)}${(embedded >> 16n).toString(16)}:${(embedded & 0xffffn).toString(16)}`;
  const [head = [], rest = []] = hex.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const zeros = Array.from({ length: 8 - head.length - rest.length }, () => '0');
  return [...head, ...zeros, ...rest].reduce((sum, group) => sum * 0x10000n + BigInt(`0x${group}`), 0n);
}

function parseCidr(text: string): Network | undefined {
  const slash = text.lastIndexOf('/');
  const [address, bits] = [text.slice(0, slash), text.slice(slash + 1)];
  if (slash < 0 || !isIpAddress(address) || !/^(?:0|[1-9]\d{0,2})$/u.test(bits)) return undefined;
  const family = isIpv4Address(address) ? 4 : 6;
  const prefixLength = Number(bits);
  if (prefixLength > addressBits[family]) return undefined;
  return { family, address: family === 4 ? ipv4Number(address) : ipv6Number(address), prefixLength };
}

export function cidr(path: string, text: string): FieldError[] {
  return parseCidr(text) === undefined
    ? [fieldInvalid(path, text, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')]
    : [];
}

/** Whether a network lies in another and is smaller; undefined when one of them is no network. */
export function isStrictSubset(inner: string, outer: string): boolean | undefined {
  const [a, b] = [parseCidr(inner), parseCidr(outer)];
  if (a === undefined || b === undefined) return undefined;
  if (a.family !== b.family || a.prefixLength <= b.prefixLength) return false;
  const shift = BigInt(addressBits[b.family] - b.prefixLength);
  return a.address >> shift === b.address >> shift;
}
