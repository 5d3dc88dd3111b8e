/** Requests to resources: finds the registry and does what the verb says. */
import {
  apiVersionOf,
  cloneJson,
  newStatusError,
  isAlreadyExists,
  isNotFound,
  newConflict,
  statusReasons,
  type DeleteOptions,
  type Resource,
  type Status,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock } from '@naru/component';
import type { FrameEncoder } from '../cache/cache-event.ts';
import { answersWithObject, deleteObject, validateDeleteOptions } from '../registry/deletion.ts';
import { checkPreconditions, type UpdatedObject } from '../registry/generic-registry.ts';
import { builtInVersions } from '../registry/kind-versions.ts';
import type { RequestContext } from '../registry/request-context.ts';
import { trackFields } from '../registry/track-fields.ts';
import { requestContextOf, requiredBody, type ApiRequest, type ApiResponse } from './api-request.ts';
import { mediaTypeFor } from './api-responder.ts';
import type { CacheReads, ListResult } from './cache-reads.ts';
import { parseListOptions, parseResourceVersion, booleanOf, integerOf } from './list-options.ts';
import { isTableOnly, newNotAcceptable } from './negotiation.ts';
import {
  metadataListBody,
  objectListBody,
  tableListBody,
  viewListBody,
  writeList,
  bufferedList,
} from './list-response.ts';
import { decodeObjectBody } from './object-decoder.ts';
import { parseBody, protobufType } from './object-body.ts';
import { protobufEncoder, protobufListBody } from './protobuf-response.ts';
import { isApply, newApplication, newPatch } from './patch.ts';
import { readComputed } from './computed-reads.ts';
import { checkName, inScope, noSuchResource, verbNotAllowed } from './refusals.ts';
import { readObject, type ServedResource, type ServedResources, type StoredResource } from './served-resource.ts';
import type { SubresourceHandler } from './subresource-handler.ts';
import { includeObjectOf, metadataEncoder, tableEncoder } from './table.ts';
import { viewEncoder } from './version-view.ts';
import { serveWatch } from './watch-response.ts';
import { stringify } from 'yaml';

/** Objects that one DELETE of a collection works on at a time. */
const DELETE_COLLECTION_WORKERS = 8;

/** Tries of an apply whose object comes and goes. */
const APPLY_TRIES_MAX = 5;

export interface ResourceHandlerOptions {
  readonly resources: ServedResources;
  readonly reads: CacheReads;
  readonly clock: Clock;
  readonly random: () => number;
  readonly minRequestTimeoutMs: number;
  readonly shutdown: AbortSignal;
  readonly subresources: SubresourceHandler;
  /** Waits until a resource that was not found would be there if it was defined before the request. */
  readonly untilServed: (group: string, resource: string) => Promise<void>;
}

export class ResourceHandler {
  readonly #options: ResourceHandlerOptions;

  constructor(options: ResourceHandlerOptions) {
    this.#options = options;
  }

