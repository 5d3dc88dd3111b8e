import { UsageError } from '@naru/component';
import type { IncomingMessage } from 'node:http';
import type { Authenticator, UserInfo } from './authenticator.ts';
import { bearerToken } from './bearer-token.ts';

/**
 * Parses `--token-auth-file`: CSV lines of token, user, uid and optionally quoted, comma-separated groups.
 * @throws UsageError that names the line.
 */
export function parseTokenFile(text: string): ReadonlyMap<string, UserInfo> {
  const users = new Map<string, UserInfo>();
  for (const [index, line] of text.split(/\r?\n/u).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const fields = parseCsvLine(line);
    const [token = '', name = '', uid = '', groups = ''] = fields;
    if (fields.length < 3 || token === '')
      throw new UsageError(`token-auth-file: line ${index + 1} must have at least token, user name and user uid`);
    users.set(token, { name, uid, groups: groups === '' ? [] : groups.split(',').map((each) => each.trim()) });
  }
  return users;
}

function parseCsvLine(line: string): string[] {
  const fields: string[] = [];
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/gu))
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim());
  return fields;
}

/** Static bearer tokens. */
export class TokenFileAuthenticator implements Authenticator {
  readonly #users: ReadonlyMap<string, UserInfo>;

  constructor(users: ReadonlyMap<string, UserInfo>) {
    this.#users = users;
  }

  authenticate(request: IncomingMessage): Promise<UserInfo | undefined> {
    const token = bearerToken(request);
    return Promise.resolve(token === undefined ? undefined : this.#users.get(token));
  }

  /** For TokenReview. */
  authenticateToken(token: string): UserInfo | undefined {
    return this.#users.get(token);
  }
}
