/** Conversion webhooks (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion). */
import { randomUUID } from 'node:crypto';
import {
  apiVersionOf,
  cloneJson,
  equalJson,
  formatFieldError,
  isJsonObject,
  StatusError,
  type CustomResourceDefinition,
  type JsonObject,
  type UnstructuredObject,
} from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';
import type { WebhookClient } from '../admission/webhooks/webhook-client.ts';
import { validateAnnotations, validateLabels } from '../registry/object-meta.ts';
import type { ConvertObjects } from './version-conversion.ts';

/** As upstream's clients of webhooks. */
const TIMEOUT_MS = 30_000;
/** Objects of one review. */
const REVIEW_OBJECTS_MAX = 500;
/** Bytes of objects in one review, but for one object that is larger by itself: what webhooks' servers surely take. */
const REVIEW_BYTES_MAX = 1024 * 1024;

export interface ConversionWebhookOptions {
  readonly client: WebhookClient;
  /** Where the webhook's Service is looked up. */
  readonly store: AdmissionStore;
}

interface ConversionResponse {
  readonly uid?: unknown;
  readonly result?: { readonly status?: string; readonly message?: string };
  readonly convertedObjects?: readonly unknown[];
}

/** The conversion of a definition by its webhook; undefined: it has none. It rejects with upstream's messages. */
export function conversionWebhook(
  { spec }: CustomResourceDefinition,
  options: ConversionWebhookOptions,
): ConvertObjects | undefined {
  const { strategy, webhook } = spec.conversion ?? {};
  if (strategy !== 'Webhook' || webhook?.clientConfig === undefined) return undefined;
  const { clientConfig, conversionReviewVersions } = webhook;
  const listKind = spec.names.listKind ?? `${spec.names.kind}List`;
  const review = async (
    objects: readonly UnstructuredObject[],
    desiredAPIVersion: string,
  ): Promise<UnstructuredObject[]> => {
    const [first] = objects;
    const isList = objects.length > 1;
    const what = `conversion webhook for ${first?.apiVersion ?? ''}, Kind=${isList ? listKind : (first?.kind ?? '')}`;
    const uid = randomUUID();
    const version = conversionReviewVersions.find((each) => each === 'v1' || each === 'v1beta1');
    if (version === undefined) throw conversionError('no supported conversion review versions');
    const apiVersion = apiVersionOf({ group: 'apiextensions.k8s.io', version });
    const request = { uid, desiredAPIVersion, objects };
    let converted: readonly unknown[];
    try {
      const answer = await options.client.post(
        clientConfig,
        { kind: 'ConversionReview', apiVersion, request, response: null },
        { store: options.store, timeoutMs: TIMEOUT_MS },
      );
      converted = convertedObjects(answer, { uid, isV1: version === 'v1', apiVersion });
    } catch (error) {
      throw conversionError(`${what} failed: ${(error as Error).message}`, error);
    }
    if (converted.length !== objects.length)
      throw conversionError(`${what} returned ${converted.length} objects, expected ${objects.length}`);
    return objects.map((original, i) =>
      checkConverted(original, converted[i], { what, desiredAPIVersion, index: isList ? i : undefined }),
    );
  };
  return async (objects, apiVersion) => {
    const all: UnstructuredObject[] = [];
    for (const batch of batchesOf(objects)) all.push(...(await review(batch, apiVersion)));
    return all;
  };
}

function conversionError(message: string, cause?: unknown): StatusError {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code: 500 } as const;
  return new StatusError(status, cause === undefined ? {} : { cause });
}