  /** @throws StatusError. */
  async handle(request: ApiRequest): Promise<ApiResponse> {
    const { info } = request;
    const { resources, untilServed } = this.#options;
    let served = resources.get(info.group, info.version, info.resource);
    if (served === undefined) {
      await untilServed(info.group, info.resource);
      served = resources.get(info.group, info.version, info.resource);
    }
    if (served === undefined) throw noSuchResource();
    if (served.deprecation !== undefined)
      request.response.setHeader('warning', `299 - ${JSON.stringify(served.deprecation)}`);
    const { resource } = served;
    if (info.subresource !== '') return await this.#options.subresources.handle(request, served);
    if (resource.namespaced && info.namespace === '' && info.verb !== 'list' && info.verb !== 'watch')
      throw info.name === '' ? verbNotAllowed() : noSuchResource();
    if (!resource.namespaced && info.namespace !== '' && resource.resource !== 'namespaces') throw noSuchResource();
    if (!(resource.verbs as readonly string[]).includes(info.verb)) throw verbNotAllowed();
    // POST is for collections, PUT and PATCH are for objects.
    const wantsName = info.verb === 'update' || info.verb === 'patch';
    if ((info.verb === 'create' && info.name !== '') || (wantsName && info.name === '')) throw verbNotAllowed();
    if (served.virtual !== undefined)
      return info.verb === 'create'
        ? await this.#createVirtual(request, served)
        : await readComputed(request, resource, served.virtual);
    const { registry } = served;
    if (registry === undefined) throw verbNotAllowed();
    const stored: StoredResource = { ...served, registry };
    switch (info.verb) {
      case 'get':
        return await this.#get(request, stored);
      case 'list':
        return await this.#list(request, stored);
      case 'watch':
        return await this.#watch(request, stored);
      case 'create':
        return await this.#create(request, stored);
      case 'update':
        return await this.#update(request, stored);
      case 'patch':
        return await this.#patch(request, stored);
      case 'delete':
        return await this.#delete(request, stored);
      case 'deletecollection':
        return await this.#deleteCollection(request, stored);
      default:
        throw verbNotAllowed();
    }
  }

