/** Requests as webhooks and policies see them that name another version of the resource. */
import type { Resource, UnstructuredObject } from '@naru/api';
import type { AdmissionAttributes } from '../admission.ts';
import { acceptObject } from './accept-object.ts';

/** The request with its objects in the version of `resource`, which is the request's own or one of its equivalents. */
export async function inVersion(attributes: AdmissionAttributes, resource: Resource): Promise<AdmissionAttributes> {
  const { equivalents, object, oldObject } = attributes;
  if (resource === attributes.resource || equivalents === undefined) return attributes;
  const convert = async (each: UnstructuredObject | undefined): Promise<UnstructuredObject | undefined> =>
    each === undefined ? undefined : await equivalents.convert(each, resource);
  return {
    ...attributes,
    resource,
    requestResource: attributes.resource,
    object: await convert(object),
    oldObject: await convert(oldObject),
  };
}

/** Makes the request's object what `versioned` has become. */
export async function acceptVersioned(attributes: AdmissionAttributes, versioned: AdmissionAttributes): Promise<void> {
  const { equivalents, resource } = attributes;
  if (versioned === attributes || versioned.object === undefined || equivalents === undefined) return;
  acceptObject(attributes, await equivalents.convert(versioned.object, resource));
}
