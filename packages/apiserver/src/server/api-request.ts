import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuditEntry } from '../audit/auditor.ts';
import type { UserInfo } from '../authentication/authenticator.ts';
import { FIELD_MANAGER_BYTES_MAX } from '../registry/object-meta.ts';
import type { FieldManager, FieldValidation, RequestContext } from '../registry/request-context.ts';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import {
  apiVersionOf,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  newBadRequest,
  newInvalid,
  patchTypes,
  type FieldError,
} from '@naru/api';
import type { MediaType } from './negotiation.ts';
import { mediaTypeOf } from './object-body.ts';
import type { RequestInfo } from './request-info.ts';
import type { ReadView } from './version-view.ts';

/** An authenticated and authorized request to the API. */
export interface ApiRequest {
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer | undefined;
  readonly mediaType: MediaType;
  readonly nowMs: number;
  /** Whether the user may do something else to the same resource. @throws StatusError Forbidden. */
  authorize(verb: string): Promise<void>;
  /** The request's entry in the audit log. */
  readonly audit?: Pick<AuditEntry, 'annotate'> | undefined;
  /** Becomes Warning headers. */
  readonly warnings: string[];
}

export type ApiResponse =
  /** One object of a registry's kind, as JSON bytes. */
  | {
      readonly type: 'object';
      readonly code: number;
      readonly bytes: Buffer;
      readonly registry: GenericRegistry;
      readonly view?: ReadView | undefined;
    }
  /** Anything else: a Status, a Scale, a discovery document. */
  | { readonly type: 'value'; readonly code: number; readonly value: unknown }
  /** The handler has written, or is writing, the response itself. */
  | { readonly type: 'streamed' };

/** What the registry must know of it. @throws StatusError for query values that make no sense. */
export function requestContextOf(request: ApiRequest): RequestContext {
  const { info, query, user, nowMs, warnings, audit } = request;
  return {
    user,
    namespace: info.namespace,
    dryRun: dryRunOf(query),
    fieldValidation: fieldValidationOf(query),
    nowMs,
    fieldManager: fieldManagerOf(request),
    ...(audit === undefined ? {} : { annotate: (key: string, value: string) => audit.annotate(key, value) }),
    warn: (message) => {
      if (!warnings.includes(message)) warnings.push(message);
    },
  };
}

/** `fieldManager` and `force` of the query; a client that names no manager is known by its User-Agent. */
function fieldManagerOf({ info, query, raw }: ApiRequest): FieldManager {
  const applies = info.verb === 'patch' && mediaTypeOf(raw.headers['content-type']) === patchTypes.apply;
  const name = query.get('fieldManager') ?? '';
  const errors: FieldError[] = [];
  if (applies && name === '') errors.push(fieldRequired('fieldManager', 'is required for apply patch'));
  if (info.verb === 'patch' && !applies && query.has('force'))
    errors.push(fieldForbidden('force', 'may not be specified for non-apply patch'));
  if (Buffer.byteLength(name) > FIELD_MANAGER_BYTES_MAX)
    errors.push(fieldTooLong('fieldManager', FIELD_MANAGER_BYTES_MAX));
  if (/\p{C}/u.test(name)) errors.push(fieldInvalid('fieldManager', name, 'should only contain printable characters'));
  if (errors.length > 0) {
    const options = info.verb === 'patch' ? 'PatchOptions' : info.verb === 'update' ? 'UpdateOptions' : 'CreateOptions';
    throw newInvalid({ group: 'meta.k8s.io', kind: options }, '', errors);
  }
  return {
    name: name === '' ? userAgentPrefix(raw.headers['user-agent'] ?? '') : name,
    subresource: info.subresource,
    apiVersion: apiVersionOf(info),
    applies,
  };
}

function userAgentPrefix(userAgent: string): string {
  const [prefix = ''] = userAgent.split('/', 1);
  let name = '';
  let bytes = 0;
  for (const character of prefix.replaceAll(/\p{C}/gu, '')) {
    bytes += Buffer.byteLength(character);
    if (bytes > FIELD_MANAGER_BYTES_MAX) break;
    name += character;
  }
  return name;
}

function dryRunOf(query: URLSearchParams): boolean {
  const values = query.getAll('dryRun').filter((each) => each !== '');
  const unknown = values.find((each) => each !== 'All');
  if (unknown !== undefined)
    throw newInvalid({ group: 'meta.k8s.io', kind: 'CreateOptions' }, '', [
      fieldNotSupported('dryRun', values, ['All']),
    ]);
  return values.length > 0;
}

function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation');
  if (value === null || value === '') return 'Warn';
  if (value === 'Strict' || value === 'Warn' || value === 'Ignore') return value;
  throw newInvalid({ group: 'meta.k8s.io', kind: 'CreateOptions' }, '', [
    fieldNotSupported('fieldValidation', value, ['', 'Ignore', 'Strict', 'Warn']),
  ]);
}

/** The body of a request that must have one. @throws StatusError BadRequest. */
export function requiredBody(request: ApiRequest): Buffer {
  if (request.body === undefined) throw newBadRequest('the request has no body');
  return request.body;
}