function* batchesOf(objects: readonly UnstructuredObject[]): Generator<readonly UnstructuredObject[]> {
  let batch: UnstructuredObject[] = [];
  let bytes = 0;
  for (const object of objects) {
    const size = JSON.stringify(object).length;
    if (batch.length > 0 && (batch.length === REVIEW_OBJECTS_MAX || bytes + size > REVIEW_BYTES_MAX)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(object);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** @throws Error with upstream's words. */
function convertedObjects(
  answer: unknown,
  expected: { readonly uid: string; readonly isV1: boolean; readonly apiVersion: string },
): readonly unknown[] {
  const review = (answer ?? {}) as { kind?: string; apiVersion?: string; response?: ConversionResponse | null };
  const { kind = '', apiVersion = '', response } = review;
  if (expected.isV1 && (kind !== 'ConversionReview' || apiVersion !== expected.apiVersion))
    throw new Error(
      `expected webhook response of ${expected.apiVersion}, Kind=ConversionReview, got ${apiVersion}, Kind=${kind}`,
    );
  if (response === undefined || response === null) throw new Error('no response provided');
  if (expected.isV1 && response.uid !== expected.uid)
    throw new Error(`expected response.uid=${JSON.stringify(expected.uid)}, got ${JSON.stringify(response.uid ?? '')}`);
  const { status = '', message = '' } = response.result ?? {};
  if (status !== 'Success')
    throw new Error(message === '' ? `response.result.status was '${status}', not 'Success'` : message);
  return response.convertedObjects ?? [];
}

/** The converted object with the metadata of the original, of which only labels and annotations may change. */
function checkConverted(
  original: UnstructuredObject,
  answered: unknown,
  options: { readonly what: string; readonly desiredAPIVersion: string; readonly index: number | undefined },
): UnstructuredObject {
  const { what, desiredAPIVersion, index } = options;
  const place = index === undefined ? '' : ` at index ${index}`;
  const invalid = `${what} returned invalid ${index === undefined ? 'object' : 'converted object'}${place}`;
  const atIndex = `${what} returned invalid ${index === undefined ? 'object' : 'converted object'} at index ${index ?? 0}`;
  if (!isJsonObject(answered) || typeof answered['kind'] !== 'string' || answered['kind'] === '')
    throw conversionError(`${invalid}: Object 'Kind' is missing in '${JSON.stringify(answered ?? null)}'`);
  const { apiVersion = '', kind } = answered;
  if (apiVersion !== desiredAPIVersion)
    throw conversionError(
      `${atIndex}: invalid groupVersion (expected ${desiredAPIVersion}, received ${String(apiVersion)})`,
    );
  if (kind !== original.kind)
    throw conversionError(`${atIndex}: invalid kind (expected ${original.kind}, received ${kind})`);
  const metadata = answered['metadata'];
  const given = isJsonObject(metadata) ? metadata : {};
  const before: Readonly<Record<string, unknown>> = { ...original.metadata };
  for (const [field, word] of Object.entries({ name: 'name', namespace: 'namespace', uid: 'UID' })) {
    const [expected, got] = [before[field], given[field]].map((each) => (typeof each === 'string' ? each : ''));
    if (expected !== got) throw conversionError(`${invalid}: must have the same ${word}: ${expected} != ${got}`);
  }
  try {
    answered['metadata'] = restoredMetadata(original, metadata);
  } catch (error) {
    const where = index === undefined ? '' : ` in object at index ${index}`;
    throw conversionError(`${what} returned invalid metadata${where}: ${(error as Error).message}`, error);
  }
  return answered as unknown as UnstructuredObject;
}

/** @throws Error with upstream's words. */
function restoredMetadata(original: UnstructuredObject, metadata: unknown): JsonObject {
  if (metadata === undefined) throw new Error('missing metadata in converted object');
  if (!isJsonObject(metadata)) throw new Error(`invalid metadata of type ${goType(metadata)} in converted object`);
  const restored = cloneJson(original.metadata) as unknown as JsonObject;
  for (const field of ['labels', 'annotations'] as const) {
    const given = metadata[field];
    if (given === undefined || given === null) {
      delete restored[field];
      continue;
    }
    if (!isJsonObject(given)) throw new Error(`invalid metadata.${field} of type ${goType(given)} in converted object`);
    for (const [key, value] of Object.entries(given))
      if (typeof value !== 'string')
        throw new Error(`metadata.${field}[${key}] must be a string, but is ${goType(value)} in converted object`);
    if (!equalJson(given, restored[field])) {
      const strings = given as Record<string, string>;
      const errors =
        field === 'labels'
          ? validateLabels(strings, 'metadata.labels')
          : validateAnnotations(strings, 'metadata.annotation');
      const texts = errors.map((each) => formatFieldError(each));
      if (texts.length > 0) throw new Error(texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`);
    }
    restored[field] = given;
  }
  return restored;
}

/** How Go calls the type of a JSON value. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'number':
      return Number.isInteger(value) ? 'int64' : 'float64';
    case 'object':
      return value === null ? '<nil>' : 'map[string]interface {}';
    default:
      return '<nil>';
  }
}
