/** The generic registry: what create, get, update and patch mean for any kind (k8s.io/apiserver/pkg/registry/generic). */
import { randomUUID } from 'node:crypto';
import {
  cloneJson,
  equalJson,
  fieldInvalid,
  formatTime,
  generateName,
  ignoreTimestamps,
  newAlreadyExists,
  newConflict,
  newInvalid,
  newModifiedConflict,
  newNotFound,
  newUnknownError,
  type FieldError,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from '../admission/admission.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import { objectKey } from '../storage/keys.ts';
import { decodeObject, encodeObject, spliceRevision } from '../storage/object-codec.ts';
import type { ObjectStore, StoredValue, WriteResult } from '../storage/object-store.ts';
import {
  ensureNamespace,
  fillObjectMeta,
  keepObjectMeta,
  validateObjectMeta,
  validateObjectMetaUpdate,
} from './object-meta.ts';
import { countsGenerations } from './generations.ts';
import { builtInVersions, type KindVersions } from './kind-versions.ts';
import type { RequestContext } from './request-context.ts';
import { keepAllButStatus, resetFieldsOf } from './reset-fields.ts';
import type { StorageHooks, Transition } from './storage-hooks.ts';
import type { StorageVersion } from './storage-version.ts';
import type { ResourceRegistration, Strategy, StrategyContext } from './strategy.ts';
import { trackFields } from './track-fields.ts';

/** Tries of a create whose name is generated and taken. */
const GENERATE_NAME_TRIES_MAX = 8;
/** Tries of an update that others' writes get in the way of; upstream tries for as long as the request lasts. */
const UPDATE_TRIES_MAX = 64;

/** An object as it was stored, or would have been in a dry run. */
export interface WrittenObject {
  readonly object: UnstructuredObject;
  /** JSON with the resourceVersion. */
  readonly bytes: Buffer;
}

export interface UpdatedObject extends WrittenObject {
  readonly effect: 'none' | 'updated' | 'removed';
}

/**
 * What an update turns the stored object into; it may run again on a newer one, and must not change the old one. `remove`
 * takes it out of the store.
 */
export type UpdateStep = (
  old: UnstructuredObject,
  stored: StoredValue,
) => Promise<{ readonly object: UnstructuredObject; readonly transition?: Transition; readonly remove?: boolean }>;

export interface GenericRegistryOptions {
  readonly registration: ResourceRegistration;
  readonly hooks?: StorageHooks | undefined;
  /** For objects that may be stored otherwise than the registry has them. */
  readonly storageVersion?: StorageVersion | undefined;
  /** Versions in which fields are owned; by default, those of a built-in kind. */
  readonly versions?: KindVersions | undefined;
  /** Other versions of the resource, which admission may be about. */
  readonly equivalents?: AdmissionAttributes['equivalents'];
  readonly cache: WatchCache;
  readonly store: ObjectStore;
  readonly admission: readonly AdmissionPlugin[];
  readonly admissionStore: AdmissionStore;
  readonly random: () => number;
  /** Lease of the kind's objects, for kinds that expire. */
  readonly lease?: (() => Promise<bigint>) | undefined;
}

export class GenericRegistry {
  readonly resource: Resource;
  readonly strategy: Strategy;
  readonly registration: ResourceRegistration;
  readonly cache: WatchCache;
  readonly store: ObjectStore;
  readonly hooks: StorageHooks;
  readonly #options: GenericRegistryOptions;
  readonly versions: KindVersions;
  readonly #hasStatus: boolean;

  constructor(options: GenericRegistryOptions) {
    this.#options = options;
    this.registration = options.registration;
    this.resource = options.registration.resource;
    this.strategy = options.registration.strategy;
    this.cache = options.cache;
    this.store = options.store;
    this.hooks = options.hooks ?? {};
    this.versions = options.versions ?? builtInVersions(this.resource);
    this.#hasStatus = this.resource.subresources.some((each) => each.name === 'status');
  }

  keyOf(namespace: string, name: string): string {
    return objectKey(this.cache.prefix, namespace, name);
  }

  /** From the cache; the caller has waited for the revision that it wants. @throws StatusError NotFound. */
  get(namespace: string, name: string): CachedObject {
    const object = this.cache.get(this.keyOf(namespace, name));
    if (object === undefined) throw newNotFound(this.resource, name);
    return object;
  }

  /** Stores a new object; `object` is the registry's from here on. */
  async create(object: UnstructuredObject, context: RequestContext): Promise<WrittenObject> {
    ensureNamespace(object, this.resource, context.namespace);
    const { metadata } = object;
    const generated = (metadata.name ?? '') === '' && (metadata.generateName ?? '') !== '';
    if (!generated) return await this.#createOnce(object, context);
    for (let tries = 1; ; tries++) {
      const candidate = tries === GENERATE_NAME_TRIES_MAX ? object : cloneJson(object);
      candidate.metadata.name = generateName(metadata.generateName ?? '', this.#options.random);
      const written = await this.#createOnce(candidate, context, tries < GENERATE_NAME_TRIES_MAX);
      if (written !== undefined) return written;
    }
  }

  async #createOnce(object: UnstructuredObject, context: RequestContext): Promise<WrittenObject>;
  async #createOnce(
    object: UnstructuredObject,
    context: RequestContext,
    mayRetry: boolean,
  ): Promise<WrittenObject | undefined>;
  async #createOnce(
    object: UnstructuredObject,
    context: RequestContext,
    mayRetry = false,
  ): Promise<WrittenObject | undefined> {
    const { strategy, resource } = this;
    // A dry run ends before the storage, which is where upstream checks this.
    if ((object.metadata.resourceVersion ?? '') !== '' && !context.dryRun)
      throw newUnknownError('resourceVersion should not be set on objects to be created');
    strategy.applyDefaults?.(object);
    await this.#trackFields(object, undefined, context);
    const attributes = this.attributes('CREATE', '', object, undefined, context);
    await this.admit(attributes);
    fillObjectMeta(object.metadata, { uid: randomUUID(), now: formatTime(context.nowMs) });
    if (countsGenerations(resource)) object.metadata.generation = 1;
    else delete object.metadata.generation;
    if (strategy.prepareForCreate !== undefined) strategy.prepareForCreate(object, strategyContext(context));
    else if (this.#hasStatus) delete object['status'];
    if (strategy.emptyStatus !== undefined) object['status'] ??= structuredClone(strategy.emptyStatus);
    this.check(object, [...validateObjectMeta(object.metadata, resource), ...(strategy.validate?.(object) ?? [])]);
    await this.validateAdmission(attributes);
    for (const warning of strategy.warnings?.(object) ?? []) context.warn(warning);
    const transition = await this.hooks.beforeCreate?.(object, context);
    const name = object.metadata.name ?? '';
    const key = this.keyOf(context.namespace, name);
    const value = encodeObject(await this.#toStored(object, transition));
    if (context.dryRun) {
      await transition?.rollback();
      if (this.cache.get(key) !== undefined) throw newAlreadyExists(resource, name);
      return await this.#dryWritten(object, value, undefined);
    }
    const result = await this.#write(transition, async () =>
      this.store.create(key, value, { lease: await this.#options.lease?.() }),
    );
    if (!result.succeeded) {
      if (mayRetry) return undefined;
      throw newAlreadyExists(resource, name);
    }
    return await this.#written(object, value, result.revision);
  }

  /** As the object is to be stored. What a hook began ends where it cannot be. */
  async #toStored(object: UnstructuredObject, transition: Transition | undefined): Promise<UnstructuredObject> {
    const { storageVersion } = this.#options;
    if (storageVersion === undefined) return object;
    try {
      return await storageVersion.toStored(object);
    } catch (error) {
      await transition?.rollback();
      throw error;
    }
  }

  /** A stored object as the registry has it. */
  async #fromStored(value: Buffer, revision: number): Promise<UnstructuredObject> {
    const object = decodeObject(value, revision);
    return (await this.#options.storageVersion?.fromStored(object)) ?? object;
  }

  /** What clients are told of a write: what a read would say. */
  async #written(object: UnstructuredObject, value: Buffer, revision: number): Promise<WrittenObject> {
    if (this.#options.storageVersion === undefined) return written(object, value, revision);
    const stored = await this.#fromStored(value, revision);
    return { object: stored, bytes: Buffer.from(JSON.stringify(stored)) };
  }

  /** The same of a write in a dry run; `revision` is that of the object as it is, undefined if there is none. */
  async #dryWritten(object: UnstructuredObject, value: Buffer, revision: number | undefined): Promise<WrittenObject> {
    const { storageVersion } = this.#options;
    if (storageVersion === undefined)
      return { object, bytes: revision === undefined ? value : spliceRevision(value, revision) };
    const stored = await this.#fromStored(value, revision ?? 0);
    if (revision === undefined) delete stored.metadata.resourceVersion;
    return { object: stored, bytes: Buffer.from(JSON.stringify(stored)) };
  }

  /** Ends what a hook began by what became of the write. A write of unknown fate keeps what it may have used. */
  async #write(transition: Transition | undefined, write: () => Promise<WriteResult>): Promise<WriteResult> {
    const result = await write();
    if (result.succeeded) await transition?.commit();
    else await transition?.rollback();
    return result;
  }

  /**
   * Changes one object by `step`, on the newest version: first tried on the cached one, which may be stale, then on what the
   * store says. Writes nothing when nothing changes, which also is true of the newest version only.
   */
  async guaranteedUpdate(
    namespace: string,
    name: string,
    context: { readonly dryRun: boolean },
    step: UpdateStep,
  ): Promise<UpdatedObject> {
    const key = this.keyOf(namespace, name);
    const cached = this.cache.get(key);
    // A dry run has no write in which the store would find the cached one to be old.
    let isFresh = cached === undefined || context.dryRun;
    let current: StoredValue | undefined =
      cached === undefined || isFresh
        ? await this.store.get(key)
        : { value: cached.bytes, modRevision: cached.revision };
    for (let tries = 0; tries < UPDATE_TRIES_MAX; tries++) {
      if (current === undefined) throw newNotFound(this.resource, name);
      const stored: StoredValue = current;
      const old = await this.#fromStored(stored.value, stored.modRevision);
      try {
        const done = await this.#tryUpdate(key, old, stored, context, step);
        if ('current' in done) {
          current = done.current;
        } else {
          if (isFresh || done.effect !== 'none') return done;
          current = await this.store.get(key);
          if (current?.modRevision === stored.modRevision) return done;
        }
        isFresh = true;
      } catch (error) {
        if (isFresh) throw error;
        // What it refuses may be the cache's age. Ask the store before the client is told.
        current = await this.store.get(key);
        isFresh = true;
        if (current?.modRevision === stored.modRevision) throw error;
      }
    }
    throw newModifiedConflict(this.resource, name);
  }

  async #tryUpdate(
    key: string,
    old: UnstructuredObject,
    stored: StoredValue,
    context: { readonly dryRun: boolean },
    step: UpdateStep,
  ): Promise<UpdatedObject | { readonly current: StoredValue | undefined }> {
    const { object, transition, remove = false } = await step(old, stored);
    ignoreTimestamps(object, old);
    // What goes is not stored any more.
    const toStore = remove ? object : await this.#toStored(object, transition);
    // What is as it was may still be stored in another version than it should be.
    const before = toStore === object ? old : decodeObject(stored.value, stored.modRevision);
    if (!remove && equalJson(before, toStore) && !(await this.store.isStale(key))) {
      await transition?.rollback();
      return { object, bytes: spliceRevision(encodeObject(object), stored.modRevision), effect: 'none' };
    }
    const value = encodeObject(toStore);
    if (context.dryRun) {
      await transition?.rollback();
      if (remove) return { object, bytes: spliceRevision(value, stored.modRevision), effect: 'removed' };
      return { ...(await this.#dryWritten(object, value, stored.modRevision)), effect: 'updated' };
    }
    const result = await this.#write(transition, async () =>
      remove
        ? this.store.delete(key, stored.modRevision)
        : this.store.update(key, stored.modRevision, value, { lease: await this.#options.lease?.() }),
    );
    if (!result.succeeded) return { current: result.current };
    if (!remove) return { ...(await this.#written(object, value, result.revision)), effect: 'updated' };
    await this.hooks.afterDelete?.(object);
    return { ...written(object, value, result.revision), effect: 'removed' };
  }

  /**
   * PUT and PATCH: `make` builds the new object from the stored one, and may run again on a newer one. '' is the object
   * itself, `status` its status; others are the strategy's.
   */
  async update(
    name: string,
    subresource: string,
    make: (old: UnstructuredObject) => UnstructuredObject | Promise<UnstructuredObject>,
    context: RequestContext,
  ): Promise<WrittenObject> {
    return await this.guaranteedUpdate(context.namespace, name, context, async (old) => {
      const object = await make(old);
      const transition = await this.#prepareUpdate(object, old, subresource, context);
      return { object, remove: isReadyToGo(object, old), ...(transition === undefined ? {} : { transition }) };
    });
  }

  async #prepareUpdate(
    object: UnstructuredObject,
    old: UnstructuredObject,
    subresource: string,
    context: RequestContext,
  ): Promise<Transition | undefined> {
    const { strategy, resource } = this;
    ensureNamespace(object, resource, context.namespace);
    if (strategy.allowUnconditionalUpdate === false && (object.metadata.resourceVersion ?? '') === '')
      throw newInvalid(resource, old.metadata.name ?? '', [
        fieldInvalid('metadata.resourceVersion', 0, 'must be specified for an update'),
      ]);
    checkPreconditions(resource, old, undefined, object.metadata.resourceVersion);
    object.metadata.resourceVersion = old.metadata.resourceVersion ?? '';
    strategy.applyDefaults?.(object);
    await this.#trackFields(object, old, context);
    const attributes = this.attributes('UPDATE', subresource, object, old, context);
    await this.admit(attributes);
    keepObjectMeta(object.metadata, old.metadata);
    const errors = validateObjectMetaUpdate(object.metadata, old.metadata);
    if (subresource === 'status') {
      if (strategy.prepareForStatusUpdate !== undefined)
        strategy.prepareForStatusUpdate(object, old, strategyContext(context));
      else keepAllButStatus(object, old, strategy);
      this.check(object, [
        ...validateObjectMeta(object.metadata, resource),
        ...errors,
        ...(strategy.validateStatusUpdate?.(object, old) ?? []),
      ]);
    } else if (subresource !== '') {
      const own = strategy.subresources?.[subresource];
      if (own === undefined) throw new Error(`${resource.resource} have no strategy for ${subresource}`);
      own.prepareForUpdate(object, old);
      this.#countGeneration(object, old);
      this.check(object, [...errors, ...own.validateUpdate(object, old)]);
    } else {
      this.#prepareMainUpdate(object, old, context);
      this.check(object, [
        ...validateObjectMeta(object.metadata, resource),
        ...errors,
        ...(strategy.validateUpdate?.(object, old) ?? strategy.validate?.(object) ?? []),
      ]);
    }
    await this.validateAdmission(attributes);
    for (const warning of strategy.warnings?.(object) ?? []) context.warn(warning);
    return subresource === '' ? await this.hooks.beforeUpdate?.(object, old, context) : undefined;
  }

  #prepareMainUpdate(object: UnstructuredObject, old: UnstructuredObject, context: RequestContext): void {
    const { strategy } = this;
    if (strategy.prepareForUpdate !== undefined) strategy.prepareForUpdate(object, old, strategyContext(context));
    else if (this.#hasStatus) {
      if (old['status'] === undefined) delete object['status'];
      else object['status'] = old['status'];
    }
    this.#countGeneration(object, old);
  }

  #countGeneration(object: UnstructuredObject, old: UnstructuredObject): void {
    if (!countsGenerations(this.resource)) return;
    const changed = this.strategy.specChanged?.(object, old) ?? specDiffers(object, old);
    const before = old.metadata.generation ?? 0;
    if (changed) object.metadata.generation = before + 1;
  }

  async #trackFields(
    object: UnstructuredObject,
    old: UnstructuredObject | undefined,
    context: RequestContext,
  ): Promise<void> {
    const { versions, resource, strategy } = this;
    const resetFields = resetFieldsOf(resource, strategy, context.fieldManager?.subresource ?? '');
    await trackFields(object, { old, versions, resetFields }, context);
  }

  /** @throws StatusError Invalid with all of them, if there are any. */
  check(object: UnstructuredObject, errors: readonly FieldError[]): void {
    if (errors.length > 0) throw newInvalid(this.resource, object.metadata.name ?? '', errors);
  }

  attributes(
    operation: AdmissionAttributes['operation'],
    subresource: string,
    object: UnstructuredObject | undefined,
    oldObject: UnstructuredObject | undefined,
    context: RequestContext & { readonly options?: unknown },
  ): AdmissionAttributes {
    return {
      operation,
      resource: this.resource,
      equivalents: this.#options.equivalents,
      subresource,
      namespace: context.namespace,
      name: (object ?? oldObject)?.metadata.name ?? '',
      user: context.user,
      dryRun: context.dryRun,
      object,
      oldObject,
      ...(context.options === undefined ? {} : { options: context.options }),
      ...(context.annotate === undefined ? {} : { annotate: context.annotate }),
      warn: (message) => context.warn(message),
    };
  }

  async admit(attributes: AdmissionAttributes): Promise<void> {
    const { admission, admissionStore } = this.#options;
    for (const plugin of admission)
      if (plugin.admit !== undefined && plugin.handles(attributes.operation, this.resource, attributes.subresource))
        await plugin.admit(attributes, admissionStore);
  }

  async validateAdmission(attributes: AdmissionAttributes): Promise<void> {
    const { admission, admissionStore } = this.#options;
    for (const plugin of admission)
      if (plugin.validate !== undefined && plugin.handles(attributes.operation, this.resource, attributes.subresource))
        await plugin.validate(attributes, admissionStore);
  }
}

