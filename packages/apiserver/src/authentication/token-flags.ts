/** Flags of tokens that are not ServiceAccounts' and not in a file: bootstrap tokens, OpenID Connect, a webhook. */
import { readFile } from 'node:fs/promises';
import { UsageError, type FlagTable, type FlagValues } from '@naru/component';
import { readReviewWebhookConfig } from '../review-webhook.ts';
import { claimMapping } from './claim-mapping.ts';
import { oidcAlgorithms, type OidcOptions } from './oidc-authenticator.ts';
import type { WebhookTokenOptions } from './webhook-token-authenticator.ts';

export const tokenFlags = {
  'enable-bootstrap-token-auth': {
    type: 'boolean',
    default: false,
    description: 'Accept the tokens of Secrets of type bootstrap.kubernetes.io/token in kube-system.',
  },
  'authentication-config': {
    type: 'string',
    default: '',
    description:
      'File of issuers of ID tokens and of who is anonymous (AuthenticationConfiguration), instead of --oidc-* and --anonymous-auth; issuers are read again when it changes.',
  },
  'oidc-issuer-url': {
    type: 'string',
    default: '',
    description: 'URL of the OpenID issuer whose ID tokens are accepted; https only.',
  },
  'oidc-client-id': { type: 'string', default: '', description: 'Client that ID tokens must be for.' },
  'oidc-username-claim': { type: 'string', default: 'sub', description: "Claim that is the user's name." },
  'oidc-username-prefix': {
    type: 'string',
    default: '',
    description: "What names begin with; default the issuer and '#' for claims other than email; '-': nothing.",
  },
  'oidc-groups-claim': { type: 'string', default: '', description: "Claim that is the user's groups." },
  'oidc-groups-prefix': { type: 'string', default: '', description: 'What groups begin with.' },
  'oidc-required-claim': {
    type: 'list',
    default: [],
    description: 'Claims that ID tokens must have, as KEY=VALUE.',
  },
  'oidc-signing-algs': {
    type: 'list',
    default: ['RS256'],
    description: `Algorithms of ID tokens' signatures: ${oidcAlgorithms.join(', ')}.`,
  },
  'oidc-ca-file': { type: 'string', default: '', description: "CA of the issuer's certificate; default the system's." },
  'authentication-token-webhook-config-file': {
    type: 'string',
    default: '',
    description: 'File in kubeconfig format with the service that is asked who tokens are of (TokenReview).',
  },
  'authentication-token-webhook-version': {
    type: 'string',
    default: 'v1beta1',
    values: ['v1', 'v1beta1'],
    description: 'Version of TokenReview that is sent.',
  },
  'authentication-token-webhook-cache-ttl': {
    type: 'duration',
    default: 120_000,
    description: 'How long its answers are good.',
  },
} as const satisfies FlagTable;

export interface TokenConfig {
  readonly bootstrap: boolean;
  readonly oidc: OidcOptions | undefined;
  readonly webhook: Omit<WebhookTokenOptions, 'audiences'> | undefined;
}

type Values = FlagValues<typeof tokenFlags>;

/** @throws UsageError with the flag's name. */
export async function readTokenConfig(flags: Values): Promise<TokenConfig> {
  const webhookFile = flags['authentication-token-webhook-config-file'];
  return {
    bootstrap: flags['enable-bootstrap-token-auth'],
    oidc: await readOidc(flags),
    webhook:
      webhookFile === ''
        ? undefined
        : {
            webhook: await readReviewWebhookConfig('authentication-token-webhook-config-file', webhookFile),
            version: flags['authentication-token-webhook-version'],
            cacheTtlMs: flags['authentication-token-webhook-cache-ttl'],
          },
  };
}

async function readOidc(flags: Values): Promise<OidcOptions | undefined> {
  const issuerUrl = flags['oidc-issuer-url'];
  const clientId = flags['oidc-client-id'];
  if ((issuerUrl === '') !== (clientId === ''))
    throw new UsageError('oidc-issuer-url and oidc-client-id must be specified together when any oidc flags are set');
  if (issuerUrl === '') return undefined;
  if (!URL.canParse(issuerUrl) || new URL(issuerUrl).protocol !== 'https:')
    throw new UsageError(`--oidc-issuer-url: ${JSON.stringify(issuerUrl)}: URL scheme must be https`);
  const signingAlgs = flags['oidc-signing-algs'];
  for (const each of signingAlgs)
    if (!oidcAlgorithms.includes(each)) throw new UsageError(`--oidc-signing-algs: unsupported signing alg: ${each}`);
  const claimRules = flags['oidc-required-claim'].map((each) => {
    const at = each.indexOf('=');
    if (at <= 0) throw new UsageError(`--oidc-required-claim: ${JSON.stringify(each)} must be KEY=VALUE`);
    return { claim: each.slice(0, at), requiredValue: each.slice(at + 1) };
  });
  const claim = flags['oidc-username-claim'];
  const given = flags['oidc-username-prefix'];
  const prefix = given === '-' || (given === '' && claim === 'email') ? '' : given === '' ? `${issuerUrl}#` : given;
  const groupsClaim = flags['oidc-groups-claim'];
  const groups = groupsClaim === '' ? undefined : { claim: groupsClaim, prefix: flags['oidc-groups-prefix'] };
  const caFile = flags['oidc-ca-file'];
  const ca =
    caFile === ''
      ? undefined
      : await readFile(caFile, 'utf8').catch((error: Error) => {
          throw new UsageError(`--oidc-ca-file: ${error.message}`);
        });
  return {
    issuerUrl,
    audiences: [clientId],
    mapClaims: claimMapping({
      mappings: { username: { claim, prefix }, groups, extra: [] },
      claimRules,
      userRules: [],
    }),
    signingAlgs,
    ca,
  };
}
