import { parseDuration, UsageError } from '@naru/component';
import { isSignMethod, type SignMethod } from './server/signed-tokens.ts';

/** What --auth-token says: etcd's simple tokens, or JWTs with keys in files. */
export type AuthTokenFlag =
  | { readonly type: 'simple' }
  | {
      readonly type: 'jwt';
      readonly method: SignMethod;
      readonly publicKeyFile: string | undefined;
      readonly privateKeyFile: string | undefined;
      readonly ttlSeconds: number;
    };

const JWT_TTL_MS_DEFAULT = 300_000;

/** `simple`, or `jwt,sign-method=M[,pub-key=FILE][,priv-key=FILE][,ttl=DURATION]`. @throws UsageError that names the flag */
export function parseAuthToken(text: string): AuthTokenFlag {
  const [type, ...options] = text.split(',');
  const bad = (why: string): UsageError =>
    new UsageError(`invalid argument ${JSON.stringify(text)} for "--auth-token" flag: ${why}`);
  if (type === 'simple' && options.length === 0) return { type };
  if (type !== 'jwt') throw bad('must be simple or jwt,OPTION=VALUE…');
  const values = new Map<string, string>();
  for (const option of options) {
    const [, name, value] = /^(sign-method|pub-key|priv-key|ttl)=(.+)$/u.exec(option) ?? [];
    if (name === undefined || value === undefined) throw bad(`unknown option ${JSON.stringify(option)}`);
    values.set(name, value);
  }
  const method = values.get('sign-method') ?? '';
  if (!isSignMethod(method)) throw bad('sign-method must be one of etcd’s, such as RS256, ES256 or HS256');
  const publicKeyFile = values.get('pub-key');
  const privateKeyFile = values.get('priv-key');
  if (publicKeyFile === undefined && privateKeyFile === undefined) throw bad('needs pub-key or priv-key');
  const ttl = values.get('ttl');
  const ttlMs = ttl === undefined ? JWT_TTL_MS_DEFAULT : parseDuration(ttl);
  if (ttlMs === undefined || ttlMs < 1000) throw bad('ttl must be a duration of at least 1s');
  return { type, method, publicKeyFile, privateKeyFile, ttlSeconds: Math.floor(ttlMs / 1000) };
}
