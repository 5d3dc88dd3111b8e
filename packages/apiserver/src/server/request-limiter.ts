import type { ServerResponse } from 'node:http';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { RequestInfo } from './request-info.ts';

/** What of a request decides when it may go on. */
export interface LimitedRequest {
  readonly info: RequestInfo;
  readonly user: UserInfo;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
  /** It has no end of its own. */
  readonly longRunning: boolean;
}

/** Bounds how many requests are worked on at a time. */
export interface RequestLimiter {
  /** Takes a place, now or when there is one; returns what gives it back, once. @throws TooManyRequests. */
  take(request: LimitedRequest): (() => void) | Promise<() => void>;
}

/** The refusal of a server that has more to do than it can. */
export class TooManyRequests extends Error {
  constructor() {
    super('Too many requests, please try again later.');
  }
}

/** Upstream's 429: plain text, as it is written by who knows of no API. */
export function writeTooManyRequests(response: ServerResponse, { message }: TooManyRequests): void {
  response.writeHead(429, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'retry-after': '1',
  });
  response.end(`${message}\n`);
}
