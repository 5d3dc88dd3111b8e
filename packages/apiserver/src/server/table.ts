/** meta.k8s.io/v1 Tables and PartialObjectMetadata: what kubectl shows and what metadata-only clients read. */
import { newBadRequest, type UnstructuredObject } from '@naru/api';
import { frameHead, type CacheEventType, type FrameEncoder } from '../cache/cache-event.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { TableConvertor } from '../registry/strategy.ts';
import type { ReadView } from './version-view.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** @throws StatusError BadRequest. */
export function includeObjectOf(query: URLSearchParams): IncludeObject {
  const value = query.get('includeObject') ?? '';
  if (value === '') return 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw newBadRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`);
}

export function parseCached(bytes: Buffer): UnstructuredObject {
  return JSON.parse(bytes.toString()) as UnstructuredObject;
}

export function partialMetadata(object: UnstructuredObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

/** One row. */
export function tableRow(
  object: UnstructuredObject,
  table: TableConvertor,
  includeObject: IncludeObject,
  nowMs: number,
): object {
  const shown = includeObject === 'None' ? null : includeObject === 'Metadata' ? partialMetadata(object) : object;
  return { cells: table.cells(object, nowMs), object: shown };
}

/** Everything of a Table before its rows, open at the end: rows and `]}` follow. */
export function tableHead(table: TableConvertor, metadata: object): string {
  return openTable(metadata, columnDefinitionsOf(table));
}

function openTable(metadata: object, columnDefinitions: readonly object[] | null): string {
  const head = { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions };
  return `${JSON.stringify(head).slice(0, -1)},"rows":[`;
}

function columnDefinitionsOf(table: TableConvertor): readonly object[] {
  return table.columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

export const tableTail = ']}';

/** A Table of one object. */
export function tableOfOne(
  object: UnstructuredObject,
  table: TableConvertor,
  includeObject: IncludeObject,
  nowMs: number,
  columns: readonly object[] | null = columnDefinitionsOf(table),
): string {
  const { resourceVersion } = object.metadata;
  const row = JSON.stringify(tableRow(object, table, includeObject, nowMs));
  return `${openTable(resourceVersion === undefined ? {} : { resourceVersion }, columns)}${row}${tableTail}`;
}

/** Frames of a watch as Tables, of a view's version if there is one. Only the first one names the columns. */
export function tableEncoder(
  table: TableConvertor,
  includeObject: IncludeObject,
  { now, read }: { readonly now: () => number; readonly read?: ReadView | undefined },
): FrameEncoder {
  const key = `table ${includeObject}${read === undefined ? '' : ` ${read.served.version}`}`;
  const encode = (type: CacheEventType, { bytes }: CachedObject, columns?: null): Buffer => {
    const object = parseCached(bytes);
    const text = tableOfOne(read?.fromStored(object) ?? object, table, includeObject, now(), columns);
    return Buffer.from(`${frameHead(type)}${text}}\n`);
  };
  return {
    key,
    encode: (type, object) => encode(type, object),
    following: { key: `${key} without columns`, encode: (type, object) => encode(type, object, null) },
  };
}

/** Frames of a watch as PartialObjectMetadata. */
export const metadataEncoder: FrameEncoder = {
  key: 'metadata',
  encode: (type, object) =>
    Buffer.from(`${frameHead(type)}${JSON.stringify(partialMetadata(parseCached(object.bytes)))}}\n`),
};
