import { applyJsonPatch, equalJson, mutatingWebhookConfigurations, newInternalError, type JsonObject } from '@naru/api';
import type { AdmissionAttributes, AdmissionStore } from '../admission.ts';
import { imageOf, type DynamicMutation } from '../reinvocation.ts';
import { acceptObject } from './accept-object.ts';
import { isExempt } from './match-resources.ts';
import { acceptVersioned } from './versioned-attributes.ts';
import { callWebhook, webhookAttributes, type CompiledWebhook, type WebhookCallOptions } from './webhook-call.ts';
import { WebhookSource } from './webhook-source.ts';

/**
 * Asks the webhooks of MutatingWebhookConfigurations, one after another. Those that want it are asked again when the object
 * was changed after they saw it.
 */
export function mutatingWebhooks(options: WebhookCallOptions): DynamicMutation {
  const source = new WebhookSource(mutatingWebhookConfigurations);
  return {
    name: 'MutatingAdmissionWebhook',
    handles: (_operation, resource) => !isExempt(resource),
    async begin(attributes, store) {
      const webhooks = source.list(store);
      const seen = new Map<CompiledWebhook, string>();
      let changed = false;
      for (const webhook of webhooks) changed = (await ask(webhook, attributes, store, seen)) || changed;
      return {
        changed,
        async again() {
          for (const webhook of webhooks) {
            const before = seen.get(webhook);
            const isAskedAgain = before !== undefined && webhook.webhook.reinvocationPolicy === 'IfNeeded';
            if (isAskedAgain && before !== imageOf(attributes)) await ask(webhook, attributes, store, seen);
          }
        },
      };
    },
  };

  /** Whether the webhook changed the object. */
  async function ask(
    webhook: CompiledWebhook,
    attributes: AdmissionAttributes,
    store: AdmissionStore,
    seen: Map<CompiledWebhook, string>,
  ): Promise<boolean> {
    const versioned = await webhookAttributes(webhook, attributes, { ...options, store });
    if (versioned === undefined) return false;
    const response = await callWebhook(webhook, versioned, { ...options, store });
    const changed = patchObject(webhook.webhook.name, versioned, response);
    if (changed) await acceptVersioned(attributes, versioned);
    seen.set(webhook, imageOf(attributes));
    return changed;
  }
}

function patchObject(
  name: string,
  attributes: AdmissionAttributes,
  response: { readonly patch?: string; readonly patchType?: string } | undefined,
): boolean {
  const { object } = attributes;
  if (response?.patch === undefined || response.patch === '' || object === undefined) return false;
  if (response.patchType !== undefined && response.patchType !== 'JSONPatch')
    throw newInternalError(`admission webhook ${JSON.stringify(name)}: webhook returned an unsupported patchType`);
  let patched: JsonObject;
  try {
    const patch = JSON.parse(Buffer.from(response.patch, 'base64').toString()) as unknown;
    patched = applyJsonPatch(object, patch);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw newInternalError(why, { cause: error });
  }
  if (equalJson(patched, object)) return false;
  acceptObject(attributes, patched);
  return true;
}
