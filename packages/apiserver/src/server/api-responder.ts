/** Writes answers in the form that the client accepts. */
import type { ServerResponse } from 'node:http';
import { isStatusError, newInternalError, type Status, type StatusError } from '@naru/api';
import type { Logger } from '@naru/component';
import { stringify } from 'yaml';
import { toStatusError } from '../storage/storage-errors.ts';
import type { ApiRequest, ApiResponse } from './api-request.ts';
import type { MediaType } from './negotiation.ts';
import { viewBytes } from './version-view.ts';
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
  const { response, mediaType, warnings } = request;
  for (const warning of warnings) response.appendHeader('warning', `299 - ${JSON.stringify(warning)}`);
  const pretty = isPretty(request);
  if (answer.type === 'value') {
    writeBody(response, answer.code, encode(answer.value, mediaType, pretty), mediaType);
    return;
  }
  const { registry, code, view } = answer;
  // A Table is the same in every version.
  const bytes = view === undefined || mediaType.as === 'table' ? answer.bytes : viewBytes(view, answer.bytes);
  if (mediaType.as === 'object' && mediaType.encoding === 'json' && !pretty) {
    writeBody(response, code, bytes, mediaType);
    return;
  }
  const object = parseCached(bytes);
  if (mediaType.as === 'table') {
    const text = tableOfOne(object, registry.registration.table, includeObjectOf(request.query), request.nowMs);
    const isYaml = mediaType.encoding === 'yaml';
    writeBody(response, code, isYaml ? stringify(JSON.parse(text)) : text, mediaType);
    return;
  }
  const value = mediaType.as === 'metadata' ? partialMetadata(object) : object;
  writeBody(response, code, encode(value, mediaType, pretty), mediaType);
}

function encode(value: unknown, mediaType: MediaType, pretty: boolean): string {
  if (mediaType.encoding === 'yaml') return stringify(value);
  return pretty ? `${JSON.stringify(value, null, 2)}\n` : `${JSON.stringify(value)}\n`;
}

function writeBody(response: ServerResponse, code: number, body: Buffer | string, mediaType: MediaType): void {
  response.writeHead(code, {
    'content-type': mediaType.encoding === 'yaml' ? 'application/yaml' : 'application/json',
    'cache-control': 'no-cache, private',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Tells the client what went wrong; what is no StatusError is logged and becomes a 500 without its details. */
export function writeError(
  response: ServerResponse,
  error: unknown,
  options: { readonly logger: Logger; readonly yaml?: boolean; readonly path: string },
): void {
  const known = toStatusError(error);
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
  writeBody(response, failure.code, statusBody(status, options.yaml === true), {
    encoding: options.yaml === true ? 'yaml' : 'json',
    as: 'object',
  });
}

function statusBody(status: Status, yaml: boolean): string {
  return yaml ? stringify(status) : `${JSON.stringify(status)}\n`;
}
