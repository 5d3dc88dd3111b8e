import type { UserInfo } from '../authentication/authenticator.ts';

/** What a request wants to do, as RBAC sees it. */
export interface AuthorizationAttributes {
  readonly user: UserInfo;
  readonly verb: string;
  /** False for paths such as /version; then only `path` and `verb` count. */
  readonly isResourceRequest: boolean;
  readonly path: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

export type Decision = 'allow' | 'deny' | 'no-opinion';

export interface Verdict {
  readonly decision: Decision;
  readonly reason: string;
}

export interface Authorizer {
  /** Decides from memory, synchronously, so that authorization does not wait. */
  authorize(attributes: AuthorizationAttributes): Verdict;
  /** The same, and asks those who are elsewhere where there are any; absent: there are none. */
  decide?(attributes: AuthorizationAttributes): Verdict | Promise<Verdict>;
}

/** The verdict of all, at once where nobody has to be asked. */
export function decide(authorizer: Authorizer, attributes: AuthorizationAttributes): Verdict | Promise<Verdict> {
  return authorizer.decide === undefined ? authorizer.authorize(attributes) : authorizer.decide(attributes);
}
