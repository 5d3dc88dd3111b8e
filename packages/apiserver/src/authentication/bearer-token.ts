import type { IncomingMessage } from 'node:http';

/** The token of `Authorization: Bearer TOKEN`, or undefined. */
export function bearerToken(request: IncomingMessage): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined) return undefined;
  const match = /^bearer +(\S+) *$/iu.exec(header);
  return match?.[1];
}
