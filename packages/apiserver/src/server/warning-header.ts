import type { ServerResponse } from 'node:http';

/**
 * Adds a Warning header that says `text`, in UTF-8 as upstream; what holds control characters cannot be said in a header,
 * and is left out.
 */
export function addWarning(response: ServerResponse, text: string): void {
  if (/\p{Cc}/u.test(text)) return;
  const quoted = text.replaceAll(/["\\]/gu, String.raw`\$&`);
  response.appendHeader('warning', `299 - "${Buffer.from(quoted).toString('latin1')}"`);
}
