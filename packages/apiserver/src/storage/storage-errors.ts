import { newExpired, newInternalError, newStatusError, type StatusError } from '@naru/api';
import { isEtcdError, type EtcdError } from '@naru/etcd';

/** Seconds after which a client may try again what certainly did not happen. */
const RETRY_AFTER_SECONDS = 1;

/**
 * What a client is told of a failure of the store. Only what surely was not applied says that it may be tried again
 * (retryAfterSeconds): clients repeat such requests by themselves, creations included.
 */
export function storageStatusError(error: EtcdError): StatusError {
  switch (error.code) {
    case 'compacted':
      return newExpired('The provided resource version is too old.');
    case 'unavailable':
    case 'noLeader':
    case 'tooManyRequests':
      return newStatusError(
        'ServerTimeout',
        'The operation could not be completed at this time, please try again.',
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
        { cause: error },
      );
    case 'requestTooLarge':
      return newStatusError('RequestEntityTooLarge', error.message, {}, { cause: error });
    default:
      return newInternalError(error.message, { cause: error });
  }
}

/** Errors of the store become the client's; others stay what they are. */
export function toStatusError(error: unknown): unknown {
  return isEtcdError(error) ? storageStatusError(error) : error;
}
