/** Addresses as text. */

export function isIPv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((each) => /^(0|[1-9]\d{0,2})$/u.test(each) && Number(each) <= 255);
}

export function isIPv6(text: string): boolean {
  if (!text.includes(':') || /[^0-9a-f:.]/iu.test(text)) return false;
  return URL.canParse(`http://[${text}]/`);
}
