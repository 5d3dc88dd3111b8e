/** Patch bodies: JSON patch, merge patch, strategic merge patch, and configurations to apply. */
import {
  apiVersionOf,
  applyConfiguration,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  cloneJson,
  formatTime,
  newBadRequest,
  newTypedPatchError,
  patchTypes,
  type Application,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import { withVersions } from '../registry/kind-versions.ts';
import type { RequestContext } from '../registry/request-context.ts';
import { resetFieldsOf } from '../registry/reset-fields.ts';
import { requiredBody, type ApiRequest } from './api-request.ts';
import { goJsonError, mediaTypeOf, parseBody, unsupportedMediaType } from './object-body.ts';
import { booleanOf } from './list-options.ts';
import { checkObject, type BodyKind } from './object-decoder.ts';
import { scaleKind } from './scale.ts';
import type { StoredResource } from './served-resource.ts';

/**
 * What makes the new object out of the stored one; it may be called again on a newer one.
 * @throws StatusError BadRequest, Invalid or UnsupportedMediaType, now or when it is called.
 */
export function newPatch(
  request: ApiRequest,
  kind: BodyKind,
  context: RequestContext,
): (old: UnstructuredObject) => UnstructuredObject {
  const type = mediaTypeOf(request.raw.headers['content-type']);
  const body = requiredBody(request);
  const parse = (): unknown => {
    try {
      return JSON.parse(body.toString());
    } catch (error) {
      throw newBadRequest(`error decoding patch: ${goJsonError(error)}`);
    }
  };
  const apply = applierOf(type, kind);
  parse();
  return (old) => checkObject(apply(old, parse()), kind, context);
}

/** Whether the request is server-side apply, which makes the object where there is none. */
export function isApply(context: RequestContext): boolean {
  return context.fieldManager?.applies === true;
}

/**
 * Server-side apply: makes the new object out of the stored one, or of nothing.
 * @throws StatusError BadRequest or Invalid, now; Conflict when it is called.
 */
export function newApplication(
  request: ApiRequest,
  kind: BodyKind & Partial<Pick<Resource, 'subresources'>>,
  context: RequestContext,
  registry: Pick<GenericRegistry, 'strategy' | 'versions'>,
): (old: UnstructuredObject | undefined) => Promise<UnstructuredObject> {
  const given = parseConfiguration(requiredBody(request), kind.kind);
  checkConfiguration(given, kind);
  const isCustom = kind.schema !== undefined;
  // Neither what is pruned or defaulted nor how values are written otherwise is the client's to own.
  if (isCustom) checkObject(cloneJson(given), { ...kind, schema: {} }, { ...context, fieldValidation: 'Ignore' });
  else checkFields(cloneJson(given), kind, context);
  const config = configurationOf(given, kind);
  const application = applicationOf(request, context, { config, kind, registry });
  const options = isCustom ? context : { ...context, fieldValidation: 'Ignore' as const };
  return async (old) => {
    const applied = await withVersions(applyConfiguration(old, application), registry.versions);
    return checkObject(applied, kind, options);
  };
}

function applicationOf(
  request: ApiRequest,
  context: RequestContext,
  what: {
    readonly config: UnstructuredObject;
    readonly kind: Partial<Pick<Resource, 'subresources'>>;
    readonly registry: Pick<GenericRegistry, 'strategy' | 'versions'>;
  },
): Application {
  const { config, kind, registry } = what;
  const { name: manager = '', subresource = '' } = context.fieldManager ?? {};
  return {
    config,
    manager,
    subresource,
    apiVersion: config.apiVersion,
    modelOf: (apiVersion) => registry.versions.modelOf(apiVersion),
    resetFields: resetFieldsOf(kind, registry.strategy, subresource),
    now: formatTime(context.nowMs),
    force: booleanOf(request.query, 'force') ?? false,
  };
}

function configurationOf(given: Record<string, unknown>, kind: BodyKind): UnstructuredObject {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...fields } = given;
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: metadata ?? {}, ...fields };
}

/** @throws StatusError BadRequest where a configuration is not what may be applied. */
function checkConfiguration({ apiVersion, metadata }: Record<string, unknown>, kind: BodyKind): void {
  const expected = apiVersionOf(kind);
  if (typeof apiVersion !== 'string' || apiVersion !== expected)
    throw newBadRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${typeof apiVersion === 'string' ? apiVersion : ''}, expected: ${expected}`,
    );
  if (((metadata ?? {}) as { managedFields?: unknown }).managedFields !== undefined)
    throw newBadRequest('metadata.managedFields must be nil');
}

/** A field that the kind does not have cannot be owned: it is refused, whatever field validation is asked for. */
function checkFields(given: Record<string, unknown>, kind: BodyKind, context: RequestContext): void {
  const unknown: string[] = [];
  const object = checkObject(given, kind, {
    fieldValidation: 'Warn',
    warn: (message) => {
      const field = /^unknown field "(.*)"$/u.exec(message)?.[1];
      if (field === undefined) context.warn(message);
      else unknown.push(`.${field}: field not declared in schema`);
    },
  });
  if (unknown.length > 0) throw newTypedPatchError(object, unknown);
}

/** The same of a Scale: the configuration that is applied to the object has its name and replicas. */
export function newScaleApplication(
  request: ApiRequest,
  { resource, registry }: StoredResource,
  context: RequestContext,
  withScale: (object: UnstructuredObject, scale: UnstructuredObject) => UnstructuredObject,
): (live: UnstructuredObject) => Promise<UnstructuredObject> {
  const scale = checkObject(parseConfiguration(requiredBody(request), scaleKind.kind), scaleKind, context);
  const name = request.info.name;
  const config = withScale({ apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: { name } }, scale);
  const application = applicationOf(request, context, { config, kind: resource, registry });
  return async (live) => await withVersions(applyConfiguration(live, application), registry.versions);
}

/** kubectl and helm send JSON, which is YAML, and read faster. */
function parseConfiguration(body: Buffer, kind: string): Record<string, unknown> {
  return parseBody(body, body[0] === OPEN_BRACE ? 'application/json' : 'application/yaml', kind);
}

const OPEN_BRACE = 0x7b;

type Apply = (old: UnstructuredObject, patch: unknown) => Record<string, unknown>;

function applierOf(type: string, kind: BodyKind): Apply {
  switch (type) {
    case patchTypes.json:
      return applyJsonPatch;
    case patchTypes.merge:
      // What the patch does not touch would be the old object's own parts, which defaulting may change.
      return (old, patch) => applyMergePatch(cloneJson(old), patch);
    case patchTypes.strategicMerge:
      // Without a model there are no merge keys.
      if (kind.schema !== undefined) throw unsupportedMediaType([patchTypes.json, patchTypes.merge]);
      return (old, patch) => applyStrategicMergePatch(old, patch, kind.model);
    default:
      throw unsupportedMediaType([patchTypes.json, patchTypes.merge, patchTypes.strategicMerge, patchTypes.apply]);
  }
}
