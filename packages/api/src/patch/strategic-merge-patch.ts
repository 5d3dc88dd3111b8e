/**
 * Strategic merge patch (k8s.io/apimachinery/pkg/util/strategicpatch): a merge patch that knows the schema. Lists whose
 * patch strategy is `merge` are merged by their merge key, lists of scalars as sets; directives steer it:
 *
 *     $patch: replace | delete | merge       of the map it stands in, or of the list whose element it is
 *     $retainKeys: [FIELD…]                  drops the other fields of the map
 *     $deleteFromPrimitiveList/FIELD: […]    takes scalars out of a list
 *     $setElementOrder/FIELD: […]            order of a merged list
 */
import type { FieldSchema, FieldType } from '../schema.ts';
import { schemaOf } from '../schemas.ts';
import { newBadRequest } from '../status.ts';
import { cloneJson, isJsonObject, setOwn, type JsonObject } from './json.ts';
import { checkSetElementOrder, enforceOrder, identityOf, positionsOf, type List } from './list-order.ts';
import { newBadFormat, newBadPatchType, newNoMergeKey, newPlainError } from './patch-errors.ts';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM_PRIMITIVE_LIST = '$deleteFromPrimitiveList/';
const SET_ELEMENT_ORDER = '$setElementOrder/';

/** What the schema says of the values under a key; undefined where nothing is known, as inside maps and any. */
type Schema = FieldSchema | FieldType | undefined;

