/** meta.k8s.io/v1 Tables and PartialObjectMetadata: what kubectl shows and what metadata-only clients read. */
import { newBadRequest, type UnstructuredObject } from '@naru/api';
import { frameHead, type CacheEventType, type FrameEncoder } from '../cache/cache-event.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { TableConvertor } from '../registry/strategy.ts';
import { Elapsed } from '../registry/tables/duration.ts';
import { metadataOf } from '../storage/object-codec.ts';
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

/** One buffer of pieces of JSON. */
export function concatChunks(chunks: readonly (string | Buffer)[]): Buffer {
  let size = 0;
  for (const chunk of chunks) size += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
  const joined = Buffer.allocUnsafe(size);
  let at = 0;
  for (const chunk of chunks) at += typeof chunk === 'string' ? joined.write(chunk, at) : chunk.copy(joined, at);
  return joined;
}

const partialHead = '{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":';

/** `partialMetadata` of a cached object as JSON, without parsing it. */
export function partialMetadataChunks({ bytes }: CachedObject): readonly (string | Buffer)[] {
  return [partialHead, metadataOf(bytes), '}'];
}

export function partialMetadata(object: UnstructuredObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

/** One row, as JSON. */
export function tableRow(
  object: UnstructuredObject,
  table: TableConvertor,
  includeObject: IncludeObject,
  nowMs: number,
): string {
  const shown = includeObject === 'None' ? null : includeObject === 'Metadata' ? partialMetadata(object) : object;
  return `{"cells":${new RowCells(table, object).at(nowMs)},"object":${JSON.stringify(shown)}}`;
}

/** The row of a cached object, as pieces of JSON. It is parsed for its first row only. */
export function cachedTableRow(
  object: CachedObject,
  table: TableConvertor,
  includeObject: IncludeObject,
  nowMs: number,
): readonly (string | Buffer)[] {
  let cells = cellsOfCached.get(object);
  if (cells?.table !== table) {
    cells = new RowCells(table, parseCached(object.bytes));
    cellsOfCached.set(object, cells);
  }
  const head = `{"cells":${cells.at(nowMs)},"object":`;
  if (includeObject === 'None') return [head, 'null}'];
  return includeObject === 'Object' ? [head, object.bytes, '}'] : [head, ...partialMetadataChunks(object), '}'];
}

const cellsOfCached = new WeakMap<CachedObject, RowCells>();

/** The cells of a row as JSON, where those that change with time are left to be filled in. */
class RowCells {
  readonly table: TableConvertor;
  readonly #pieces: (string | Elapsed)[] = [];

  constructor(table: TableConvertor, object: UnstructuredObject) {
    this.table = table;
    let text = '[';
    for (const [i, cell] of table.cells(object).entries()) {
      if (i > 0) text += ',';
      if (cell instanceof Elapsed) {
        this.#pieces.push(`${text}"`, cell);
        text = '"';
      } else text += JSON.stringify(cell) ?? 'null';
    }
    this.#pieces.push(`${text}]`);
  }

  at(nowMs: number): string {
    let text = '';
    for (const piece of this.#pieces) text += typeof piece === 'string' ? piece : piece.at(nowMs);
    return text;
  }
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
  const head = openTable(resourceVersion === undefined ? {} : { resourceVersion }, columns);
  return `${head}${tableRow(object, table, includeObject, nowMs)}${tableTail}`;
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
  encode: (type, object) => concatChunks([frameHead(type), ...partialMetadataChunks(object), '}\n']),
};
