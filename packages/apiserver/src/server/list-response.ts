/** LIST: cached bytes, joined and written with backpressure. Nothing here parses or encodes a whole list. */
import type { ServerResponse } from 'node:http';
import { constants, createGzip } from 'node:zlib';
import type { Writable } from 'node:stream';
import { apiVersionOf, type Resource } from '@naru/api';
import type { CachedObject } from '../cache/cached-object.ts';
import type { TableConvertor } from '../registry/strategy.ts';
import type { ListResult } from './cache-reads.ts';
import type { ReadView } from './version-view.ts';
import {
  cachedTableRow,
  concatChunks,
  parseCached,
  partialMetadataChunks,
  tableHead,
  tableRow,
  tableTail,
  type IncludeObject,
} from './table.ts';

/** Bytes gathered into one write. */
const WRITE_BYTES = 128 * 1024;
/** Smaller answers are not worth compressing, as upstream has it. */
const GZIP_BYTES_MIN = 128 * 1024;

export interface ListBody {
  readonly head: Buffer;
  readonly items: Iterable<Buffer>;
  readonly tail: Buffer;
  /** Undefined: only known when it is written. */
  readonly length: number | undefined;
}

const comma = Buffer.from(',');
const openBrace = Buffer.from('{');
const listTail = Buffer.from(']}');

export function listMetadata(result: ListResult): object {
  return {
    resourceVersion: String(result.revision),
    ...(result.continue === undefined ? {} : { continue: result.continue }),
    ...(result.remainingItemCount === undefined ? {} : { remainingItemCount: result.remainingItemCount }),
  };
}

/** The list as the kind's own List. Items carry no kind and apiVersion, as upstream's do not. */
export function objectListBody(resource: Resource, result: ListResult): ListBody {
  const apiVersion = apiVersionOf(resource);
  const head = Buffer.from(
    `{"kind":"${listKindOf(resource)}","apiVersion":"${apiVersion}","metadata":${JSON.stringify(listMetadata(result))},"items":[`,
  );
  const typeMeta = Buffer.from(`{"kind":"${resource.kind}","apiVersion":"${apiVersion}",`);
  const { objects } = result;
  if (resource.schema !== undefined) return customListBody(head, objects);
  let length = head.length + listTail.length + Math.max(0, objects.length - 1);
  for (const { bytes } of objects)
    length += startsWith(bytes, typeMeta) ? bytes.length - typeMeta.length + 1 : bytes.length;
  return { head, items: itemsOf(objects, typeMeta), tail: listTail, length };
}

/** Items of custom resources keep their type meta: upstream has no Go type to leave it out by. */
function customListBody(head: Buffer, objects: readonly CachedObject[]): ListBody {
  return { head, items: itemsOf(objects, undefined), tail: listTail, length: undefined };
}

export function listKindOf({ kind, listKind = `${kind}List` }: Resource): string {
  return listKind;
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

function* itemsOf(objects: readonly CachedObject[], typeMeta: Buffer | undefined): Generator<Buffer> {
  let isFirst = true;
  for (const { bytes } of objects) {
    if (!isFirst) yield comma;
    isFirst = false;
    if (typeMeta !== undefined && startsWith(bytes, typeMeta)) {
      yield openBrace;
      yield bytes.subarray(typeMeta.length);
    } else yield bytes;
  }
}

/** The list in another version than the stored one: each object is converted. */
export function viewListBody(view: ReadView, result: ListResult): ListBody {
  const metadata = JSON.stringify(listMetadata(result));
  return {
    head: Buffer.from(
      `{"kind":"${listKindOf(view.served)}","apiVersion":"${apiVersionOf(view.served)}","metadata":${metadata},"items":[`,
    ),
    items: joined(result.objects, (object) => {
      const converted = view.fromStored(parseCached(object.bytes));
      if (view.served.schema !== undefined) return [JSON.stringify(converted)];
      const { kind: _kind, apiVersion: _apiVersion, ...rest } = converted;
      return [JSON.stringify(rest)];
    }),
    tail: listTail,
    length: undefined,
  };
}

/** `read`: how the rows' objects are to be read, where that is not as they are. */
export function tableListBody(
  table: TableConvertor,
  result: ListResult,
  options: { readonly includeObject: IncludeObject; readonly nowMs: number; readonly read?: ReadView | undefined },
): ListBody {
  const { includeObject, nowMs, read } = options;
  const rowOf = (object: CachedObject): readonly (string | Buffer)[] =>
    read === undefined
      ? cachedTableRow(object, table, includeObject, nowMs)
      : [tableRow(read.fromStored(parseCached(object.bytes)), table, includeObject, nowMs)];
  return {
    head: Buffer.from(tableHead(table, listMetadata(result))),
    items: joined(result.objects, rowOf),
    tail: Buffer.from(tableTail),
    length: undefined,
  };
}

export function metadataListBody(result: ListResult): ListBody {
  return {
    head: Buffer.from(
      `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":${JSON.stringify(listMetadata(result))},"items":[`,
    ),
    items: joined(result.objects, partialMetadataChunks),
    tail: listTail,
    length: undefined,
  };
}

function* joined(
  objects: readonly CachedObject[],
  chunksOf: (object: CachedObject) => readonly (string | Buffer)[],
): Generator<Buffer> {
  let isFirst = true;
  for (const object of objects) {
    yield concatChunks(isFirst ? chunksOf(object) : [',', ...chunksOf(object)]);
    isFirst = false;
  }
}

/** Writes the body as fast as the client takes it; compressed if it asked for that and the body is large. */
export async function writeList(
  response: ServerResponse,
  body: ListBody,
  options: { readonly gzip: boolean; readonly contentType: string },
): Promise<void> {
  response.statusCode = 200;
  response.setHeader('content-type', options.contentType);
  response.setHeader('cache-control', 'no-cache, private');
  const gzip = options.gzip && (body.length ?? GZIP_BYTES_MIN) >= GZIP_BYTES_MIN;
  if (!gzip) {
    if (body.length !== undefined) response.setHeader('content-length', body.length);
    await writeChunks(response, body);
    return;
  }
  response.setHeader('content-encoding', 'gzip');
  response.setHeader('vary', 'accept-encoding');
  const compressor = createGzip({ level: constants.Z_BEST_SPEED });
  compressor.pipe(response);
  response.once('close', () => compressor.destroy());
  await writeChunks(compressor, body);
}

async function writeChunks(output: Writable, body: ListBody): Promise<void> {
  let chunks: Buffer[] = [body.head];
  let size = body.head.length;
  for (const item of body.items) {
    chunks.push(item);
    size += item.length;
    if (size < WRITE_BYTES) continue;
    const ready = output.write(chunks.length === 1 ? item : Buffer.concat(chunks, size));
    chunks = [];
    size = 0;
    if (!ready) await drained(output);
    if (output.destroyed || output.closed) return;
  }
  chunks.push(body.tail);
  output.end(Buffer.concat(chunks, size + body.tail.length));
}

async function drained(output: Writable): Promise<void> {
  if (output.destroyed || output.closed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      output.off('drain', done);
      output.off('close', done);
      resolve();
    };
    output.on('drain', done);
    output.on('close', done);
  });
}

/** The whole body at once, for encodings other than JSON. */
export function bufferedList(body: ListBody): Buffer {
  return Buffer.concat([body.head, ...body.items, body.tail]);
}
