import type { IncomingMessage, ServerResponse } from 'node:http';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { FieldValidation, RequestContext } from '../registry/request-context.ts';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import { newBadRequest, fieldNotSupported, newInvalid } from '@naru/api';
import type { MediaType } from './negotiation.ts';
import type { RequestInfo } from './request-info.ts';
import type { VersionView } from './version-view.ts';

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
      readonly view?: VersionView | undefined;
    }
  /** Anything else: a Status, a Scale, a discovery document. */
  | { readonly type: 'value'; readonly code: number; readonly value: unknown }
  /** The handler has written, or is writing, the response itself. */
  | { readonly type: 'streamed' };

/** What the registry must know of it. @throws StatusError for query values that make no sense. */
export function requestContextOf(request: ApiRequest): RequestContext {
  const { info, query, user, nowMs, warnings } = request;
  return {
    user,
    namespace: info.namespace,
    dryRun: dryRunOf(query),
    fieldValidation: fieldValidationOf(query),
    nowMs,
    warn: (message) => {
      if (!warnings.includes(message)) warnings.push(message);
    },
  };
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
