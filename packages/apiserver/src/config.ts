/** From flags to what the server needs: files are read, addresses and ranges checked. */
import { networkInterfaces } from 'node:os';
import { readFile } from 'node:fs/promises';
import { readTlsFiles, UsageError } from '@naru/component';
import { ADMISSION_CONFIG, readAdmissionConfig, type AdmissionConfig } from './admission/admission-config.ts';
import {
  AUTHENTICATION_CONFIG,
  parseAuthenticationConfig,
  type AuthenticationConfig,
} from './authentication/authentication-config.ts';
import { readTokenConfig, type TokenConfig } from './authentication/token-flags.ts';
import {
  AUTHORIZATION_CONFIG,
  parseAuthorizationConfig,
  type AuthorizationConfig,
} from './authorization/authorization-config.ts';
import type { WebhookAuthorizerOptions } from './authorization/webhook-authorizer.ts';
import { readAuthorizationWebhook } from './authorization/webhook-flags.ts';
import type { AuditLogOptions } from './audit/audit-log.ts';
import { parseAuditPolicy, type AuditPolicy } from './audit/audit-policy.ts';
import { readConfigurationFile } from './configuration-file.ts';
import { apiserverFlags, type ApiserverFlags } from './flags.ts';
import { parseEncryptionConfig, type Encryption } from './storage/encryption/encryption-config.ts';
import type { TlsOptions } from './server/http-server.ts';

export interface ApiserverConfig {
  readonly etcdServers: readonly string[];
  readonly etcdTls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  readonly etcdPrefix: string;
  /** Of values in the store. */
  readonly encryption: Encryption | undefined;
  readonly compactionIntervalMs: number;
  readonly eventTtlMs: number;
  readonly bindAddress: string;
  readonly port: number;
  readonly advertiseAddress: string;
  readonly tls: TlsOptions | undefined;
  /** Text of `--token-auth-file`. */
  readonly tokens: string | undefined;
  /** Or on which paths; undefined: on health and version paths only. */
  readonly anonymous: boolean | readonly string[] | undefined;
  readonly authenticationConfig: AuthenticationConfig | undefined;
  /** Undefined: no front proxy is believed. */
  readonly requestHeader:
    | {
        readonly clientCa: string;
        readonly allowedNames: readonly string[];
        readonly usernameHeaders: readonly string[];
        readonly uidHeaders: readonly string[];
        readonly groupHeaders: readonly string[];
        readonly extraHeadersPrefix: readonly string[];
      }
    | undefined;
  /** Tokens other than ServiceAccounts' and those of a file. */
  readonly otherTokens: TokenConfig;
  readonly authorizationModes: readonly string[];
  readonly authorizationWebhook: WebhookAuthorizerOptions | undefined;
  /** Instead of modes and webhook. */
  readonly authorizationConfig: AuthorizationConfig | undefined;
  readonly enableAdmissionPlugins: readonly string[];
  readonly disableAdmissionPlugins: readonly string[];
  readonly admissionConfig: AdmissionConfig | undefined;
  readonly serviceClusterIpRange: string;
  readonly serviceNodePortRange: string;
  readonly serviceAccounts: {
    readonly issuers: readonly string[];
    readonly audiences: readonly string[];
    readonly signingKey: string | undefined;
    readonly keys: readonly string[];
    readonly jwksUri: string | undefined;
  };
  readonly kubelet: {
    readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
    readonly addressTypes: readonly string[];
    readonly connectTimeoutMs: number;
  };
  /** How servers that extend the API are reached, and by what they know this one. */
  readonly aggregator: {
    readonly cert: string | undefined;
    readonly key: string | undefined;
    readonly endpointRouting: boolean;
  };
  /** Undefined: nothing is logged. */
  readonly audit: { readonly policy: AuditPolicy; readonly log: Omit<AuditLogOptions, 'clock' | 'logger'> } | undefined;
  /** Whether requests wait by priority and fairness; without, the two limits count for themselves. */
  readonly priorityAndFairness: boolean;
  readonly maxRequestsInflight: number;
  readonly maxMutatingRequestsInflight: number;
  readonly minRequestTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly shutdownDelayMs: number;
  readonly reconcilesEndpoints: boolean;
}

