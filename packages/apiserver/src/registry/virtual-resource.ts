import type { Resource, UnstructuredObject } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';

export interface VirtualRequest {
  readonly user: UserInfo;
  /** '' for what is not namespaced. */
  readonly namespace: string;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
}

/** A resource that is computed and never stored. */
export interface VirtualResource {
  readonly resource: Resource;
  /** Of SubjectAccessReview and its like; answered with 201. */
  create?(object: UnstructuredObject, request: VirtualRequest): Promise<UnstructuredObject>;
  /** Of what can be read. */
  list?(): Promise<readonly UnstructuredObject[]>;
}

/** A create-only subresource that is computed and never stored, such as `serviceaccounts/token`. Answered with 201. */
export interface VirtualSubresource {
  readonly parent: Resource;
  readonly subresource: string;
  /** `parent` is the stored object. */
  create(parent: UnstructuredObject, object: UnstructuredObject, request: VirtualRequest): Promise<UnstructuredObject>;
}
