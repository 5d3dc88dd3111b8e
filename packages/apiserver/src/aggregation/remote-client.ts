/** Connections to extension API servers, in this server's own name or for those who ask it. */
import { rootCertificates, type ConnectionOptions } from 'node:tls';
import type { APIService } from '@naru/api';
import { Agent } from 'undici';
import type { UserInfo } from '../authentication/authenticator.ts';
import { remoteServiceOf } from './api-services.ts';

/** `--proxy-client-cert-file`, `--proxy-client-key-file`: by which extension servers know this one. */
export interface ProxyClientCertificate {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const CONNECT_TIMEOUT_MS = 30_000;

/** The server itself, as upstream's aggregator calls itself. */
export const aggregatorUser: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] };

/** How the APIService's server is known. */
export function tlsOf(apiService: APIService, own: ProxyClientCertificate): ConnectionOptions {
  const { caBundle = '', insecureSkipTLSVerify = false } = apiService.spec ?? {};
  const { namespace = '', name = '' } = remoteServiceOf(apiService) ?? {};
  const { cert, key } = own;
  return {
    servername: `${name}.${namespace}.svc`,
    ca: caBundle === '' ? [...rootCertificates] : Buffer.from(caBundle, 'base64').toString(),
    rejectUnauthorized: !insecureSkipTLSVerify,
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

export function newAgent(tls: ConnectionOptions): Agent {
  return new Agent({
    connect: { ...tls, timeout: CONNECT_TIMEOUT_MS } as NonNullable<Agent.Options['connect']>,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

/** What of a key may stand in a header's name as it is; the rest is escaped, with capitals, which headers do not keep. */
const tokenCharacter = /^[!#$&'*+\-.^_`|~0-9a-z]$/u;

function escapeHeaderKey(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return tokenCharacter.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

/** Tells an extension server who asks. */
export function userHeaders({ name, uid = '', groups, extra }: UserInfo): Record<string, string[]> {
  const headers: Record<string, string[]> = { 'X-Remote-User': [name] };
  if (uid !== '') headers['X-Remote-Uid'] = [uid];
  if (groups.length > 0) headers['X-Remote-Group'] = [...groups];
  for (const [key, values] of Object.entries(extra ?? {}))
    headers[`X-Remote-Extra-${escapeHeaderKey(key)}`] = [...values];
  return headers;
}

export function originOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
