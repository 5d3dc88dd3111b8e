import { validatingWebhookConfigurations } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin } from '../admission.ts';
import { isExempt } from './match-resources.ts';
import { callWebhook, webhookAttributes, type CompiledWebhook, type WebhookCallOptions } from './webhook-call.ts';
import { WebhookSource } from './webhook-source.ts';

/** Asks the webhooks of ValidatingWebhookConfigurations, all at once; each can refuse. */
export function validatingWebhooks(options: WebhookCallOptions): AdmissionPlugin {
  const source = new WebhookSource(validatingWebhookConfigurations);
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: (_operation, resource) => !isExempt(resource),
    async validate(attributes, store) {
      const webhooks = source.list(store);
      if (webhooks.length === 0) return;
      // Whether each is to be asked, before any is.
      const asked: { webhook: CompiledWebhook; versioned: AdmissionAttributes }[] = [];
      for (const webhook of webhooks) {
        const versioned = await webhookAttributes(webhook, attributes, { ...options, store });
        if (versioned !== undefined) asked.push({ webhook, versioned });
      }
      const results = await Promise.allSettled(
        asked.map(async ({ webhook, versioned }) => callWebhook(webhook, versioned, { ...options, store })),
      );
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
  };
}
