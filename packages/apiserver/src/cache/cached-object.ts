import type { UnstructuredObject } from '@naru/api';

/** What the cache knows of one object: its bytes, and beside them what lists and watches select by. */
export interface CachedObject {
  /** The store's key, such as `/registry/pods/default/x`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** The store's modRevision: the object's resourceVersion. */
  readonly revision: number;
  /** JSON of the object with its resourceVersion, as clients get it. Shared: never written to. */
  readonly bytes: Buffer;
  readonly labels: Readonly<Record<string, string>>;
  /** Values of the selectable fields, metadata.name and metadata.namespace included. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Values that a kind can be selected by, beyond name and namespace. */
export type SelectableFields = Readonly<Record<string, (object: UnstructuredObject) => string>>;

const noLabels: Readonly<Record<string, string>> = Object.freeze({});

/** Indexes an object; `parsed` is what `bytes` say. */
export function newCachedObject(
  key: string,
  revision: number,
  bytes: Buffer,
  parsed: UnstructuredObject,
  selectable: SelectableFields,
): CachedObject {
  const { name = '', namespace = '', labels } = parsed.metadata;
  const fields: Record<string, string> = { 'metadata.name': name };
  if (namespace !== '') fields['metadata.namespace'] = namespace;
  for (const [field, valueOf] of Object.entries(selectable)) fields[field] = valueOf(parsed);
  return { key, namespace, name, revision, bytes, labels: labels ?? noLabels, fields };
}