/** @throws UsageError with the flag's name. */
export async function readConfig(flags: ApiserverFlags): Promise<ApiserverConfig> {
  const etcd = await readFiles('etcd-cafile', async () =>
    readTlsFiles({ ca: flags['etcd-cafile'], cert: flags['etcd-certfile'], key: flags['etcd-keyfile'] }),
  );
  for (const url of flags['etcd-servers'])
    if (!/^https?:\/\/[^/]+/u.test(url))
      throw new UsageError(`invalid argument ${JSON.stringify(url)} for "--etcd-servers" flag: must be a URL`);
  const signingKey = await readOptional('service-account-signing-key-file', flags['service-account-signing-key-file']);
  const keys = await Promise.all(
    flags['service-account-key-file'].map(async (path) => (await readOptional('service-account-key-file', path)) ?? ''),
  );
  const kubeletTls = await readFiles('kubelet-client-certificate', async () =>
    readTlsFiles({
      ca: flags['kubelet-certificate-authority'],
      cert: flags['kubelet-client-certificate'],
      key: flags['kubelet-client-key'],
    }),
  );
  const authenticationConfig = await readAuthenticationConfig(flags);
  const admissionFile = flags[ADMISSION_CONFIG];
  const etcdPrefix = `/${flags['etcd-prefix'].replaceAll(/^\/+|\/+$/gu, '')}`;
  const encryption = await readOptional('encryption-provider-config', flags['encryption-provider-config']);
  return {
    etcdServers: flags['etcd-servers'],
    etcdTls: Object.keys(etcd).length === 0 ? undefined : etcd,
    etcdPrefix,
    encryption: encryption === undefined ? undefined : parseEncryptionConfig(encryption, etcdPrefix),
    compactionIntervalMs: flags['etcd-compaction-interval'],
    eventTtlMs: flags['event-ttl'],
    bindAddress: flags['bind-address'],
    port: flags['secure-port'],
    advertiseAddress: advertiseAddressOf(flags),
    tls: await readServerTls(flags),
    tokens: await readOptional('token-auth-file', flags['token-auth-file']),
    anonymous: authenticationConfig?.anonymous ?? flags['anonymous-auth'],
    authenticationConfig,
    requestHeader: await readRequestHeader(flags),
    otherTokens: await readTokenConfig(flags),
    authorizationModes: flags['authorization-mode'],
    authorizationWebhook: await readAuthorizationWebhook(flags, flags['authorization-mode']),
    authorizationConfig: await readAuthorizationConfig(flags),
    enableAdmissionPlugins: flags['enable-admission-plugins'],
    disableAdmissionPlugins: flags['disable-admission-plugins'],
    admissionConfig: admissionFile === '' ? undefined : await readAdmissionConfig(admissionFile),
    serviceClusterIpRange: flags['service-cluster-ip-range'],
    serviceNodePortRange: flags['service-node-port-range'],
    serviceAccounts: {
      issuers: flags['service-account-issuer'],
      audiences: flags['api-audiences'],
      signingKey,
      keys,
      jwksUri: flags['service-account-jwks-uri'],
    },
    kubelet: {
      tls: kubeletTls,
      addressTypes: flags['kubelet-preferred-address-types'],
      connectTimeoutMs: flags['kubelet-timeout'],
    },
    aggregator: await readAggregator(flags),
    audit: await readAudit(flags),
    priorityAndFairness: priorityAndFairnessOf(flags),
    maxRequestsInflight: flags['max-requests-inflight'],
    maxMutatingRequestsInflight: flags['max-mutating-requests-inflight'],
    minRequestTimeoutMs: flags['min-request-timeout'] * 1000,
    requestTimeoutMs: flags['request-timeout'],
    shutdownDelayMs: flags['shutdown-delay-duration'],
    reconcilesEndpoints: flags['endpoint-reconciler-type'] !== 'none',
  };
}

function priorityAndFairnessOf(flags: ApiserverFlags): boolean {
  const enabled = flags['enable-priority-and-fairness'];
  const [reads, writes] = [flags['max-requests-inflight'], flags['max-mutating-requests-inflight']];
  if (enabled && reads + writes <= 0)
    throw new UsageError(
      `invalid configuration: MaxRequestsInFlight=${reads} and MaxMutatingRequestsInFlight=${writes}; they must add up to something positive`,
    );
  return enabled;
}

