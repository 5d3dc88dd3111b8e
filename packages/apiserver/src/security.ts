/** Authentication, authorization and admission, as the flags want them. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { UsageError, type Clock, type Logger } from '@naru/component';
import type { AdmissionPlugin, AdmissionStore } from './admission/admission.ts';
import { createAdmissionPlugins } from './admission/admission-plugins.ts';
import type { WebhookClient } from './admission/webhooks/webhook-client.ts';
import { parseAuthenticationConfig } from './authentication/authentication-config.ts';
import type { UserInfo } from './authentication/authenticator.ts';
import { BootstrapTokenAuthenticator } from './authentication/bootstrap-token-authenticator.ts';
import { CertificateAuthority } from './authentication/certificate-authority.ts';
import {
  createAuthenticator,
  type AuthenticationOptions,
  type ClusterAuthenticator,
  type TokenAuthenticator,
} from './authentication/cluster-authenticator.ts';
import { issuerDiscovery, type IssuerDiscovery } from './authentication/issuer-discovery.ts';
import { OidcAuthenticator, type OidcOptions } from './authentication/oidc-authenticator.ts';
import { ServiceAccountTokens } from './authentication/service-account-tokens.ts';
import { parseTokenFile } from './authentication/token-file-authenticator.ts';
import { WebhookTokenAuthenticator } from './authentication/webhook-token-authenticator.ts';
import { parseAuthorizationConfig, type AuthorizerConfig } from './authorization/authorization-config.ts';
import { createAuthorizer, localModes, type ObservingAuthorizer } from './authorization/cluster-authorizer.ts';
import { WebhookAuthorizer } from './authorization/webhook-authorizer.ts';
import type { ApiserverConfig } from './config.ts';
import { followFile } from './configuration-file.ts';
import { createReviewResources } from './registry/review-resources.ts';
import { createTokenRequest } from './registry/token-request.ts';
import type { VirtualResource, VirtualSubresource } from './registry/virtual-resource.ts';

export interface SecurityOptions {
  readonly config: ApiserverConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** What can be made before there are caches. @throws UsageError. */
export function createAccessControl(
  options: SecurityOptions,
  webhooks: WebhookClient,
): {
  readonly authorizer: ObservingAuthorizer;
  readonly admission: readonly AdmissionPlugin[];
  /** Follows the files that say it, until the signal aborts. */
  readonly follow: (signal: AbortSignal) => Promise<void>;
} {
  const { config, clock, random } = options;
  const make = (authorizers: readonly AuthorizerConfig[]): Parameters<ObservingAuthorizer['use']>[0] =>
    authorizers.map((each) => (typeof each === 'string' ? each : new WebhookAuthorizer(each, options)));
  const authorizer = createAuthorizer({ modes: make(authorizersOf(config)) });
  const admission = createAdmissionPlugins({
    authorizer,
    enable: config.enableAdmissionPlugins,
    disable: config.disableAdmissionPlugins,
    config: config.admissionConfig,
    mountServiceAccountTokens: config.serviceAccounts.signingKey !== undefined,
    webhooks,
    clock,
    random,
  });
  const follow = async (signal: AbortSignal): Promise<void> => {
    const file = config.authorizationConfig;
    if (file === undefined) return;
    const apply = async (text: string): Promise<void> => {
      const authorizers = await parseAuthorizationConfig(text);
      for (const mode of ['Node', 'RBAC'] as const)
        if (authorizers.includes(mode) !== file.authorizers.includes(mode))
          throw new UsageError(`--authorization-config: ${mode} cannot be added or removed by a reload`);
      authorizer.use(make(authorizers));
    };
    await followFile(file, { ...options, apply }, signal);
  };
  return { authorizer, admission, follow };
}

function authorizersOf({ authorizationConfig, ...config }: ApiserverConfig): readonly AuthorizerConfig[] {
  if (authorizationConfig !== undefined) return authorizationConfig.authorizers;
  return config.authorizationModes.flatMap((mode) => {
    if (mode === 'Webhook') return config.authorizationWebhook ?? [];
    const known = localModes.find((each) => each === mode);
    if (known === undefined) throw new UsageError(`--authorization-mode: unknown mode ${JSON.stringify(mode)}`);
    return known;
  });
}

export interface Identity {
  readonly authenticator: ClusterAuthenticator;
  readonly virtualResources: readonly VirtualResource[];
  readonly virtualSubresources: readonly VirtualSubresource[];
  /** Follows the file that says whose tokens are good, until the signal aborts. */
  readonly follow: (signal: AbortSignal) => Promise<void>;
  /** The issuer's metadata, where keys are at the URI unless a flag says otherwise; undefined: there is no issuer. */
  readonly issuerDiscovery: ((jwksUri: string) => IssuerDiscovery) | undefined;
}

