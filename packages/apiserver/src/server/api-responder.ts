/** Writes answers in the form that the client accepts. */
import type { ServerResponse } from 'node:http';
import { isStatusError, newBadRequest, newInternalError, type StatusError } from '@naru/api';
import type { Logger } from '@naru/component';
import { stringify } from 'yaml';
import { protobufCodec } from '../protobuf/protobuf-codec.ts';
import { toStatusError } from '../storage/storage-errors.ts';
import type { ApiRequest, ApiResponse } from './api-request.ts';
import { newNotAcceptable, type MediaType } from './negotiation.ts';
import { protobufType } from './object-body.ts';
import { viewBytes } from './version-view.ts';
import { addWarning } from './warning-header.ts';
import { includeObjectOf, parseCached, partialMetadata, tableOfOne } from './table.ts';

/** Clients that a person looks at: they get indented JSON, as upstream gives them. */
const prettyAgents = /^(curl|Wget|Mozilla\/5\.0)/u;

function isPretty(request: ApiRequest): boolean {
  const pretty = request.query.get('pretty');
  if (pretty !== null) return pretty !== 'false' && pretty !== '0';
  return prettyAgents.test(request.raw.headers['user-agent'] ?? '');
}

export function writeApiResponse(request: ApiRequest, answer: ApiResponse): void {
  if (answer.type === 'streamed') return;
  const { response, warnings } = request;
  let { mediaType } = request;
  for (const warning of warnings) addWarning(response, warning);
  const pretty = isPretty(request);
  if (answer.type === 'value') {
    const { apiVersion = '', kind = '' } = answer.value as { apiVersion?: string; kind?: string };
    const chosen = mediaTypeFor({ ...mediaType, as: 'object' }, apiVersion, kind);
    writeBody(response, answer.code, encode(answer.value, chosen, pretty), chosen);
    return;
  }
  const { registry, code, view } = answer;
  // A Table of a built-in kind is the same in every version.
  const isStoredTable = mediaType.as === 'table' && view?.served.schema === undefined;
  const bytes = view === undefined || isStoredTable ? answer.bytes : viewBytes(view, answer.bytes);
  if (mediaType.as === 'object' && mediaType.encoding === 'json' && !pretty) {
    writeBody(response, code, bytes, mediaType);
    return;
  }
  const object = parseCached(bytes);
  mediaType = mediaTypeFor(mediaType, object.apiVersion, object.kind);
  if (mediaType.as === 'table') {
    const text = tableOfOne(object, registry.registration.table, includeObjectOf(request.query), request.nowMs);
    const isYaml = mediaType.encoding === 'yaml';
    writeBody(response, code, isYaml ? stringify(JSON.parse(text)) : text, mediaType);
    return;
  }
  const value = mediaType.as === 'metadata' ? partialMetadata(object) : object;
  writeBody(response, code, encode(value, mediaType, pretty), mediaType);
}

function encode(value: unknown, { encoding }: MediaType, pretty: boolean): Buffer | string {
  if (encoding === 'yaml') return stringify(value);
  if (encoding === 'protobuf') return protobufCodec.encode(value as Record<string, unknown>);
  return pretty ? `${JSON.stringify(value, null, 2)}\n` : `${JSON.stringify(value)}\n`;
}

const contentTypes: Readonly<Record<MediaType['encoding'], string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: protobufType,
};

/** What the client takes of a kind, which may have no protobuf. @throws StatusError NotAcceptable. */
export function mediaTypeFor(mediaType: MediaType, apiVersion: string, kind: string): MediaType {
  if (mediaType.encoding !== 'protobuf' || mediaType.as !== 'object' || protobufCodec.knows(apiVersion, kind))
    return mediaType;
  if (mediaType.otherwise === undefined) throw newNotAcceptable();
  return mediaType.otherwise;
}

function writeBody(
  response: ServerResponse,
  code: number,
  body: Buffer | string,
  { encoding }: Pick<MediaType, 'encoding'>,
): void {
  response.writeHead(code, {
    'content-type': contentTypes[encoding],
    'cache-control': 'no-cache, private',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** What a patch nests deeper than any body may be is found out by who walks through it. */
function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message.startsWith('Maximum call stack size');
}

/** Tells the client what went wrong; what is no StatusError is logged and becomes a 500 without its details. */
export function writeError(
  response: ServerResponse,
  error: unknown,
  options: { readonly logger: Logger; readonly encoding?: MediaType['encoding']; readonly path: string },
): void {
  // Its time was over, and that has been said.
  if (response.writableEnded) return;
  const known = isStackOverflow(error) ? newBadRequest('exceeded max depth') : toStatusError(error);
  let failure: StatusError;
  if (isStatusError(known)) {
    failure = known;
    if (failure.code >= 500) options.logger.warn({ err: error, path: options.path }, 'request failed');
  } else {
    options.logger.error({ err: error, path: options.path }, 'request failed unexpectedly');
    failure = newInternalError('unexpected error');
  }
  if (response.headersSent) {
    // Too late to say anything: a cut connection at least tells that the answer is not whole.
    response.destroy();
    return;
  }
  const { status } = failure;
  const retryAfter = status.details?.retryAfterSeconds;
  if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
  for (const name of ['content-encoding', 'content-length', 'vary']) response.removeHeader(name);
  const { encoding = 'json' } = options;
  writeBody(response, failure.code, encode(status, { encoding, as: 'object' }, false), { encoding });
}
