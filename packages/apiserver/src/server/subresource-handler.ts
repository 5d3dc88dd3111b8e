/** Requests to subresources. */
import {
  cloneJson,
  isNotFound,
  newBadRequest,
  newNotFound,
  type DeleteOptions,
  type Status,
  type UnstructuredObject,
} from '@naru/api';
import { validateDeleteOptions } from '../registry/deletion.ts';
import { checkPreconditions, type GenericRegistry } from '../registry/generic-registry.ts';
import { finalizeNamespace } from '../registry/namespace-finalize.ts';
import { bindPod } from '../registry/pod-binding.ts';
import { evictPod } from '../registry/pod-eviction.ts';
import { requestContextOf, requiredBody, type ApiRequest, type ApiResponse } from './api-request.ts';
import type { CacheReads } from './cache-reads.ts';
import type { KubeletProxy, StreamSubresource } from './kubelet-proxy.ts';
import { booleanOf, parseResourceVersion } from './list-options.ts';
import { decodeObjectBody } from './object-decoder.ts';
import { isApply, newApplication, newPatch, newScaleApplication } from './patch.ts';
import { checkName, inScope, noSuchResource, verbNotAllowed } from './refusals.ts';
import { builtInScale, scaleKind } from './scale.ts';
import { readObject, type ServedResource, type StoredResource } from './served-resource.ts';

/** Subresources that are served here; what else discovery may list is computed. */
export const servedSubresources: ReadonlySet<string> = new Set([
  'approval',
  'attach',
  'binding',
  'ephemeralcontainers',
  'eviction',
  'exec',
  'finalize',
  'log',
  'portforward',
  'proxy',
  'resize',
  'scale',
  'status',
]);

const created: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };

export interface SubresourceHandlerOptions {
  readonly reads: CacheReads;
  readonly kubelets: KubeletProxy;
  /** Of PodDisruptionBudgets, which evictions ask. */
  readonly budgets: GenericRegistry | undefined;
}

export class SubresourceHandler {
  readonly #reads: CacheReads;
  readonly #kubelets: KubeletProxy;
  readonly #budgets: GenericRegistry | undefined;

  constructor(options: SubresourceHandlerOptions) {
    this.#reads = options.reads;
    this.#kubelets = options.kubelets;
    this.#budgets = options.budgets;
  }

  /** @throws StatusError. */
  async handle(request: ApiRequest, served: ServedResource): Promise<ApiResponse> {
    const { info } = request;
    const definition = served.resource.subresources.find((each) => each.name === info.subresource);
    if (definition === undefined || (served.resource.namespaced && info.namespace === '')) throw noSuchResource();
    if (!definition.verbs.includes(info.verb)) throw verbNotAllowed();
    const { registry } = served;
    if (registry === undefined) throw noSuchResource();
    if (served.virtualSubresources.has(info.subresource)) return await this.#createVirtual(request, served, registry);
    switch (info.subresource) {
      // A CertificateSigningRequest's approval is its status' conditions.
      case 'approval':
      case 'status':
        return await this.#part(request, { ...served, registry }, 'status');
      case 'ephemeralcontainers':
      case 'resize':
        return await this.#part(request, { ...served, registry }, info.subresource);
      case 'proxy':
        return await this.#proxy(request, registry);
      case 'scale':
        return await this.#scale(request, { ...served, registry });
      case 'binding':
        return await this.#bind(request, registry);
      case 'finalize':
        return await this.#finalize(request, registry);
      case 'eviction':
        return await this.#evict(request, registry);
      case 'log':
        return await this.#log(request, registry);
      case 'attach':
      case 'exec':
      case 'portforward':
        return await this.#stream(request, registry, info.subresource);
      default:
        throw noSuchResource();
    }
  }

