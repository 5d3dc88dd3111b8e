import { newUnauthorized } from '@naru/api';
import type { IncomingMessage } from 'node:http';
import type { Authenticator, UserInfo } from './authenticator.ts';
import { bearerToken } from './bearer-token.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { RequestHeaderAuthenticator, type RequestHeaderOptions } from './request-header-authenticator.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { TokenFileAuthenticator } from './token-file-authenticator.ts';
import { X509Authenticator } from './x509-authenticator.ts';

export interface AuthenticationOptions {
  /** Whether the server asks for client certificates (`--client-ca-file`). */
  readonly clientCertificates: boolean;
  /** Of client certificates, where TLS accepts those of front proxies, too. */
  readonly clientAuthority?: CertificateAuthority;
  /** Front proxies; without it none is believed. */
  readonly requestHeader?: RequestHeaderOptions;
  /** Whether callers without credentials are anonymous, or on which paths; default: on health and version paths. */
  readonly anonymous?: boolean | readonly string[] | undefined;
  /** Users by token: `parseTokenFile` of `--token-auth-file`. */
  readonly tokens?: ReadonlyMap<string, UserInfo>;
  /** Keys and issuer of ServiceAccount tokens; without it none is accepted. */
  readonly serviceAccounts?: ServiceAccountTokens;
  /** Asked in this order after those. */
  readonly others?: readonly TokenAuthenticator[];
}

/** Knows tokens of one kind: the user of a good one, or undefined. */
export interface TokenAuthenticator {
  authenticateToken(token: string, audiences: readonly string[]): Promise<UserInfo | undefined> | UserInfo | undefined;
}

/** Authenticates requests and bare tokens (TokenReview) by every configured method. */
export interface ClusterAuthenticator extends Authenticator {
  authenticateToken(token: string, audiences: readonly string[]): Promise<UserInfo | undefined>;
}

const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
/** What callers without any credentials may reach: health and version. */
const anonymousPaths = /^\/(healthz|livez|readyz|version)(\/.*)?$/u;

/**
 * The union of all methods. A caller whom none knows is 401, except without credentials on health and version paths.
 * @throws (its authenticate) StatusError Unauthorized.
 */
export function createAuthenticator(options: AuthenticationOptions): ClusterAuthenticator {
  return new UnionAuthenticator(options);
}

class UnionAuthenticator implements ClusterAuthenticator {
  readonly #requestHeader: RequestHeaderAuthenticator | undefined;
  readonly #anonymous: AuthenticationOptions['anonymous'];
  readonly #x509: X509Authenticator | undefined;
  readonly #tokenFile: TokenFileAuthenticator | undefined;
  readonly #serviceAccounts: ServiceAccountTokens | undefined;
  readonly #others: readonly TokenAuthenticator[];

  constructor(options: AuthenticationOptions) {
    const { clientCertificates, clientAuthority, requestHeader, tokens, serviceAccounts } = options;
    this.#requestHeader = requestHeader === undefined ? undefined : new RequestHeaderAuthenticator(requestHeader);
    this.#anonymous = options.anonymous;
    this.#x509 = clientCertificates ? new X509Authenticator(clientAuthority) : undefined;
    this.#tokenFile = tokens === undefined ? undefined : new TokenFileAuthenticator(tokens);
    this.#serviceAccounts = serviceAccounts;
    this.#others = options.others ?? [];
  }

  async authenticate(request: IncomingMessage): Promise<UserInfo> {
    const byProxy = await this.#requestHeader?.authenticate(request);
    if (byProxy !== undefined) return authenticated(byProxy);
    const byCertificate = await this.#x509?.authenticate(request);
    if (byCertificate !== undefined) return authenticated(byCertificate);
    const token = bearerToken(request);
    if (token !== undefined) {
      const user = await this.authenticateToken(token, []);
      if (user === undefined) throw newUnauthorized();
      return user;
    }
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    if (request.headers.authorization === undefined && this.#mayBeAnonymous(path)) return anonymous;
    throw newUnauthorized();
  }

  #mayBeAnonymous(path: string): boolean {
    const configured = this.#anonymous ?? anonymousPaths.test(path);
    return typeof configured === 'boolean' ? configured : configured.includes(path);
  }

  async authenticateToken(token: string, audiences: readonly string[]): Promise<UserInfo | undefined> {
    let user =
      this.#tokenFile?.authenticateToken(token) ?? (await this.#serviceAccounts?.authenticate(token, audiences));
    for (const other of this.#others) {
      if (user !== undefined) break;
      user = await other.authenticateToken(token, audiences);
    }
    return user === undefined ? undefined : authenticated(user);
  }
}

function authenticated(user: UserInfo): UserInfo {
  return user.groups.includes('system:authenticated')
    ? user
    : { ...user, groups: [...user.groups, 'system:authenticated'] };
}
