import type { FieldValidation } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';

/** What to do with fields that the schema does not know, or that are there twice (`fieldValidation`). */
export type { FieldValidation } from '@naru/api';

/** Who owns the fields that a write sets. */
export interface FieldManager {
  readonly name: string;
  /** '' for the object itself. */
  readonly subresource: string;
  /** The version in which the client writes; undefined: that of the object. */
  readonly apiVersion?: string;
  /** Server-side apply: the object comes with its managedFields. */
  readonly applies: boolean;
}

/** The server itself as the owner of what it writes. */
export function ownFieldManager(subresource: string): FieldManager {
  return { name: 'kube-apiserver', subresource, applies: false };
}

/** What the registry must know of a request. */
export interface RequestContext {
  readonly user: UserInfo;
  /** '' for cluster-wide resources. */
  readonly namespace: string;
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
  /** Time of the request in milliseconds since the epoch. */
  readonly nowMs: number;
  /** undefined: managedFields stay as they are. */
  readonly fieldManager?: FieldManager;
  /** Adds to the audit event. */
  annotate?(key: string, value: string): void;
  /** Adds a Warning header. */
  warn(message: string): void;
}
