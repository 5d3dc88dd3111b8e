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

/** Decides from memory, synchronously, so that authorization never waits. */
export interface Authorizer {
  authorize(attributes: AuthorizationAttributes): { readonly decision: Decision; readonly reason: string };
}