  async #createVirtual(request: ApiRequest, served: ServedResource): Promise<ApiResponse> {
    const context = requestContextOf(request);
    const body = requiredBody(request);
    const object = decodeObjectBody(body, request.raw.headers['content-type'], served.resource, context);
    const { user, namespace, dryRun } = context;
    if (served.virtual?.create === undefined) throw verbNotAllowed();
    if (isTableOnly(request.mediaType)) throw newNotAcceptable();
    object.metadata ??= {};
    const versions = builtInVersions(served.resource);
    await trackFields(object, { old: undefined, versions, resetFields: [] }, context);
    const value = await served.virtual.create(object, { user, namespace, dryRun });
    return { type: 'value', code: 201, value };
  }

  async #get(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, query } = request;
    const { registry, view } = served;
    const { namespace } = inScope(info, registry.resource);
    await this.#options.reads.waitFor(parseResourceVersion(query.get('resourceVersion') ?? ''));
    const { bytes } = await readObject(served, namespace, info.name);
    return { type: 'object', code: 200, bytes, registry, view: view ?? served.readView };
  }

  async #list(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, query } = request;
    const { registry } = served;
    const options = parseListOptions(query, served, { watch: false });
    const selectable = registry.strategy.selectableFields ?? {};
    const { reads } = this.#options;
    const where = [registry.cache, info.namespace, options, selectable] as const;
    const { converter } = served;
    const result = await (converter === undefined ? reads.list(...where) : reads.listConverted(converter, ...where));
    await this.#writeList(request, served, result);
    return { type: 'streamed' };
  }

  async #writeList(request: ApiRequest, served: StoredResource, result: ListResult): Promise<void> {
    const { query, response, raw } = request;
    const { registry, readView, resource } = served;
    const view = served.view ?? readView;
    const mediaType = mediaTypeFor(request.mediaType, apiVersionOf(resource), resource.kind);
    const gzip = (raw.headers['accept-encoding'] ?? '').includes('gzip');
    if (mediaType.encoding === 'protobuf') {
      const body = await protobufListBody({ resource, view, as: mediaType.as }, result);
      await writeList(response, body, { gzip, contentType: protobufType });
      return;
    }
    const body =
      mediaType.as === 'table'
        ? tableListBody(registry.registration.table, result, {
            includeObject: includeObjectOf(query),
            nowMs: request.nowMs,
            read: readView,
          })
        : mediaType.as === 'metadata'
          ? metadataListBody(result)
          : view === undefined
            ? objectListBody(resource, result)
            : viewListBody(view, result);
    if (mediaType.encoding === 'yaml') {
      response.setHeader('content-type', 'application/yaml');
      response.end(stringify(JSON.parse(bufferedList(body).toString())));
    } else await writeList(response, body, { gzip, contentType: 'application/json' });
  }

  async #watch(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, query, response } = request;
    const { registry, readView, converter, resource } = served;
    const view = served.view ?? readView;
    const mediaType = mediaTypeFor(request.mediaType, apiVersionOf(resource), resource.kind);
    const { reads, clock, random, minRequestTimeoutMs, shutdown } = this.#options;
    let encoder: FrameEncoder | undefined;
    const isProtobuf = mediaType.encoding === 'protobuf';
    if (isProtobuf) encoder = protobufEncoder({ resource, view, as: mediaType.as });
    else if (mediaType.as === 'table')
      encoder = tableEncoder(registry.registration.table, includeObjectOf(query), {
        now: () => clock.now(),
        read: readView,
      });
    else if (mediaType.as === 'metadata') encoder = metadataEncoder;
    else if (view !== undefined) encoder = viewEncoder(view);
    await serveWatch(response, reads, {
      cache: registry.cache,
      converter,
      resource,
      asMetadata: mediaType.as === 'metadata',
      namespace: resource.namespaced ? info.namespace : '',
      name: info.name,
      options: parseListOptions(query, served, { watch: true }),
      triggerFields: served.triggerFields,
      encoder,
      contentType: isProtobuf ? `${protobufType};stream=watch` : 'application/json',
      minRequestTimeoutMs,
      random,
      clock,
      shutdown,
    });
    return { type: 'streamed' };
  }

  async #create(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { registry, view, resource } = served;
    if (served.terminating === true) throw newTerminating(resource, 'create');
    const context = requestContextOf(request);
    const body = requiredBody(request);
    const object = decodeObjectBody(body, request.raw.headers['content-type'], resource, context);
    const { bytes } = await registry.create(view?.toStored(object) ?? object, context);
    return { type: 'object', code: 201, bytes, registry, view };
  }

  async #update(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, raw } = request;
    const { registry, view, resource } = served;
    const context = inScope(requestContextOf(request), resource);
    const body = requiredBody(request);
    const decode = (): UnstructuredObject => {
      const object = decodeObjectBody(body, raw.headers['content-type'], resource, context);
      return view?.toStored(object) ?? object;
    };
    const object = decode();
    checkName(object, info.name);
    let isFirst = true;
    const make = (old?: UnstructuredObject): UnstructuredObject => {
      // Each try changes the object that it is given.
      const next = isFirst ? object : decode();
      isFirst = false;
      if (old !== undefined) checkPreconditions(registry.resource, old, next.metadata.uid, undefined);
      next.metadata.name = info.name;
      return next;
    };
    if (registry.strategy.allowCreateOnUpdate === true) {
      await this.#options.reads.waitFor(undefined);
      if (registry.cache.get(registry.keyOf(context.namespace, info.name)) === undefined) {
        const { bytes } = await registry.create(make(), context);
        return { type: 'object', code: 201, bytes, registry, view };
      }
    }
    const { bytes } = await registry.update(info.name, '', make, context);
    return { type: 'object', code: 200, bytes, registry, view };
  }

  async #patch(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info } = request;
    const { registry, view, resource } = served;
    const context = inScope(requestContextOf(request), resource);
    if (isApply(context)) return await this.#apply(request, served, context);
    const patch = newPatch(request, resource, context);
    const make = (old: UnstructuredObject): UnstructuredObject => {
      const patched = view === undefined ? patch(old) : view.toStored(patch(view.fromStored(cloneJson(old))));
      return checkName(patched, info.name);
    };
    const { bytes } = await registry.update(info.name, '', make, context);
    return { type: 'object', code: 200, bytes, registry, view };
  }

  /** Server-side apply: changes the object, or creates it. */
  async #apply(request: ApiRequest, served: StoredResource, context: RequestContext): Promise<ApiResponse> {
    const { name } = request.info;
    const { registry, view, resource } = served;
    const apply = newApplication(request, resource, context, registry);
    const make = async (old: UnstructuredObject | undefined): Promise<UnstructuredObject> => {
      const live = old === undefined ? undefined : (view?.fromStored(cloneJson(old)) ?? old);
      const applied = checkName(await apply(live), name);
      return view?.toStored(applied) ?? applied;
    };
    for (let tries = 1; ; tries++) {
      try {
        const { bytes } = await registry.update(name, '', make, context);
        return { type: 'object', code: 200, bytes, registry, view };
      } catch (error) {
        if (!isNotFound(error) || tries === APPLY_TRIES_MAX) throw error;
      }
      await request.authorize('create');
      try {
        const object = await make(undefined);
        const { uid = '' } = object.metadata;
        if (uid !== '')
          throw newConflict(
            resource,
            name,
            `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
          );
        delete object.metadata.resourceVersion;
        const { bytes } = await registry.create(object, context);
        return { type: 'object', code: 201, bytes, registry, view };
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
  }

  async #delete(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { registry, view, resource } = served;
    const options = deleteOptionsOf(request);
    const base = inScope(requestContextOf(request), resource);
    const context = { ...base, dryRun: base.dryRun || (options.dryRun ?? []).length > 0 };
    const result = await deleteObject(registry, request.info.name, options, context);
    const code = result.effect !== 'removed' && options.orphanDependents === false ? 202 : 200;
    if (answersWithObject(resource, result)) return { type: 'object', code, bytes: result.bytes, registry, view };
    return { type: 'value', code, value: deletedStatus(resource, result) };
  }

  async #deleteCollection(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, query } = request;
    const { registry } = served;
    const options = deleteOptionsOf(request);
    const base = requestContextOf(request);
    const context = { ...base, dryRun: base.dryRun || (options.dryRun ?? []).length > 0 };
    const listOptions = parseListOptions(query, served, { watch: false });
    const selectable = registry.strategy.selectableFields ?? {};
    const { reads } = this.#options;
    const where = [registry.cache, info.namespace, listOptions, selectable] as const;
    const { converter } = served;
    const list = await (converter === undefined ? reads.list(...where) : reads.listConverted(converter, ...where));
    const pending = list.objects.values();
    const worker = async (): Promise<void> => {
      for (const { namespace, name } of pending) {
        try {
          await deleteObject(registry, name, options, { ...context, namespace });
        } catch (error) {
          if (!isGoneAlready(error)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: DELETE_COLLECTION_WORKERS }, worker));
    await this.#writeList(request, served, list);
    return { type: 'streamed' };
  }
}

function isGoneAlready(error: unknown): boolean {
  return (error as { code?: unknown }).code === statusReasons.NotFound;
}

/** The 405 of a create when the kind itself is going. */
function newTerminating({ group, resource }: Resource, action: string): Error {
  return newStatusError('MethodNotAllowed', `${action} not allowed while custom resource definition is terminating`, {
    ...(group === '' ? {} : { group }),
    kind: resource,
  });
}

/** Options of a DELETE: its body's, or else the query's. @throws StatusError. */
function deleteOptionsOf(request: ApiRequest): DeleteOptions {
  const { body, query, raw } = request;
  let options: DeleteOptions = {};
  if (body !== undefined && body.length > 0) {
    options = parseBody(body, raw.headers['content-type'], 'DeleteOptions');
  } else {
    const grace = integerOf(query, 'gracePeriodSeconds');
    const orphan = booleanOf(query, 'orphanDependents');
    const propagationPolicy = query.get('propagationPolicy');
    options = {
      ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
      ...(orphan === undefined ? {} : { orphanDependents: orphan }),
      ...(propagationPolicy === null || propagationPolicy === '' ? {} : { propagationPolicy }),
    };
  }
  validateDeleteOptions(options);
  return options;
}

function deletedStatus(resource: Resource, result: UpdatedObject): Status {
  const { name = '', uid = '' } = result.object.metadata;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, ...(resource.group === '' ? {} : { group: resource.group }), kind: resource.resource, uid },
  };
}
