/** How long requests may last that have an end of their own (`--request-timeout`, `?timeout=`). */
import type { ServerResponse } from 'node:http';
import { newBadRequest, newStatusError } from '@naru/api';
import { parseDuration, type Clock, type Logger } from '@naru/component';
import { writeError } from './api-responder.ts';

export interface RequestDeadlineOptions {
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Ends the request when its time is over: with 504 Timeout where nothing was answered yet, with a cut connection where an
 * answer has begun. What works on the request may go on, and is not heard any more.
 * @throws StatusError BadRequest for a timeout that is none.
 */
export function beginDeadline(
  response: ServerResponse,
  request: { readonly path: string; readonly query: URLSearchParams },
  { requestTimeoutMs, clock, logger }: RequestDeadlineOptions,
): void {
  const { path, query } = request;
  const cancel = clock.after(Math.min(timeoutOf(query) ?? requestTimeoutMs, requestTimeoutMs), () => {
    if (response.headersSent) {
      if (!response.writableFinished) response.destroy();
      return;
    }
    response.setHeader('connection', 'close');
    const message = 'Timeout: request did not complete within the allotted timeout';
    writeError(response, newStatusError('Timeout', message, {}), { logger, path });
  });
  response.once('close', cancel);
}

/** `?timeout=30s`; undefined for none, and for 0. */
function timeoutOf(query: URLSearchParams): number | undefined {
  const text = query.get('timeout') ?? '';
  if (text === '') return undefined;
  const timeout = parseDuration(text);
  if (timeout === undefined || timeout < 0)
    throw newBadRequest(
      `invalid timeout specified in the request URL - time: invalid duration ${JSON.stringify(text)}`,
    );
  return timeout === 0 ? undefined : timeout;
}
