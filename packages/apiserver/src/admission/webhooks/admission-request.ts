/** The request of an AdmissionReview, as webhooks get it and expressions see it. */
import { apiVersionOf, type UnstructuredObject } from '@naru/api';
import type { AdmissionAttributes } from '../admission.ts';

export interface AdmissionRequest {
  readonly uid: string;
  readonly [field: string]: unknown;
}

interface SubresourceKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** `version`: the one in which the resource is asked about. */
export function admissionRequestOf(
  attributes: AdmissionAttributes,
  options: { readonly uid: string; readonly version: string },
): AdmissionRequest {
  const { operation, resource, subresource, namespace, name, user, dryRun, object, oldObject } = attributes;
  const { uid, version } = options;
  const { group } = resource;
  const kind = kindOf(attributes);
  const asked = subresource === '' ? { ...kind, version } : kind;
  const sub = subresource === '' ? {} : { subResource: subresource };
  const requestSub = subresource === '' ? {} : { requestSubResource: subresource };
  const shownName = name === '' ? (object?.metadata?.name ?? '') : name;
  return {
    uid,
    kind: asked,
    resource: { group, version, resource: resource.resource },
    ...sub,
    requestKind: kind,
    requestResource: { group, version: resource.version, resource: resource.resource },
    ...requestSub,
    ...(shownName === '' ? {} : { name: shownName }),
    ...(namespace === '' ? {} : { namespace }),
    operation,
    userInfo: {
      username: user.name,
      ...(user.uid === undefined || user.uid === '' ? {} : { uid: user.uid }),
      groups: user.groups,
      ...(user.extra === undefined ? {} : { extra: user.extra }),
    },
    object: inVersion(object, asked),
    oldObject: inVersion(oldObject, asked),
    dryRun,
    options: optionsOf(attributes),
  };
}

function kindOf({ resource, subresource }: AdmissionAttributes): SubresourceKind {
  const definition = resource.subresources.find((each) => each.name === subresource);
  return {
    group: definition?.group ?? resource.group,
    version: definition?.version ?? resource.version,
    kind: definition?.kind ?? resource.kind,
  };
}

function inVersion(object: UnstructuredObject | undefined, kind: SubresourceKind): UnstructuredObject | null {
  if (object === undefined) return null;
  return { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind };
}

const optionKinds = {
  CREATE: 'CreateOptions',
  UPDATE: 'UpdateOptions',
  DELETE: 'DeleteOptions',
  CONNECT: undefined,
} as const;

function optionsOf({ operation, options, dryRun }: AdmissionAttributes): unknown {
  const kind = optionKinds[operation];
  if (kind === undefined) return null;
  return {
    kind,
    apiVersion: 'meta.k8s.io/v1',
    ...(options as object | undefined),
    ...(dryRun ? { dryRun: ['All'] } : {}),
  };
}
