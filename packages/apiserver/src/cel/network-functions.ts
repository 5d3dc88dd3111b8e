/** Kubernetes' functions of URLs, IP addresses and CIDR ranges. */
import { isIP, SocketAddress } from 'node:net';
import { type Environment } from '@marcbachmann/cel-js';
import { registerSpace, type FunctionSpace } from './function-space.ts';

/** An address as a number. */
class IpValue {
  readonly text: string;
  readonly family: 4 | 6;
  readonly number: bigint;

  constructor(text: string) {
    const family = isIP(text);
    // An IPv4 address in IPv6 clothes and zones are none, as upstream.
    if ((family !== 4 && family !== 6) || /%|^::ffff:\d+\./iu.test(text))
      throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
    this.family = family;
    this.text = family === 4 ? text : new SocketAddress({ address: text, family: 'ipv6' }).address;
    this.number = family === 4 ? ipv4Number(text) : ipv6Number(this.text);
  }
}

function ipv4Number(text: string): bigint {
  return text.split('.').reduce((number, part) => number * 256n + BigInt(part), 0n);
}

function ipv6Number(text: string): bigint {
  const dotted = /(\d+\.\d+\.\d+\.\d+)$/u.exec(text)?.[1];
  const plain =
    dotted === undefined
      ? text
      : text.slice(0, -dotted.length) +
        [ipv4Number(dotted) >> 16n, ipv4Number(dotted) & 0xffffn].map((part) => part.toString(16)).join(':');
  const [head = '', tail] = plain.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((number, part) => number * 65_536n + BigInt(`0x${part}`), 0n);
}

class CidrValue {
  readonly ip: IpValue;
  readonly prefixLength: number;

  constructor(text: string) {
    const [address = '', length = '', ...rest] = text.split('/');
    const isNumber = /^\d{1,3}$/u.test(length) && rest.length === 0;
    if (!isNumber) throw new Error(`network address parse error during conversion from string: ${text}`);
    this.ip = new IpValue(address);
    this.prefixLength = Number(length);
    if (this.prefixLength > this.bits)
      throw new Error(`network address parse error during conversion from string: ${text}`);
  }

  get bits(): number {
    return this.ip.family === 4 ? 32 : 128;
  }

  contains(ip: IpValue): boolean {
    const shift = BigInt(this.bits - this.prefixLength);
    return ip.family === this.ip.family && ip.number >> shift === this.ip.number >> shift;
  }

  masked(): CidrValue {
    const shift = BigInt(this.bits - this.prefixLength);
    const number = (this.ip.number >> shift) << shift;
    return new CidrValue(`${addressText(number, this.ip.family)}/${this.prefixLength}`);
  }

  toString(): string {
    return `${this.ip.text}/${this.prefixLength}`;
  }
}

function addressText(number: bigint, family: 4 | 6): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

class UrlValue {
  readonly url: URL;
  readonly isAbsolute: boolean;

  constructor(text: string) {
    this.isAbsolute = /^[a-z][a-z0-9+.-]*:/iu.test(text);
    if (!this.isAbsolute && !text.startsWith('/'))
      throw new Error(
        `URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`,
      );
    this.url = new URL(text, 'relative://');
  }
}

const succeeds = (make: () => unknown): boolean => {
  try {
    make();
    return true;
  } catch {
    return false;
  }
};

function within(number: bigint, range: string): boolean {
  const cidr = new CidrValue(range);
  const shift = BigInt(cidr.bits - cidr.prefixLength);
  return number >> shift === cidr.ip.number >> shift;
}

function isIn(ip: IpValue, ranges: { readonly 4: readonly string[]; readonly 6: readonly string[] }): boolean {
  return ranges[ip.family].some((range) => within(ip.number, range));
}

const loopback = { 4: ['127.0.0.0/8'], 6: ['::1/128'] };
const unspecified = { 4: ['0.0.0.0/32'], 6: ['::/128'] };
const linkLocalUnicast = { 4: ['169.254.0.0/16'], 6: ['fe80::/10'] };
const linkLocalMulticast = { 4: ['224.0.0.0/24'], 6: ['ff02::/16'] };
const multicast = { 4: ['224.0.0.0/4'], 6: ['ff00::/8'] };
const broadcast = { 4: ['255.255.255.255/32'], 6: [] };

export function registerNetworkFunctions(environment: Environment): void {
  environment
    .registerType('net.IP', { ctor: IpValue, fields: {} })
    .registerType('net.CIDR', { ctor: CidrValue, fields: {} })
    .registerType('kubernetes.URL', { ctor: UrlValue, fields: {} });
  registerSpace(environment, 'ip', 'kubernetes.IPFunctions');
  registerAddresses(environment);
  registerUrls(environment);
}