async function readAuthenticationConfig(flags: ApiserverFlags): Promise<AuthenticationConfig | undefined> {
  const path = flags[AUTHENTICATION_CONFIG];
  if (path === '') return undefined;
  if (flags['oidc-issuer-url'] !== '' || flags['oidc-client-id'] !== '')
    throw new UsageError('authentication-config file and oidc-* flags are mutually exclusive');
  const file = await readConfigurationFile(AUTHENTICATION_CONFIG, path);
  const settings = parseAuthenticationConfig(file.text, flags['service-account-issuer']);
  if (settings.anonymous !== undefined && flags['anonymous-auth'] !== undefined)
    throw new UsageError(
      '--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file',
    );
  return { ...file, ...settings };
}

async function readAuthorizationConfig(flags: ApiserverFlags): Promise<AuthorizationConfig | undefined> {
  const path = flags[AUTHORIZATION_CONFIG];
  if (path === '') return undefined;
  // A mode that is the default cannot be told from none.
  const isOwn = flags['authorization-mode'].join() !== apiserverFlags['authorization-mode'].default.join();
  if (isOwn || flags['authorization-webhook-config-file'] !== '')
    throw new UsageError(
      '--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined',
    );
  const file = await readConfigurationFile(AUTHORIZATION_CONFIG, path);
  return { ...file, authorizers: await parseAuthorizationConfig(file.text) };
}

async function readAggregator(flags: ApiserverFlags): Promise<ApiserverConfig['aggregator']> {
  const [certFile, keyFile] = ['proxy-client-cert-file', 'proxy-client-key-file'] as const;
  const cert = await readOptional(certFile, flags[certFile]);
  const key = await readOptional(keyFile, flags[keyFile]);
  if ((cert === undefined) !== (key === undefined))
    throw new UsageError(`--${certFile} and --${keyFile} must be given together`);
  return { cert, key, endpointRouting: flags['enable-aggregator-routing'] };
}

async function readAudit(flags: ApiserverFlags): Promise<ApiserverConfig['audit']> {
  const policy = await readOptional('audit-policy-file', flags['audit-policy-file']);
  const path = flags['audit-log-path'];
  if (policy === undefined || path === '') return undefined;
  const log = {
    path,
    maxAgeDays: flags['audit-log-maxage'],
    maxBackups: flags['audit-log-maxbackup'],
    maxSizeMegabytes: flags['audit-log-maxsize'],
  };
  return { policy: parseAuditPolicy(policy), log };
}

async function readServerTls(flags: ApiserverFlags): Promise<TlsOptions | undefined> {
  const cert = await readOptional('tls-cert-file', flags['tls-cert-file']);
  const key = await readOptional('tls-private-key-file', flags['tls-private-key-file']);
  if ((cert === undefined) !== (key === undefined))
    throw new UsageError('--tls-cert-file and --tls-private-key-file must be given together');
  if (cert === undefined || key === undefined) return undefined;
  const [clientCa, requestHeaderCa] = [
    await readOptional('client-ca-file', flags['client-ca-file']),
    await readOptional('requestheader-client-ca-file', flags['requestheader-client-ca-file']),
  ];
  return { cert, key, clientCa, requestHeaderCa };
}

async function readRequestHeader(flags: ApiserverFlags): Promise<ApiserverConfig['requestHeader']> {
  const clientCa = await readOptional('requestheader-client-ca-file', flags['requestheader-client-ca-file']);
  if (clientCa === undefined) return undefined;
  return {
    clientCa,
    allowedNames: flags['requestheader-allowed-names'],
    usernameHeaders: flags['requestheader-username-headers'],
    uidHeaders: flags['requestheader-uid-headers'],
    groupHeaders: flags['requestheader-group-headers'],
    extraHeadersPrefix: flags['requestheader-extra-headers-prefix'],
  };
}

/** The address that others reach this server at: where it listens, or the first that is not loopback. */
function advertiseAddressOf(flags: ApiserverFlags): string {
  if (flags['advertise-address'] !== '') return flags['advertise-address'];
  const bind = flags['bind-address'];
  if (bind !== '0.0.0.0' && bind !== '::') return bind;
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.find((each) => each.family === 'IPv4' && !each.internal)?.address ?? '127.0.0.1';
}

async function readOptional(flag: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined || path === '') return undefined;
  return await readFiles(flag, async () => readFile(path, 'utf8'));
}

async function readFiles<T>(flag: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
}