/** Who callers are, and the API's answers about that. `store` is where ServiceAccounts are looked up. @throws UsageError. */
export function createIdentity(
  options: SecurityOptions,
  authorizer: ObservingAuthorizer,
  store: AdmissionStore,
): Identity {
  const { config, clock } = options;
  const { issuers, audiences, signingKey, keys } = config.serviceAccounts;
  const signing =
    signingKey === undefined ? undefined : readKey(signingKey, createPrivateKey, 'service-account-signing-key-file');
  const publicKeys = keys.map((key) => readKey(key, createPublicKey, 'service-account-key-file'));
  const [issuer] = issuers;
  const tokens = new ServiceAccountTokens({
    issuers,
    ...(audiences.length === 0 ? {} : { audiences }),
    ...(signing === undefined ? {} : { signingKey: signing }),
    publicKeys,
    store,
    clock,
  });
  const configured = new ConfiguredIssuers(options);
  configured.use(config.authenticationConfig?.jwt ?? []);
  const authenticator = createAuthenticator({
    clientCertificates: config.tls?.clientCa !== undefined,
    ...requestHeaderOf(config),
    anonymous: config.anonymous,
    ...(config.tokens === undefined ? {} : { tokens: parseTokenFile(config.tokens) }),
    ...(issuers.length === 0 ? {} : { serviceAccounts: tokens }),
    others: [configured, ...otherTokens(options, store, tokens.audiences)],
  });
  return {
    authenticator,
    follow: async (signal) => {
      const file = config.authenticationConfig;
      const apply = async (text: string): Promise<void> =>
        await Promise.resolve(configured.use(parseAuthenticationConfig(text, issuers).jwt));
      if (file !== undefined) await followFile(file, { ...options, apply }, signal);
    },
    virtualResources: createReviewResources({ authenticator, authorizer, audiences: tokens.audiences }),
    virtualSubresources: tokens.canSign ? [createTokenRequest({ tokens, store })] : [],
    issuerDiscovery:
      issuer === undefined
        ? undefined
        : (jwksUri) =>
            issuerDiscovery({
              issuer,
              jwksUri: config.serviceAccounts.jwksUri ?? jwksUri,
              publicKeys: [...(signing === undefined ? [] : [createPublicKey(signing)]), ...publicKeys],
            }),
  };
}

/** ID tokens of the issuers of `--authentication-config`. */
class ConfiguredIssuers implements TokenAuthenticator {
  readonly #context: { readonly clock: Clock; readonly logger: Logger };
  #issuers: readonly OidcAuthenticator[] = [];

  constructor(context: { readonly clock: Clock; readonly logger: Logger }) {
    this.#context = context;
  }

  use(issuers: readonly OidcOptions[]): void {
    this.#issuers = issuers.map((each) => new OidcAuthenticator(each, this.#context));
  }

  async authenticateToken(token: string): Promise<UserInfo | undefined> {
    for (const issuer of this.#issuers) {
      const user = await issuer.authenticateToken(token);
      if (user !== undefined) return user;
    }
    return undefined;
  }
}

function otherTokens(
  { config, clock, logger }: SecurityOptions,
  store: AdmissionStore,
  audiences: readonly string[],
): TokenAuthenticator[] {
  const { bootstrap, oidc, webhook } = config.otherTokens;
  const others: TokenAuthenticator[] = [];
  if (bootstrap) others.push(new BootstrapTokenAuthenticator(store, clock));
  if (oidc !== undefined) others.push(new OidcAuthenticator(oidc, { clock, logger }));
  if (webhook !== undefined) others.push(new WebhookTokenAuthenticator({ ...webhook, audiences }, { clock, logger }));
  return others;
}

/** Whom front proxies' and clients' certificates must be of. Where both are of one CA, TLS has asked for it already. */
function requestHeaderOf({ requestHeader, tls }: ApiserverConfig): Partial<AuthenticationOptions> {
  if (requestHeader === undefined) return {};
  const { clientCa, ...headers } = requestHeader;
  const authority = readAuthority(clientCa, 'requestheader-client-ca-file');
  const ownCa = tls?.clientCa;
  return {
    requestHeader: { ...headers, authority },
    ...(ownCa === undefined || ownCa === clientCa ? {} : { clientAuthority: readAuthority(ownCa, 'client-ca-file') }),
  };
}

function readAuthority(pem: string, flag: string): CertificateAuthority {
  try {
    return new CertificateAuthority(pem);
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
}

function readKey(pem: string, read: (pem: string) => KeyObject, flag: string): KeyObject {
  try {
    return read(pem);
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
}
