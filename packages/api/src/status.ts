/**
 * metav1.Status and the errors of the API: reasons, codes and messages are upstream's
 * (k8s.io/apimachinery/pkg/api/errors).
 */

/** Reason of a failure, with the HTTP status code that upstream gives it. */
export const statusReasons = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  ServerTimeout: 500,
  Timeout: 504,
} as const satisfies Record<string, number>;

export type StatusReason = keyof typeof statusReasons;

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, unknown>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code?: number;
}

/** A resource as error messages name it: `pods`, `deployments.apps`. */
export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

export function formatGroupResource({ group, resource }: GroupResource): string {
  return group === '' ? resource : `${resource}.${group}`;
}

/** A failure that is told to the client as a metav1.Status. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? 'unknown', options);
    this.status = status;
  }

  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

/** Builds a failure; `details` that are empty are left out. */
export function newStatusError(
  reason: StatusReason,
  message: string,
  details?: StatusDetails,
  options?: ErrorOptions,
): StatusError {
  return new StatusError(
    {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code: statusReasons[reason],
    },
    options,
  );
}

/** A failure that has no reason, as upstream tells errors that are no API errors. */
export function newUnknownError(message: string): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code: 500 });
}

function detailsOf({ group, resource }: GroupResource, name: string): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind: resource };
}

export function newNotFound(resource: GroupResource, name: string): StatusError {
  return newStatusError('NotFound', `${formatGroupResource(resource)} "${name}" not found`, detailsOf(resource, name));
}

export function newAlreadyExists(resource: GroupResource, name: string): StatusError {
  return newStatusError(
    'AlreadyExists',
    `${formatGroupResource(resource)} "${name}" already exists`,
    detailsOf(resource, name),
  );
}

export function newConflict(resource: GroupResource, name: string, why: string): StatusError {
  return newStatusError(
    'Conflict',
    `Operation cannot be fulfilled on ${formatGroupResource(resource)} "${name}": ${why}`,
    detailsOf(resource, name),
  );
}

/** The conflict of an update whose resourceVersion is no longer the object's. */
export function newModifiedConflict(resource: GroupResource, name: string): StatusError {
  return newConflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function newForbidden(resource: GroupResource, name: string, why: string): StatusError {
  const subject = name === '' ? formatGroupResource(resource) : `${formatGroupResource(resource)} "${name}"`;
  return newStatusError('Forbidden', `${subject} is forbidden: ${why}`, detailsOf(resource, name));
}

export function newBadRequest(message: string): StatusError {
  return newStatusError('BadRequest', message);
}

export function newUnauthorized(message = 'Unauthorized'): StatusError {
  return newStatusError('Unauthorized', message);
}

export function newMethodNotSupported(resource: GroupResource, action: string): StatusError {
  return newStatusError(
    'MethodNotAllowed',
    `${action} is not supported on resources of kind "${formatGroupResource(resource)}"`,
    detailsOf(resource, ''),
  );
}

export function newGone(message: string): StatusError {
  return newStatusError('Gone', message);
}

/** The revision asked for is compacted: list again. */
export function newExpired(message: string): StatusError {
  return newStatusError('Expired', message);
}

export function newInternalError(message: string, options?: ErrorOptions): StatusError {
  return newStatusError('InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] }, options);
}

export function isStatusError(error: unknown): error is StatusError {
  return error instanceof StatusError;
}

function hasReason(error: unknown, ...reasons: readonly StatusReason[]): boolean {
  return isStatusError(error) && (reasons as readonly string[]).includes(error.reason);
}

export const isNotFound = (error: unknown): boolean => hasReason(error, 'NotFound');
export const isAlreadyExists = (error: unknown): boolean => hasReason(error, 'AlreadyExists');
export const isConflict = (error: unknown): boolean => hasReason(error, 'Conflict');
export const isForbidden = (error: unknown): boolean => hasReason(error, 'Forbidden');
export const isInvalid = (error: unknown): boolean => hasReason(error, 'Invalid');
export const isGone = (error: unknown): boolean => hasReason(error, 'Gone', 'Expired');
export const isTooManyRequests = (error: unknown): boolean => hasReason(error, 'TooManyRequests');