  async #createVirtual(request: ApiRequest, served: ServedResource, registry: GenericRegistry): Promise<ApiResponse> {
    const { info, raw } = request;
    const virtual = served.virtualSubresources.get(info.subresource);
    const definition = served.resource.subresources.find((each) => each.name === info.subresource);
    if (virtual === undefined || definition === undefined) throw noSuchResource();
    const context = requestContextOf(request);
    const kind = {
      group: definition.group ?? served.resource.group,
      version: definition.version ?? served.resource.version,
      kind: definition.kind ?? served.resource.kind,
    };
    const model = modelOf(kind.kind);
    const object = decodeObjectBody(requiredBody(request), raw.headers['content-type'], { ...kind, model }, context);
    await this.#reads.waitFor(undefined);
    const parent = registry.cache.parsed(registry.get(context.namespace, info.name));
    const { user, namespace, dryRun } = context;
    return { type: 'value', code: 201, value: await virtual.create(parent, object, { user, namespace, dryRun }) };
  }

  async #read(request: ApiRequest, registry: GenericRegistry): Promise<Buffer> {
    await this.#reads.waitFor(parseResourceVersion(request.query.get('resourceVersion') ?? ''));
    const { namespace } = inScope(request.info, registry.resource);
    return registry.get(namespace, request.info.name).bytes;
  }

  /** The object in the version that is served, but for what a view does. */
  async #readVersion(request: ApiRequest, served: StoredResource): Promise<Buffer> {
    await this.#reads.waitFor(parseResourceVersion(request.query.get('resourceVersion') ?? ''));
    const { namespace } = inScope(request.info, served.resource);
    return (await readObject(served, namespace, request.info.name)).bytes;
  }

  /** Subresources that show the object and change a part of it. */
  async #part(request: ApiRequest, served: StoredResource, part: string): Promise<ApiResponse> {
    const { info, raw } = request;
    const { registry, resource, view } = served;
    if (info.verb === 'get') {
      const bytes = await this.#readVersion(request, served);
      return { type: 'object', code: 200, bytes, registry, view: view ?? served.readView };
    }
    const context = inScope(requestContextOf(request), resource);
    let change: (old: UnstructuredObject) => UnstructuredObject | Promise<UnstructuredObject>;
    if (isApply(context)) change = newApplication(request, resource, context, registry);
    else if (info.verb === 'patch') change = newPatch(request, resource, context);
    else {
      const body = requiredBody(request);
      change = (old) => {
        const object = decodeObjectBody(body, raw.headers['content-type'], resource, context);
        checkPreconditions(resource, old, object.metadata.uid, undefined);
        return object;
      };
    }
    const make = async (old: UnstructuredObject): Promise<UnstructuredObject> => {
      const object =
        view === undefined ? await change(old) : view.toStored(await change(view.fromStored(cloneJson(old))));
      return checkName(object, info.name);
    };
    const { bytes } = await registry.update(info.name, part, make, context);
    return { type: 'object', code: 200, bytes, registry, view };
  }

  async #scale(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info, raw } = request;
    const { registry, view, resource } = served;
    const { scaleOf, withScale } = served.scale ?? builtInScale;
    const read = (object: UnstructuredObject): UnstructuredObject => view?.fromStored(object) ?? object;
    if (info.verb === 'get') {
      const bytes = await this.#readVersion(request, served).catch((error: unknown) => {
        if (!isNotFound(error) || resource.group !== 'apps') throw error;
        throw newNotFound({ group: resource.group, resource: `${resource.resource}/scale` }, info.name);
      });
      const object = JSON.parse(bytes.toString()) as UnstructuredObject;
      return { type: 'value', code: 200, value: scaleOf(served.readView?.fromStored(object) ?? read(object)) };
    }
    const context = inScope(requestContextOf(request), resource);
    if (isApply(context)) return await this.#applyScale(request, served);
    const patch = info.verb === 'patch' ? newPatch(request, scaleKind, context) : undefined;
    const body = requiredBody(request);
    const { object } = await registry.update(
      info.name,
      '',
      (old) => {
        const scale =
          patch === undefined
            ? decodeObjectBody(body, raw.headers['content-type'], scaleKind, context)
            : patch(scaleOf(read(old)));
        const scaled = withScale(cloneJson(read(old)), scale);
        return view?.toStored(scaled) ?? scaled;
      },
      context,
    );
    return { type: 'value', code: 200, value: scaleOf(read(object)) };
  }

  /** Server-side apply of a Scale: what it says of the replicas is said of the object's, and owned by the applier. */
  async #applyScale(request: ApiRequest, served: StoredResource): Promise<ApiResponse> {
    const { info } = request;
    const { registry, view, resource } = served;
    const { scaleOf, withScale } = served.scale ?? builtInScale;
    const context = inScope(requestContextOf(request), resource);
    const apply = newScaleApplication(request, served, context, withScale);
    const { object } = await registry.update(
      info.name,
      '',
      async (old) => {
        const live = view?.fromStored(cloneJson(old)) ?? old;
        const applied = checkName(await apply(live), info.name);
        return view?.toStored(applied) ?? applied;
      },
      context,
    );
    return { type: 'value', code: 200, value: scaleOf(view?.fromStored(object) ?? object) };
  }

  async #bind(request: ApiRequest, registry: GenericRegistry): Promise<ApiResponse> {
    const kind = { group: '', version: 'v1', kind: 'Binding', model: 'V1Binding' };
    const context = requestContextOf(request);
    const binding = decodeObjectBody(requiredBody(request), request.raw.headers['content-type'], kind, context);
    await bindPod(registry, request.info.name, binding, context);
    return { type: 'value', code: 201, value: created };
  }

  async #finalize(request: ApiRequest, registry: GenericRegistry): Promise<ApiResponse> {
    const { info, raw } = request;
    const context = inScope(requestContextOf(request), registry.resource);
    const body = requiredBody(request);
    const object = checkName(
      decodeObjectBody(body, raw.headers['content-type'], registry.resource, context),
      info.name,
    );
    const { bytes } = await finalizeNamespace(registry, info.name, object, context);
    return { type: 'object', code: 200, bytes, registry };
  }

  async #evict(request: ApiRequest, registry: GenericRegistry): Promise<ApiResponse> {
    const { info, raw } = request;
    const context = requestContextOf(request);
    const kind = { group: 'policy', version: 'v1', kind: 'Eviction', model: 'V1Eviction' };
    const eviction = decodeObjectBody(requiredBody(request), raw.headers['content-type'], kind, context);
    if (eviction.metadata.name !== info.name) throw newBadRequest('name in URL does not match name in Eviction object');
    const options = (eviction['deleteOptions'] ?? {}) as DeleteOptions;
    validateDeleteOptions(options);
    const dryRun = context.dryRun || (options.dryRun ?? []).length > 0;
    if (this.#budgets === undefined) throw noSuchResource();
    await this.#reads.waitFor(undefined);
    await evictPod({ pods: registry, budgets: this.#budgets }, info.name, options, { ...context, dryRun });
    return { type: 'value', code: 201, value: created };
  }

  async #log(request: ApiRequest, registry: GenericRegistry): Promise<ApiResponse> {
    const { query } = request;
    const pod = JSON.parse((await this.#read(request, registry)).toString()) as UnstructuredObject;
    await this.#kubelets.proxyLogs(pod, query, request.response);
    return { type: 'streamed' };
  }

  async #proxy(request: ApiRequest, registry: GenericRegistry): Promise<ApiResponse> {
    const { info } = request;
    const kind = registry.resource.subresources.find(({ name }) => name === 'proxy')?.kind ?? '';
    const options = { apiVersion: 'v1', kind, metadata: {}, path: info.rest };
    const context = inScope(requestContextOf(request), registry.resource);
    const attributes = { ...registry.attributes('CONNECT', 'proxy', options, undefined, context), name: info.name };
    await registry.admit(attributes);
    await registry.validateAdmission(attributes);
    await this.#reads.waitFor(undefined);
    await this.#kubelets.resources.proxy(request);
    return { type: 'streamed' };
  }

  async #stream(request: ApiRequest, registry: GenericRegistry, subresource: StreamSubresource): Promise<ApiResponse> {
    const { query, raw, response, info } = request;
    const pod = JSON.parse((await this.#read(request, registry)).toString()) as UnstructuredObject;
    const kind = registry.resource.subresources.find(({ name }) => name === subresource)?.kind ?? '';
    const options = { apiVersion: 'v1', kind, metadata: {}, ...streamOptionsOf(query) };
    const attributes = {
      ...registry.attributes('CONNECT', subresource, options, undefined, requestContextOf(request)),
      name: info.name,
    };
    await registry.admit(attributes);
    await registry.validateAdmission(attributes);
    await this.#kubelets.proxyStream(pod, { subresource, query }, raw, response);
    return { type: 'streamed' };
  }
}

/** PodExecOptions and the like, as admission sees them. */
function streamOptionsOf(query: URLSearchParams): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const name of ['stdin', 'stdout', 'stderr', 'tty'] as const) {
    const value = booleanOf(query, name);
    if (value !== undefined) options[name] = value;
  }
  const container = query.get('container');
  if (container !== null) options['container'] = container;
  if (query.has('command')) options['command'] = query.getAll('command');
  if (query.has('ports')) options['ports'] = query.getAll('ports').map(Number);
  return options;
}

/** Names of client-node's models of the kinds that only subresources take. */
function modelOf(kind: string): string {
  if (kind === 'TokenRequest') return 'AuthenticationV1TokenRequest';
  return `V1${kind}`;
}
