import type { FieldError, KubeObject, Resource, UnstructuredObject } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';

/** What a strategy may know of the request. Everything else it decides from the objects alone. */
export interface StrategyContext {
  /** Time of the request, RFC 3339 with seconds. */
  readonly now: string;
  /** Who asks, for kinds that record it. */
  readonly user?: UserInfo;
}

/** An update of a part of an object by a path of its own, such as `pods/resize`. */
export interface SubresourceStrategy {
  /** Keeps what this path may not change. */
  prepareForUpdate(object: UnstructuredObject, old: UnstructuredObject): void;
  validateUpdate(object: UnstructuredObject, old: UnstructuredObject): readonly FieldError[];
}

/**
 * What makes a kind different from the others: defaults, validation, what an update may change. PURE: no I/O, no clock.
 * The generic registry has already checked the body against the schema (types, required and unknown fields) and takes
 * care of ObjectMeta (name, generateName, uid, timestamps, resourceVersion, generation, finalizers, owner references).
 * Objects passed to `default*` and `prepare*` are the strategy's to change; objects to be validated are not.
 */
export interface Strategy {
  /** Sets defaults. Runs on every object that comes in, after patches too; must be idempotent. */
  applyDefaults?(object: UnstructuredObject): void;
  /** Drops what a client may not set on create, such as status. Default: drops `status` if there is a status subresource. */
  prepareForCreate?(object: UnstructuredObject, context: StrategyContext): void;
  /** The status of a new object, where upstream's has fields that are always said. */
  readonly emptyStatus?: Readonly<Record<string, unknown>>;
  validate?(object: UnstructuredObject): readonly FieldError[];
  /** Keeps what this path may not change. Default: keeps the old `status` if there is a status subresource. */
  prepareForUpdate?(object: UnstructuredObject, old: UnstructuredObject, context: StrategyContext): void;
  validateUpdate?(object: UnstructuredObject, old: UnstructuredObject): readonly FieldError[];
  /** For the status subresource. Default: everything but `status` and metadata's managed fields stays the old. */
  prepareForStatusUpdate?(object: UnstructuredObject, old: UnstructuredObject, context: StrategyContext): void;
  validateStatusUpdate?(object: UnstructuredObject, old: UnstructuredObject): readonly FieldError[];
  /**
   * Fields that a write of the object ('') or by a subresource cannot set, such as `spec` or `metadata.labels`. Default:
   * `status` if there is a status subresource, and `spec` of that.
   */
  readonly resetFields?: Readonly<Record<string, readonly string[]>>;
  /** Of subresources other than status that hold a part of the object. */
  readonly subresources?: Readonly<Record<string, SubresourceStrategy>>;
  /** Whether generation counts up: default, when anything but metadata and status differs. */
  specChanged?(object: UnstructuredObject, old: UnstructuredObject): boolean;
  /** Warnings for the client (Warning headers). */
  warnings?(object: UnstructuredObject): readonly string[];
  /** Changes an object whose deletion begins, such as by a finalizer of the server's own. */
  prepareForDelete?(object: UnstructuredObject, context: StrategyContext): void;
  /** Seconds a deletion waits for the object's owner to confirm it (pods: 30); undefined deletes at once. */
  gracePeriodSeconds?(object: UnstructuredObject, requested: number | undefined): number | undefined;
  /** Field selectors beyond metadata.name and metadata.namespace, with the object's value for each. */
  readonly selectableFields?: Readonly<Record<string, (object: UnstructuredObject) => string>>;
  /** What a deletion does with dependents when the request does not say; default Background. */
  readonly defaultPropagation?: 'Background' | 'Orphan';
  /** Whether PUT to a name that is not there creates it, as upstream allows for some kinds; default false. */
  readonly allowCreateOnUpdate?: boolean;
  /** Whether an update need not say which version it changes; default true. */
  readonly allowUnconditionalUpdate?: boolean;
}

/** A column of `kubectl get`. */
export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date' | 'boolean' | 'number';
  readonly format?: string;
  readonly description?: string;
  /** 0 is always shown, 1 with -o wide. */
  readonly priority?: number;
}

/** Columns of a kind and the cells of one object, in the columns' order. `nowMs` is for ages. */
export interface TableConvertor {
  readonly columns: readonly TableColumn[];
  /** One a column. A cell that tells how long ago something was is an `Elapsed`, so that the others can be kept. */
  cells(object: UnstructuredObject): unknown[];
}

/** Everything the server knows of a kind. */
export interface ResourceRegistration<T extends KubeObject = KubeObject> {
  readonly resource: Resource<T>;
  readonly strategy: Strategy;
  readonly table: TableConvertor;
}
