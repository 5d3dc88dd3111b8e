import {
  applyJsonPatch,
  equalJson,
  mutatingWebhookConfigurations,
  newInternalError,
  type JsonObject,
  type UnstructuredObject,
} from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from '../admission.ts';
import { strategyFor } from '../../registry/strategies/strategies.ts';
import { checkObject } from '../../server/object-decoder.ts';
import { isExempt } from './match-resources.ts';
import { callWebhook, webhookVersion, type CompiledWebhook, type WebhookCallOptions } from './webhook-call.ts';
import { WebhookSource } from './webhook-source.ts';

export interface MutatingWebhookOptions extends WebhookCallOptions {
  /** Run once more after a change: what they set by the object may have to be set for what is new in it. */
  readonly reinvoked: readonly AdmissionPlugin[];
}

/**
 * Asks the webhooks of MutatingWebhookConfigurations, one after another. Those that want it are asked again when the object
 * was changed after they saw it.
 */
export function mutatingWebhooks(options: MutatingWebhookOptions): AdmissionPlugin {
  const source = new WebhookSource(mutatingWebhookConfigurations);
  return {
    name: 'MutatingAdmissionWebhook',
    handles: (_operation, resource) => !isExempt(resource),
    async admit(attributes, store) {
      const webhooks = source.list(store);
      if (webhooks.length === 0) return;
      const seen = new Map<CompiledWebhook, string>();
      let changed = false;
      for (const webhook of webhooks) changed = (await ask(webhook, attributes, store, seen)) || changed;
      if (!changed) return;
      for (const plugin of options.reinvoked)
        if (plugin.handles(attributes.operation, attributes.resource, attributes.subresource))
          await plugin.admit?.(attributes, store);
      for (const webhook of webhooks) {
        const before = seen.get(webhook);
        const isAskedAgain = before !== undefined && webhook.webhook.reinvocationPolicy === 'IfNeeded';
        if (isAskedAgain && before !== JSON.stringify(attributes.object)) await ask(webhook, attributes, store, seen);
      }
    },
  };

  /** Whether the webhook changed the object. */
  async function ask(
    webhook: CompiledWebhook,
    attributes: AdmissionAttributes,
    store: AdmissionStore,
    seen: Map<CompiledWebhook, string>,
  ): Promise<boolean> {
    const version = webhookVersion(webhook, attributes, { ...options, store });
    if (version === undefined) return false;
    const response = await callWebhook(webhook, attributes, { ...options, store, version });
    const changed = patchObject(webhook.webhook.name, attributes, response);
    seen.set(webhook, JSON.stringify(attributes.object));
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

/** Makes the request's object what a mutation made of it: decoded and with defaults, as if it had come in so. @throws StatusError. */
export function acceptObject({ object, resource, subresource }: AdmissionAttributes, value: JsonObject): void {
  if (object === undefined) return;
  const isMain = subresource === '' || subresource === 'status';
  if (isMain) {
    try {
      checkObject(value, resource, { fieldValidation: 'Ignore', warn: () => undefined });
    } catch (error) {
      throw newInternalError((error as Error).message, { cause: error });
    }
    if (resource.schema === undefined) strategyFor(resource).applyDefaults?.(value as unknown as UnstructuredObject);
  }
  replaceObject(object, value as unknown as UnstructuredObject);
}

/** Makes one object the same as another, in place; its type stays. */
function replaceObject(object: UnstructuredObject, other: UnstructuredObject): void {
  const { kind, apiVersion } = object;
  for (const field of Object.keys(object)) if (!(field in other)) delete object[field];
  Object.assign(object, other, { kind, apiVersion });
}
