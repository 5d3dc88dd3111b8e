/** The versions of a kind, in which the fields of its objects are owned. */
import {
  apiVersionOf,
  builtInResources,
  conversionOf,
  type KindModel,
  type Resource,
  type UnstructuredObject,
  type Versioned,
} from '@naru/api';

export interface KindVersions {
  /** Undefined: there is no such version. */
  modelOf(apiVersion: string): KindModel | undefined;
  /** The argument is not changed. @throws StatusError that the client gets. */
  convert(object: UnstructuredObject, apiVersion: string): UnstructuredObject | Promise<UnstructuredObject>;
}

/** The versions of a built-in kind: the one that is stored, and those that are views of it. */
export function builtInVersions(stored: Resource): KindVersions {
  const views = builtInResources.filter((each) => conversionOf(each)?.hub === stored);
  const versions = new Map([stored, ...views].map((each) => [apiVersionOf(each), each]));
  return {
    modelOf: (apiVersion) => versions.get(apiVersion),
    convert: (object, apiVersion) => {
      const [from, to] = [versions.get(object.apiVersion), versions.get(apiVersion)];
      const hub = (from === undefined ? undefined : conversionOf(from)?.toHub(object)) ?? object;
      return (to === undefined ? undefined : conversionOf(to)?.fromHub(hub)) ?? hub;
    },
  };
}

/** Does work that asks for objects in other versions. */
export async function withVersions<T>(work: Versioned<T>, versions: KindVersions): Promise<T> {
  let step = work.next();
  while (step.done !== true) step = work.next(await versions.convert(step.value.object, step.value.apiVersion));
  return step.value;
}