function registerAddresses(environment: Environment): void {
  environment
    .registerFunction('ip(string): net.IP', (text: string) => new IpValue(text))
    .registerFunction('isIP(string): bool', (text: string) => succeeds(() => new IpValue(text)))
    .registerFunction(
      'kubernetes.IPFunctions.isCanonical(string): bool',
      (_space: FunctionSpace, text: string) => new IpValue(text).text === text,
    )
    .registerFunction('string(net.IP): string', (ip: IpValue) => ip.text)
    .registerFunction('net.IP.family(): int', (ip: IpValue) => BigInt(ip.family))
    .registerFunction('net.IP.isUnspecified(): bool', (ip: IpValue) => isIn(ip, unspecified))
    .registerFunction('net.IP.isLoopback(): bool', (ip: IpValue) => isIn(ip, loopback))
    .registerFunction('net.IP.isLinkLocalMulticast(): bool', (ip: IpValue) => isIn(ip, linkLocalMulticast))
    .registerFunction('net.IP.isLinkLocalUnicast(): bool', (ip: IpValue) => isIn(ip, linkLocalUnicast))
    .registerFunction(
      'net.IP.isGlobalUnicast(): bool',
      (ip: IpValue) =>
        ![loopback, unspecified, linkLocalUnicast, multicast, broadcast].some((ranges) => isIn(ip, ranges)),
    )
    .registerOperator('net.IP == net.IP', (a: IpValue, b: IpValue) => a.family === b.family && a.number === b.number)
    .registerFunction('cidr(string): net.CIDR', (text: string) => new CidrValue(text))
    .registerFunction('isCIDR(string): bool', (text: string) => succeeds(() => new CidrValue(text)))
    .registerFunction('string(net.CIDR): string', (cidr: CidrValue) => cidr.toString())
    .registerFunction('net.CIDR.ip(): net.IP', (cidr: CidrValue) => cidr.ip)
    .registerFunction('net.CIDR.prefixLength(): int', (cidr: CidrValue) => BigInt(cidr.prefixLength))
    .registerFunction('net.CIDR.masked(): net.CIDR', (cidr: CidrValue) => cidr.masked())
    .registerFunction('net.CIDR.containsIP(string): bool', (cidr: CidrValue, text: string) =>
      cidr.contains(new IpValue(text)),
    )
    .registerFunction('net.CIDR.containsIP(net.IP): bool', (cidr: CidrValue, ip: IpValue) => cidr.contains(ip))
    .registerFunction('net.CIDR.containsCIDR(string): bool', (cidr: CidrValue, text: string) =>
      containsRange(cidr, new CidrValue(text)),
    )
    .registerFunction('net.CIDR.containsCIDR(net.CIDR): bool', containsRange)
    .registerOperator('net.CIDR == net.CIDR', (a: CidrValue, b: CidrValue) => a.toString() === b.toString());
}

function containsRange(outer: CidrValue, inner: CidrValue): boolean {
  return inner.prefixLength >= outer.prefixLength && outer.contains(inner.ip);
}

function registerUrls(environment: Environment): void {
  const part =
    (read: (url: URL) => unknown) =>
    ({ url, isAbsolute }: UrlValue): unknown =>
      isAbsolute ? read(url) : '';
  environment
    .registerFunction('url(string): kubernetes.URL', (text: string) => new UrlValue(text))
    .registerFunction('isURL(string): bool', (text: string) => succeeds(() => new UrlValue(text)))
    .registerFunction(
      'kubernetes.URL.getScheme(): string',
      part((url) => url.protocol.replace(/:$/u, '')),
    )
    .registerFunction(
      'kubernetes.URL.getHost(): string',
      part((url) => url.host),
    )
    .registerFunction(
      'kubernetes.URL.getHostname(): string',
      part((url) => url.hostname.replaceAll(/^\[|\]$/gu, '')),
    )
    .registerFunction(
      'kubernetes.URL.getPort(): string',
      part((url) => url.port),
    )
    .registerFunction('kubernetes.URL.getEscapedPath(): string', ({ url }: UrlValue) => url.pathname)
    .registerFunction('kubernetes.URL.getQuery(): map<string, list<string>>', ({ url }: UrlValue) => {
      const query: Record<string, string[]> = {};
      for (const [name, value] of url.searchParams) (query[name] ??= []).push(value);
      return query;
    })
    .registerOperator('kubernetes.URL == kubernetes.URL', (a: UrlValue, b: UrlValue) => a.url.href === b.url.href);
}
