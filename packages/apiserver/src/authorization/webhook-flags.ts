import { UsageError, type FlagTable, type FlagValues } from '@naru/component';
import { readReviewWebhookConfig } from '../review-webhook.ts';
import type { WebhookAuthorizerOptions } from './webhook-authorizer.ts';

export const authorizationWebhookFlags = {
  'authorization-webhook-config-file': {
    type: 'string',
    default: '',
    description: 'File in kubeconfig format with the service that is asked who may do what (SubjectAccessReview).',
  },
  'authorization-webhook-version': {
    type: 'string',
    default: 'v1beta1',
    values: ['v1', 'v1beta1'],
    description: 'Version of SubjectAccessReview that is sent.',
  },
  'authorization-webhook-cache-authorized-ttl': {
    type: 'duration',
    default: 300_000,
    description: 'How long its permissions are good.',
  },
  'authorization-webhook-cache-unauthorized-ttl': {
    type: 'duration',
    default: 30_000,
    description: 'How long its refusals are good.',
  },
} as const satisfies FlagTable;

/** Undefined: no webhook is asked. @throws UsageError with the flag's name. */
export async function readAuthorizationWebhook(
  flags: FlagValues<typeof authorizationWebhookFlags>,
  modes: readonly string[],
): Promise<WebhookAuthorizerOptions | undefined> {
  const file = flags['authorization-webhook-config-file'];
  if (modes.includes('ABAC'))
    throw new UsageError('--authorization-mode: ABAC is not supported; RBAC can say all that its policies say');
  if (!modes.includes('Webhook')) {
    if (file === '') return undefined;
    throw new UsageError('cannot specify --authorization-webhook-config-file without mode Webhook');
  }
  if (file === '') throw new UsageError("authorization-mode Webhook's authorization config file not passed");
  return {
    webhook: await readReviewWebhookConfig('authorization-webhook-config-file', file),
    version: flags['authorization-webhook-version'],
    authorizedTtlMs: flags['authorization-webhook-cache-authorized-ttl'],
    unauthorizedTtlMs: flags['authorization-webhook-cache-unauthorized-ttl'],
  };
}
