/** A dotted quad as a number, or undefined. */
export function parseIPv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^\d{1,3}$/u.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatIPv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** First and last address of an IPv4 CIDR such as 127.2.1.0/24, or undefined. */
export function parseCIDR(text: string): { readonly first: number; readonly last: number } | undefined {
  const [address = '', bits = '', rest] = text.split('/');
  const value = parseIPv4(address);
  const length = Number(bits);
  if (value === undefined || rest !== undefined || !/^\d{1,2}$/u.test(bits) || length > 32) return undefined;
  const size = 2 ** (32 - length);
  const first = Math.floor(value / size) * size;
  return { first, last: first + size - 1 };
}