function written(object: UnstructuredObject, value: Buffer, revision: number): WrittenObject {
  object.metadata.resourceVersion = String(revision);
  return { object, bytes: spliceRevision(value, revision) };
}

export function strategyContext(context: RequestContext): StrategyContext {
  return { now: formatTime(context.nowMs), user: context.user };
}

/** @throws StatusError Conflict when the object is not the one, or not the version, that the client means. */
export function checkPreconditions(
  resource: Resource,
  object: UnstructuredObject,
  uid: string | undefined,
  resourceVersion: string | undefined,
): void {
  const name = object.metadata.name ?? '';
  if (uid !== undefined && uid !== '' && uid !== object.metadata.uid)
    throw newConflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid ?? ''}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== object.metadata.resourceVersion)
    throw newModifiedConflict(resource, name);
}

/** True when the last finalizer of an object that is being deleted went with this update. */
function isReadyToGo(object: UnstructuredObject, old: UnstructuredObject): boolean {
  return (
    old.metadata.deletionTimestamp !== undefined &&
    (old.metadata.finalizers ?? []).length > 0 &&
    (object.metadata.finalizers ?? []).length === 0 &&
    (old.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    // A namespace goes only when it is finalized, too.
    (object.kind !== 'Namespace' ||
      ((object['spec'] as { finalizers?: string[] } | undefined)?.finalizers ?? []).length === 0)
  );
}

/** Whether anything but metadata and status differs. */
function specDiffers(object: UnstructuredObject, old: UnstructuredObject): boolean {
  const { metadata: _a, status: _b, ...rest } = object;
  const { metadata: _c, status: _d, ...oldRest } = old;
  return !equalJson(rest, oldRest);
}
