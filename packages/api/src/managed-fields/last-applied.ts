/** The annotation of `kubectl apply` on the client: who goes over to server-side apply owns what it says. */
import { isJsonObject } from '../patch/json.ts';
import type { UnstructuredObject } from '../object.ts';
import { typeIn } from './entries.ts';
import type { Application } from './apply.ts';
import { difference, union, type FieldSet } from './field-set.ts';
import { changedFields, removedFields, setOf } from './typed-value.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** Bytes of all annotations of an object, keys and values. */
const ANNOTATIONS_BYTES_MAX = 256 * 1024;

/** kubectl's own; who does not want any of this applies by another name. */
function isKubectl({ manager }: Application): boolean {
  return manager === 'kubectl';
}

/** Fields that kubectl may take from others: those that are as it last applied them on the client. */
export function fieldsOfLastApplied(live: UnstructuredObject, application: Application): FieldSet | undefined {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (!isKubectl(application) || text === undefined) return undefined;
  let applied: unknown;
  try {
    applied = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { apiVersion } = application;
  if (!isJsonObject(applied) || applied['apiVersion'] !== apiVersion || live.apiVersion !== apiVersion)
    return undefined;
  const type = typeIn(application, apiVersion);
  const differs = union(changedFields(applied, live, type), removedFields(applied, live, type));
  return difference(setOf(applied, type), differs);
}

/** With fields in the order in which kubectl has them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const names = Object.keys(value).toSorted();
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]));
}

/** Keeps the annotation, where there is one, as what is applied. */
export function withLastApplied(object: UnstructuredObject, application: Application): UnstructuredObject {
  const { annotations } = object.metadata;
  if (!isKubectl(application) || annotations?.[LAST_APPLIED] === undefined) return object;
  const { metadata, ...config } = application.config;
  const { [LAST_APPLIED]: _last, ...others } = metadata.annotations ?? {};
  const { annotations: _annotations, ...meta } = metadata;
  const hasOthers = Object.keys(others).length > 0;
  const text = JSON.stringify(sorted({ ...config, metadata: hasOthers ? { ...meta, annotations: others } : meta }));
  annotations[LAST_APPLIED] = `${text}\n`;
  const bytes = Object.entries(annotations).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (bytes > ANNOTATIONS_BYTES_MAX) annotations[LAST_APPLIED] = '';
  return object;
}
