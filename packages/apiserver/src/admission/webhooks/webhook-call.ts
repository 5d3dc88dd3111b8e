/** One webhook: is it to be asked, what does it say, what does that mean. */
import { randomUUID } from 'node:crypto';
import {
  namespaces,
  newBadRequest,
  newForbidden,
  newInternalError,
  StatusError,
  type LabelSelector,
  type Status,
} from '@naru/api';
import { AuthorizerValue } from '../../cel/authorizer-functions.ts';
import { CelError } from '../../cel/cel-program.ts';
import { toCel } from '../../cel/cel-values.ts';
import type { Authorizer } from '../../authorization/authorizer.ts';
import type { AdmissionAttributes, AdmissionStore } from '../admission.ts';
import { admissionRequestOf } from './admission-request.ts';
import { compileConditions, conditionsHold, type CompiledCondition, type MatchCondition } from './match-conditions.ts';
import { matchedResource, type Rule } from './match-resources.ts';
import { inVersion } from './versioned-attributes.ts';
import type { WebhookClient, WebhookClientConfig } from './webhook-client.ts';

export interface Webhook {
  readonly name: string;
  readonly clientConfig: WebhookClientConfig;
  readonly rules?: readonly Rule[];
  readonly failurePolicy?: string;
  readonly matchPolicy?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly sideEffects: string;
  readonly timeoutSeconds?: number;
  readonly admissionReviewVersions: readonly string[];
  readonly reinvocationPolicy?: string;
  readonly matchConditions?: readonly MatchCondition[];
}

export interface CompiledWebhook {
  readonly webhook: Webhook;
  /** Name of the configuration that it is of. */
  readonly configuration: string;
  readonly conditions: readonly CompiledCondition[];
}

export function compileWebhook(webhook: Webhook, configuration: string): CompiledWebhook {
  return { webhook, configuration, conditions: compileConditions(webhook.matchConditions) };
}

interface AdmissionResponse {
  readonly uid?: string;
  readonly allowed?: boolean;
  readonly status?: Partial<Status>;
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}

export interface WebhookCallOptions {
  readonly client: WebhookClient;
  readonly authorizer: Authorizer | undefined;
}

const DEFAULT_TIMEOUT_SECONDS = 10;
/** As upstream, longer warnings are cut. */
const WARNING_CHARACTERS_MAX = 256;

/** What expressions of webhooks and policies can see of a request. */
export function requestVariables(
  attributes: AdmissionAttributes,
  { authorizer, store }: { readonly authorizer: Authorizer | undefined; readonly store: AdmissionStore },
): Record<string, unknown> {
  const request = admissionRequestOf(attributes, '');
  const { object, oldObject, options: _options, ...rest } = request;
  const { namespace, user } = attributes;
  const namespaceObject = namespace === '' ? undefined : store.get(namespaces, '', namespace);
  return {
    object: toCel(object),
    oldObject: toCel(oldObject),
    request: toCel({ ...rest, options: request['options'] }),
    namespaceObject: toCel(namespaceObject),
    params: null,
    ...(authorizer === undefined ? {} : { authorizer: new AuthorizerValue(authorizer, user) }),
  };
}

/** The request as the webhook is to be asked about it; undefined: it is not to be asked. @throws StatusError. */
export async function webhookAttributes(
  { webhook, conditions }: CompiledWebhook,
  attributes: AdmissionAttributes,
  { store, authorizer }: { readonly store: AdmissionStore; readonly authorizer: Authorizer | undefined },
): Promise<AdmissionAttributes | undefined> {
  const matched = matchedResource({ ...webhook, rules: webhook.rules ?? [] }, attributes, store);
  if (matched === undefined) return undefined;
  const versioned = await inVersion(attributes, matched);
  try {
    const variables = (): Record<string, unknown> => requestVariables(versioned, { authorizer, store });
    return conditionsHold(conditions, variables) ? versioned : undefined;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    if (webhook.failurePolicy === 'Ignore') return undefined;
    throw newForbidden(attributes.resource, attributes.name, error.message);
  }
}

/** The response of a webhook that allows the request; undefined: it failed and that is to be ignored. @throws StatusError. */
export async function callWebhook(
  { webhook }: CompiledWebhook,
  attributes: AdmissionAttributes,
  options: WebhookCallOptions & { readonly store: AdmissionStore },
): Promise<AdmissionResponse | undefined> {
  const { client, store } = options;
  const { name, sideEffects, failurePolicy } = webhook;
  if (attributes.dryRun && sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun')
    throw newBadRequest(`admission webhook ${JSON.stringify(name)} does not support dry run`);
  const uid = randomUUID();
  const reviewVersion = webhook.admissionReviewVersions.find((each) => each === 'v1' || each === 'v1beta1') ?? 'v1';
  const apiVersion = `admission.k8s.io/${reviewVersion}`;
  const review = { kind: 'AdmissionReview', apiVersion, request: admissionRequestOf(attributes, uid) };
  let response: AdmissionResponse;
  try {
    const timeoutMs = (webhook.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000;
    const answer = await client.post(webhook.clientConfig, review, { store, timeoutMs });
    response = checkReview(answer, { uid, apiVersion, isV1: reviewVersion === 'v1' });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (failurePolicy === 'Ignore') return undefined;
    throw newInternalError(`failed calling webhook ${JSON.stringify(name)}: failed to call webhook: ${why}`, {
      cause: error,
    });
  }
  for (const warning of response.warnings ?? []) attributes.warn(warning.slice(0, WARNING_CHARACTERS_MAX));
  for (const [key, value] of Object.entries(response.auditAnnotations ?? {}))
    attributes.annotate?.(`${name}/${key}`, value);
  if (response.allowed !== true) throw deniedBy(name, response.status);
  return response;
}

function checkReview(
  answer: unknown,
  expected: { readonly uid: string; readonly apiVersion: string; readonly isV1: boolean },
): AdmissionResponse {
  const { kind, apiVersion, response } = (answer ?? {}) as {
    kind?: unknown;
    apiVersion?: unknown;
    response?: AdmissionResponse;
  };
  if (response === undefined) throw new Error('webhook response was absent');
  if (!expected.isV1) return response;
  if (kind !== 'AdmissionReview' || apiVersion !== expected.apiVersion)
    throw new Error(
      `expected webhook response of ${expected.apiVersion}, Kind=AdmissionReview, got ${String(apiVersion)}, Kind=${String(kind)}`,
    );
  if (response.uid !== expected.uid)
    throw new Error(`expected response.uid=${JSON.stringify(expected.uid)}, got ${JSON.stringify(response.uid ?? '')}`);
  return response;
}

function deniedBy(name: string, status: Partial<Status> = {}): StatusError {
  const denied = `admission webhook ${JSON.stringify(name)} denied the request`;
  const said = (status.message ?? '') === '' ? status.reason : status.message;
  return new StatusError({
    ...status,
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: said === undefined || said === '' ? `${denied} without explanation` : `${denied}: ${said}`,
    code: Math.max(status.code ?? 0, 400),
  });
}