function fieldOf(schema: Schema, key: string): FieldSchema | FieldType | undefined {
  if (schema?.type === 'map') return schema.items;
  if (schema?.type !== 'ref') return undefined;
  const fields = schemaOf(schema.ref)?.fields;
  return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Merge key and whether the list is merged; other lists are replaced. */
function listStrategy(field: Schema): { readonly merge: boolean; readonly mergeKey: string } {
  const { patchStrategy = '', patchMergeKey = '' } = (field ?? {}) as Partial<FieldSchema>;
  return { merge: patchStrategy.split(',').includes('merge'), mergeKey: patchMergeKey };
}

function replacesMap(field: Schema): boolean {
  const { patchStrategy = '' } = (field ?? {}) as Partial<FieldSchema>;
  return patchStrategy.split(',').includes('replace');
}

const isDirective = (key: string): boolean =>
  key === DIRECTIVE ||
  key === RETAIN_KEYS ||
  key.startsWith(DELETE_FROM_PRIMITIVE_LIST) ||
  key.startsWith(SET_ELEMENT_ORDER);

/** A patch's value where the original has none: without directives, nulls and what they delete. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value))
    return value.filter((each) => !isJsonObject(each) || !Object.hasOwn(each, DIRECTIVE)).map(withoutDirectives);
  if (!isJsonObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value))
    if (!isDirective(key) && value[key] !== null) setOwn(result, key, withoutDirectives(value[key]));
  return result;
}

function applyRetainKeys(original: JsonObject, patch: JsonObject): void {
  if (!Object.hasOwn(patch, RETAIN_KEYS)) return;
  const keys = patch[RETAIN_KEYS];
  delete patch[RETAIN_KEYS];
  if (!Array.isArray(keys)) throw newBadFormat('retainKeys');
  const retained = new Set<unknown>(keys);
  for (const key of Object.keys(patch))
    if (patch[key] !== null && !isDirective(key) && !retained.has(key)) throw newBadFormat('retainKeys');
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

function listUnder(object: JsonObject, key: string): List | undefined {
  if (!Object.hasOwn(object, key) || object[key] === null) return undefined;
  const value = object[key];
  if (!Array.isArray(value)) throw newBadFormat('setElementOrder list');
  return value;
}

/** Merges each list that has a `$setElementOrder` and takes both out of the patch. */
function applySetElementOrder(original: JsonObject, patch: JsonObject, schema: Schema): void {
  for (const directive of Object.keys(patch)) {
    if (!directive.startsWith(SET_ELEMENT_ORDER)) continue;
    const order = patch[directive];
    delete patch[directive];
    if (!Array.isArray(order)) throw newBadFormat('setElementOrder list');
    const key = directive.slice(SET_ELEMENT_ORDER.length);
    const field = fieldOf(schema, key);
    if (field === undefined) throw newUnknownField(schema, key);
    const before = listUnder(original, key);
    const change = listUnder(patch, key);
    const { merge, mergeKey } = listStrategy(field);
    checkSetElementOrder(change ?? [], order, mergeKey);
    if (before === undefined && change === undefined) continue;
    delete patch[key];
    const serverOrder = before === undefined ? [] : [...before];
    let merged: List;
    if (change === undefined) merged = before ?? [];
    else if (before === undefined) merged = withoutDirectives(change) as List;
    else merged = merge ? mergeList(before, change, field, mergeKey) : change;
    setOwn(original, key, enforceOrder(merged, { patchOrder: order, serverOrder, mergeKey }));
  }
}

function newUnknownField(schema: Schema, key: string): Error {
  const name = schema?.type === 'ref' ? (schemaOf(schema.ref)?.name.split('.').at(-1) ?? '') : 'map';
  return newPlainError(`unable to find api field in struct ${name} for the json field ${JSON.stringify(key)}`);
}

/** Deletes, merges and appends what a patch says of a list of objects. */
function mergeObjects(original: List, patch: List, items: FieldType, mergeKey: string): List {
  const deleted = new Set<string>();
  let replace = false;
  const changes: JsonObject[] = [];
  for (const element of patch) {
    if (!isJsonObject(element)) throw newPlainError('list element types are not identical');
    if (!Object.hasOwn(element, DIRECTIVE)) {
      changes.push(element);
      continue;
    }
    const directive = element[DIRECTIVE];
    if (directive === 'delete') {
      const identity = identityOf(element, mergeKey);
      if (identity === undefined) throw newNoMergeKey(element, mergeKey);
      deleted.add(identity);
    } else if (directive === 'replace') {
      replace = true;
    } else if (directive === 'merge') {
      throw newPlainError('merging lists cannot yet be specified in the patch');
    } else {
      throw newBadPatchType(directive, element);
    }
  }
  if (replace) return withoutDirectives(changes) as List;
  const list = original.filter((each) => !deleted.has(identityOf(each, mergeKey) ?? ''));
  const positions = positionsOf(list, mergeKey);
  for (const change of changes) {
    const identity = identityOf(change, mergeKey);
    if (identity === undefined) throw newNoMergeKey(change, mergeKey);
    const at = positions.get(identity);
    const found = at === undefined ? undefined : list[at];
    if (at !== undefined && isJsonObject(found)) {
      list[at] = mergeMap(found, change, items);
    } else {
      positions.set(identity, list.length);
      list.push(withoutDirectives(change));
    }
  }
  return list;
}

function uniqueScalars(list: List): List {
  return [...positionsOf(list, '').values()].map((at) => list[at]);
}

function mergeList(original: List, patch: List, field: FieldSchema | FieldType, mergeKey: string): List {
  if (original.length === 0 && patch.length === 0) return original;
  const ofObjects = isJsonObject(original[0] ?? patch[0]);
  if (!ofObjects) {
    const merged = uniqueScalars([...original, ...patch]);
    return enforceOrder(merged, { patchOrder: patch, serverOrder: original, mergeKey: '' });
  }
  if (mergeKey === '' || field.type !== 'array') {
    const name = field.type === 'array' && field.items.type === 'ref' ? field.items.ref : field.type;
    throw newPlainError(`cannot merge lists without merge key for ${name}`);
  }
  const merged = mergeObjects(original, patch, field.items, mergeKey);
  const named = patch.filter((each) => isJsonObject(each) && !Object.hasOwn(each, DIRECTIVE));
  return enforceOrder(merged, { patchOrder: named, serverOrder: original, mergeKey });
}

function deleteScalars(original: unknown, values: unknown): unknown {
  if (!Array.isArray(values)) throw newBadFormat('primitive list');
  const deleted = positionsOf(values, '');
  return Array.isArray(original) ? original.filter((each) => !deleted.has(JSON.stringify(each))) : original;
}

function mergeValue(original: unknown, change: unknown, field: Schema): unknown {
  if (isJsonObject(original) && isJsonObject(change))
    return replacesMap(field) ? withoutDirectives(change) : mergeMap(original, change, field);
  if (Array.isArray(original) && Array.isArray(change)) {
    const { merge, mergeKey } = listStrategy(field);
    return merge && field !== undefined ? mergeList(original, change, field, mergeKey) : withoutDirectives(change);
  }
  return withoutDirectives(change);
}

function mergeMap(original: JsonObject, patch: JsonObject, schema: Schema): JsonObject {
  if (Object.hasOwn(patch, DIRECTIVE)) {
    const directive = patch[DIRECTIVE];
    if (directive === 'delete') return {};
    if (directive !== 'replace') throw newBadPatchType(directive, patch);
    return withoutDirectives(patch) as JsonObject;
  }
  applyRetainKeys(original, patch);
  applySetElementOrder(original, patch, schema);
  for (const key of Object.keys(patch)) {
    const change = patch[key];
    if (key.startsWith(DELETE_FROM_PRIMITIVE_LIST)) {
      const list = key.slice(DELETE_FROM_PRIMITIVE_LIST.length);
      if (Object.hasOwn(original, list)) original[list] = deleteScalars(original[list], change);
    } else if (change === null) {
      delete original[key];
    } else if (Object.hasOwn(original, key)) {
      setOwn(original, key, mergeValue(original[key], change, fieldOf(schema, key)));
    } else {
      setOwn(original, key, withoutDirectives(change));
    }
  }
  return original;
}

/**
 * The document with the patch applied by the schema of `model`, such as `V1Pod`; neither is changed. Throws BadRequest for
 * malformed directives, and as upstream a 500 without reason for a list element without its merge key.
 */
export function applyStrategicMergePatch(document: JsonObject, patch: unknown, model: string): JsonObject {
  if (!isJsonObject(patch)) throw newBadRequest('invalid JSON document');
  return mergeMap(cloneJson(document), cloneJson(patch), { type: 'ref', ref: model });
}
