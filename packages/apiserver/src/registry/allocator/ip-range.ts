import { UsageError } from '@naru/component';

/** The addresses of a range that Services may have: all but the network's and the broadcast address. */
export interface IpRange {
  readonly cidr: string;
  /** The network's address as a number. */
  readonly base: number;
  /** Offsets 1 to `size` are usable. */
  readonly size: number;
}

const RANGE_ADDRESSES_MIN = 2;

/** Parses an IPv4 CIDR. @throws UsageError that names the flag. */
export function parseIpRange(cidr: string, flag: string): IpRange {
  const match = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\/(\d{1,2})$/u.exec(cidr);
  const address = match === null ? undefined : ipToNumber(match[1] ?? '');
  const bits = Number(match?.[2]);
  if (address === undefined || bits > 32) throw new UsageError(`${flag}: invalid CIDR address: ${cidr}`);
  const total = 2 ** (32 - bits);
  const base = address - (address % total);
  const size = total - 2;
  if (size < RANGE_ADDRESSES_MIN) throw new UsageError(`${flag}: ${cidr} is too small a range`);
  return { cidr: `${numberToIp(base)}/${bits}`, base, size };
}

/** The number of a dotted quad, or undefined if it is none. */
export function ipToNumber(ip: string): number | undefined {
  const parts = ip.split('.');
  if (parts.length !== 4) return undefined;
  let number = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/u.test(part) || Number(part) > 255) return undefined;
    number = number * 256 + Number(part);
  }
  return number;
}

export function numberToIp(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

export function containsIp({ base, size }: IpRange, ip: string): boolean {
  const number = ipToNumber(ip);
  return number !== undefined && number > base && number <= base + size;
}

/** The address of the `kubernetes` Service. */
export function firstAddress({ base }: IpRange): string {
  return numberToIp(base + 1);
}
