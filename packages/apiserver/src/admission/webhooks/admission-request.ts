/** The request of an AdmissionReview, as webhooks get it and expressions see it. */
import { apiVersionOf, type Resource, type UnstructuredObject } from '@naru/api';
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

export function admissionRequestOf(attributes: AdmissionAttributes, uid: string): AdmissionRequest {
  const { operation, resource, subresource, namespace, name, user, dryRun, object, oldObject } = attributes;
  const { requestResource = resource } = attributes;
  const { group } = resource;
  const kind = kindOf(resource, subresource);
  const sub = subresource === '' ? {} : { subResource: subresource };
  const requestSub = subresource === '' ? {} : { requestSubResource: subresource };
  const shownName = name === '' ? (object?.metadata?.name ?? '') : name;
  return {
    uid,
    kind,
    resource: { group, version: resource.version, resource: resource.resource },
    ...sub,
    requestKind: kindOf(requestResource, subresource),
    requestResource: { group, version: requestResource.version, resource: requestResource.resource },
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
    object: ofKind(object, kind),
    oldObject: ofKind(oldObject, kind),
    dryRun,
    options: optionsOf(attributes),
  };
}

function kindOf(resource: Resource, subresource: string): SubresourceKind {
  const definition = resource.subresources.find((each) => each.name === subresource);
  return {
    group: definition?.group ?? resource.group,
    version: definition?.version ?? resource.version,
    kind: definition?.kind ?? resource.kind,
  };
}

function ofKind(object: UnstructuredObject | undefined, kind: SubresourceKind): UnstructuredObject | null {
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
