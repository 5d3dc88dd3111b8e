/**
 * Schemas of the built-in kinds: what `scripts/generate.ts` compiles out of the models of @kubernetes/client-node and the
 * facts in packages/api/data.
 */

/** How a value of a type is written in JSON, and what else is known of it. */
export type FieldSchema = FieldType & {
  /** OpenAPI's `required`. Decoding does not check it; validation may. */
  readonly required?: true;
  /** Upstream's values of a string type; some of these types are open. */
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listMapKeys?: readonly string[];
  readonly mapType?: 'atomic' | 'granular';
  /** Of strategic merge patch: `merge`, `replace`, `retainKeys`, `merge,retainKeys`. */
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  /** Name of its Go type, or of its elements' type, where that is a named one: it stands in decoding errors. */
  readonly goType?: string;
};

export type FieldType =
  | { readonly type: 'string' | 'boolean' | 'number' | 'any' | 'bytes' }
  | { readonly type: 'integer'; readonly format: 'int32' | 'int64' }
  | { readonly type: 'IntOrString' | 'Quantity' | 'Time' | 'MicroTime' }
  | { readonly type: 'array'; readonly items: FieldType }
  | { readonly type: 'map'; readonly items: FieldType }
  | { readonly type: 'ref'; readonly ref: string };

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** Schema of one model. */
export interface ModelSchema {
  /** Upstream's definition name, such as `io.k8s.api.core.v1.Pod`. */
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldSchema>>;
  /** Set on the models of kinds and their lists. */
  readonly gvk?: GroupVersionKind;
  readonly mapType?: 'atomic' | 'granular';
  readonly unions?: readonly {
    readonly discriminator: string;
    readonly fields: readonly { readonly fieldName: string; readonly discriminatorValue: string }[];
  }[];
}

/** All schemas by the name of their model, such as `V1Pod`. */
export type Schemas = Readonly<Record<string, ModelSchema>>;

/** Descriptions by model and field; the model's own is under ''. */
export type SchemaDocs = Readonly<Record<string, Readonly<Record<string, string>>>>;
