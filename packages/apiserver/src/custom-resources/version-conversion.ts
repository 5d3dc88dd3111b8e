/**
 * Objects of a custom resource in another version (k8s.io/apiextensions-apiserver/pkg/apiserver): those that are stored get
 * the defaults of the version that they are stored in, are converted, and lose what the new version does not know.
 */
import {
  apiVersionOf,
  cloneJson,
  hasDefaults,
  isJsonObject,
  pruneObject,
  readCustomObject,
  type CustomResourceDefinition,
  type JsonSchema,
  type KindModel,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { EquivalentResources } from '../admission/admission.ts';
import type { StorageVersion } from '../registry/storage-version.ts';
import type { KindVersions } from '../registry/kind-versions.ts';
import type { ReadView } from '../server/version-view.ts';

/** Converts objects to an API version; those that are of it already are not given to it. It may change its arguments. */
export type ConvertObjects = (
  objects: readonly UnstructuredObject[],
  apiVersion: string,
) => Promise<readonly UnstructuredObject[]>;

export interface VersionConversionOptions {
  readonly definition: CustomResourceDefinition;
  /** Undefined: versions differ in nothing but their names. */
  readonly convert: ConvertObjects | undefined;
}

export class VersionConversion implements KindVersions {
  readonly #convert: ConvertObjects | undefined;
  readonly #schemas: ReadonlyMap<string, JsonSchema>;
  readonly #definition: CustomResourceDefinition;

  constructor({ definition, convert }: VersionConversionOptions) {
    this.#definition = definition;
    this.#convert = convert;
    const { group, versions } = definition.spec;
    this.#schemas = new Map(
      versions.map(({ name, schema }) => [
        apiVersionOf({ group, version: name }),
        (schema?.openAPIV3Schema ?? {}) as unknown as JsonSchema,
      ]),
    );
  }

  /** Whether stored objects may differ from what is served in the version. */
  #mayDiffer(served: Resource, stored: Resource): boolean {
    const isOnlyStored = (this.#definition.status?.storedVersions ?? []).every((each) => each === served.version);
    return this.asks || served.version !== stored.version || !isOnlyStored || hasDefaults(served.schema ?? {});
  }

  /** Whether somebody must be asked for other versions. */
  get asks(): boolean {
    return this.#convert !== undefined && this.#schemas.size > 1;
  }

  /** How a version is read where nobody must be asked; undefined: the stored bytes are what is served. */
  readView(served: Resource, stored: Resource): ReadView | undefined {
    if (!this.#mayDiffer(served, stored)) return undefined;
    return { served, fromStored: (object) => this.#renamed(this.#defaulted(object), apiVersionOf(served)) };
  }

  /** How a version is written; undefined: as it is. */
  storageVersion(served: Resource, stored: Resource): StorageVersion | undefined {
    if (!this.#mayDiffer(served, stored)) return undefined;
    return {
      fromStored: async (object) => await this.#one(this.#defaulted(object), apiVersionOf(served)),
      toStored: async (object) => await this.#one(cloneJson(object), apiVersionOf(stored)),
    };
  }

  /** All versions of the definition: fields may be owned in those that are not served any more. */
  modelOf(apiVersion: string): KindModel | undefined {
    const schema = this.#schemas.get(apiVersion);
    return schema === undefined ? undefined : { model: this.#definition.spec.names.kind, schema };
  }

  /** The served versions as admission sees them; undefined where there is one. */
  equivalents(resources: readonly Resource[]): EquivalentResources | undefined {
    if (resources.length < 2) return undefined;
    return { resources, convert: async (object, to) => await this.convert(object, apiVersionOf(to)) };
  }

  /** The argument is not changed. */
  async convert(object: UnstructuredObject, apiVersion: string): Promise<UnstructuredObject> {
    return await this.#one(cloneJson(object), apiVersion);
  }

  async #one(object: UnstructuredObject, apiVersion: string): Promise<UnstructuredObject> {
    const [converted = object] = await this.convertAll([object], apiVersion);
    return converted;
  }

  /** Stored objects in a version. */
  async read(objects: readonly UnstructuredObject[], apiVersion: string): Promise<readonly UnstructuredObject[]> {
    return await this.convertAll(
      objects.map((object) => this.#defaulted(object)),
      apiVersion,
    );
  }

  /** Objects in a version; those that have another may be changed. */
  async convertAll(objects: readonly UnstructuredObject[], apiVersion: string): Promise<readonly UnstructuredObject[]> {
    if (this.#convert === undefined) return objects.map((object) => this.#renamed(object, apiVersion));
    const others = objects.filter((object) => object.apiVersion !== apiVersion);
    if (others.length === 0) return objects;
    const converted = (await this.#convert(others, apiVersion)).values();
    return objects.map((object) =>
      object.apiVersion === apiVersion ? object : this.#pruned(converted.next().value ?? object),
    );
  }

  #renamed(object: UnstructuredObject, apiVersion: string): UnstructuredObject {
    if (object.apiVersion === apiVersion) return object;
    object.apiVersion = apiVersion;
    return this.#pruned(object);
  }

  #pruned(object: UnstructuredObject): UnstructuredObject {
    const schema = this.#schemas.get(object.apiVersion);
    if (schema !== undefined && isJsonObject(object)) pruneObject(object, schema);
    return object;
  }

  /** A stored object as the version that it is stored in has it today. */
  #defaulted(object: UnstructuredObject): UnstructuredObject {
    const read = cloneJson(object);
    const schema = this.#schemas.get(read.apiVersion);
    if (schema !== undefined) readCustomObject(read, schema);
    return read;
  }
}
