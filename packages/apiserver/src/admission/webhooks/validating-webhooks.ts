import { validatingWebhookConfigurations } from '@naru/api';
import type { AdmissionPlugin } from '../admission.ts';
import { isExempt } from './match-resources.ts';
import { callWebhook, webhookVersion, type WebhookCallOptions } from './webhook-call.ts';
import { WebhookSource } from './webhook-source.ts';

/** Asks the webhooks of ValidatingWebhookConfigurations, all at once; each can refuse. */
export function validatingWebhooks(options: WebhookCallOptions): AdmissionPlugin {
  const source = new WebhookSource(validatingWebhookConfigurations);
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: (_operation, resource) => !isExempt(resource),
    async validate(attributes, store) {
      const asked = source.list(store).flatMap((webhook) => {
        const version = webhookVersion(webhook, attributes, { ...options, store });
        return version === undefined ? [] : [{ webhook, version }];
      });
      if (asked.length === 0) return;
      const results = await Promise.allSettled(
        asked.map(async ({ webhook, version }) => callWebhook(webhook, attributes, { ...options, store, version })),
      );
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
  };
}
