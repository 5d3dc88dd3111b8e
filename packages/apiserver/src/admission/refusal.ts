import { newForbidden, type Resource, type StatusError } from '@naru/api';
import type { AdmissionAttributes } from './admission.ts';

/** The 403 of a plugin: it names the object, by the name it will be generated from if it has none yet. */
export function refuse(attributes: AdmissionAttributes, why: string): StatusError {
  const { name, object, resource } = attributes;
  const shown = name === '' ? (object?.metadata.name ?? object?.metadata.generateName ?? 'Unknown') : name;
  return newForbidden(resource, shown, why);
}

export function isResource({ group, resource }: Resource, wantedGroup: string, wantedResource: string): boolean {
  return group === wantedGroup && resource === wantedResource;
}
