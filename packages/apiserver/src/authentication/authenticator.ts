import type { IncomingMessage } from 'node:http';

/** Who a request is from. */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  /** `system:authenticated` included. */
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/**
 * Resolves with the user, or undefined if the request carries nothing for this authenticator.
 * @throws StatusError Unauthorized if it carries something invalid.
 */
export interface Authenticator {
  authenticate(request: IncomingMessage): Promise<UserInfo | undefined>;
}
