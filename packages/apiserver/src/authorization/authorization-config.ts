/** `--authorization-config`: an AuthorizationConfiguration, which is read again when it changes. */
import { CelError, compileCel } from '../cel/cel-program.ts';
import { celEnvironment } from '../cel/cel-environment.ts';
import { decodeConfiguration, type ConfigurationFile, type Fields } from '../configuration-file.ts';
import { readReviewWebhookConfig } from '../review-webhook.ts';
import { localModes, type LocalMode } from './cluster-authorizer.ts';
import type { WebhookAuthorizerOptions } from './webhook-authorizer.ts';

export const AUTHORIZATION_CONFIG = 'authorization-config';

export type AuthorizerConfig = LocalMode | WebhookAuthorizerOptions;

export interface AuthorizationConfig extends ConfigurationFile {
  readonly authorizers: readonly AuthorizerConfig[];
}

const TIMEOUT_MAX_MS = 30_000;
const DEFAULT_AUTHORIZED_TTL_MS = 300_000;
const DEFAULT_UNAUTHORIZED_TTL_MS = 30_000;

/** Files that it names are read, too. @throws UsageError with the place of what is wrong. */
export async function parseAuthorizationConfig(text: string): Promise<readonly AuthorizerConfig[]> {
  const configuration = decodeConfiguration(text, {
    flag: AUTHORIZATION_CONFIG,
    kind: 'AuthorizationConfiguration',
    apiVersions: ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1beta1'],
  }).only('kind', 'apiVersion', 'authorizers');
  const all: AuthorizerConfig[] = [];
  const names = new Set<string>();
  for (const fields of configuration.list('authorizers')) {
    fields.only('type', 'name', 'webhook');
    const type = fields.oneOf('type', [...localModes, 'Webhook']);
    const name = fields.required('name');
    if (names.has(name)) throw fields.invalid('name', `Duplicate value: ${JSON.stringify(name)}`);
    names.add(name);
    const webhook = fields.object('webhook');
    if (type === 'Webhook') {
      if (webhook === undefined) throw fields.invalid('webhook', 'Required value: required when type=Webhook');
      all.push(await readWebhook(webhook));
    } else {
      if (webhook !== undefined)
        throw fields.invalid('webhook', 'Invalid value: may only be specified when type=Webhook');
      if (all.includes(type)) throw fields.invalid('type', `Duplicate value: ${JSON.stringify(type)}`);
      all.push(type);
    }
  }
  if (all.length === 0)
    throw configuration.invalid('authorizers', 'Required value: at least one authorization mode must be defined');
  return all;
}

async function readWebhook(fields: Fields): Promise<WebhookAuthorizerOptions> {
  fields.only(
    'authorizedTTL',
    'cacheAuthorizedRequests',
    'unauthorizedTTL',
    'cacheUnauthorizedRequests',
    'timeout',
    'subjectAccessReviewVersion',
    'matchConditionSubjectAccessReviewVersion',
    'failurePolicy',
    'connectionInfo',
    'matchConditions',
  );
  const timeoutMs = fields.duration('timeout');
  if (timeoutMs <= 0 || timeoutMs > TIMEOUT_MAX_MS)
    throw fields.invalid('timeout', `Invalid value: must be > 0s and <= ${TIMEOUT_MAX_MS / 1000}s`);
  const ttl = (name: string, cache: string, fallbackMs: number): number => {
    const ms = fields.duration(name, fallbackMs);
    if (ms <= 0) throw fields.invalid(name, 'Invalid value: must be > 0s');
    return fields.boolean(cache, true) ? ms : 0;
  };
  const matched = fields.list('matchConditions');
  if (matched.length > 0) fields.oneOf('matchConditionSubjectAccessReviewVersion', ['v1']);
  return {
    version: fields.oneOf('subjectAccessReviewVersion', ['v1', 'v1beta1']),
    timeoutMs,
    failurePolicy: fields.oneOf('failurePolicy', ['NoOpinion', 'Deny']),
    authorizedTtlMs: ttl('authorizedTTL', 'cacheAuthorizedRequests', DEFAULT_AUTHORIZED_TTL_MS),
    unauthorizedTtlMs: ttl('unauthorizedTTL', 'cacheUnauthorizedRequests', DEFAULT_UNAUTHORIZED_TTL_MS),
    conditions: matched.map(readCondition),
    webhook: await readConnection(fields),
  };
}

async function readConnection(fields: Fields): Promise<WebhookAuthorizerOptions['webhook']> {
  const connection = fields.object('connectionInfo');
  if (connection === undefined) throw fields.invalid('connectionInfo', 'Required value');
  connection.only('type', 'kubeConfigFile').oneOf('type', ['KubeConfigFile']);
  return await readReviewWebhookConfig(AUTHORIZATION_CONFIG, connection.required('kubeConfigFile'));
}

function readCondition(fields: Fields): NonNullable<WebhookAuthorizerOptions['conditions']>[number] {
  const expression = fields.only('expression').required('expression');
  try {
    // Upstream's message names the expression, as it has no other name.
    return { name: expression, program: compileCel(celEnvironment(['request']), expression, 'bool') };
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    throw fields.invalid('expression', `Invalid value: ${JSON.stringify(expression)}: ${error.message}`);
  }
}
