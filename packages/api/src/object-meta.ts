/** Functions of ObjectMeta: controller references, keys, names, finalizers. */
import type { KubeObject, OwnerReference } from './object.ts';
import { apiVersionOf, type Resource } from './resource.ts';

type WithMetadata = Pick<KubeObject, 'metadata'>;

/** The owner reference that controls the object, if any. */
export function controllerOf(object: WithMetadata): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((each) => each.controller === true);
}

/** Whether `owner` controls the object, by uid. */
export function isControlledBy(object: WithMetadata, owner: WithMetadata): boolean {
  const reference = controllerOf(object);
  return reference !== undefined && reference.uid === owner.metadata.uid;
}

/** The reference with which `owner` of this resource controls what it makes. */
export function newControllerRef(
  owner: WithMetadata,
  resource: Pick<Resource, 'group' | 'version' | 'kind'>,
): OwnerReference {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** `namespace/name`, or `name` of an object without a namespace: the key of caches and queues. */
export function keyOf(object: WithMetadata): string {
  const { namespace, name = '' } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** Inverse of `keyOf`: namespace '' where there is none. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash === -1 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Whether deletion was asked for and waits for finalizers or the grace period. */
export function isBeingDeleted(object: WithMetadata): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: WithMetadata, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) === true;
}

/** Letters of generated names: no vowels and nothing that looks like another letter. */
const alphanumerics = 'bcdfghjklmnpqrstvwxz2456789';
const GENERATED_SUFFIX_LENGTH = 5;
const GENERATED_NAME_LENGTH_MAX = 63;

/** A string of upstream's safe letters; `random` gives numbers in [0, 1). */
export function randomName(length: number, random: () => number): string {
  let text = '';
  while (text.length < length) text += alphanumerics.charAt(Math.floor(random() * alphanumerics.length));
  return text;
}

/** A name from metadata.generateName; the base is cut so that the name stays a DNS label. */
export function generateName(base: string, random: () => number): string {
  const cut = base.slice(0, GENERATED_NAME_LENGTH_MAX - GENERATED_SUFFIX_LENGTH);
  return `${cut}${randomName(GENERATED_SUFFIX_LENGTH, random)}`;
}

/** Encodes a hash so that it can be part of a name and spells no word (pod-template-hash). */
export function safeEncodeString(text: string): string {
  let encoded = '';
  for (let i = 0; i < text.length; i++) encoded += alphanumerics.charAt(text.charCodeAt(i) % alphanumerics.length);
  return encoded;
}
