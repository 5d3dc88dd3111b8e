/** autoscaling/v1 Scale of the kinds that have spec.replicas. */
import {
  fieldInvalid,
  findJsonPath,
  labelSelectorFrom,
  newBadRequest,
  newInternalError,
  newInvalid,
  parseJsonPath,
  setAtJsonPath,
  type UnstructuredObject,
} from '@naru/api';

export const scaleKind = { group: 'autoscaling', version: 'v1', kind: 'Scale', model: 'V1Scale' } as const;

interface Scalable {
  spec?: { replicas?: number; selector?: unknown };
  status?: { replicas?: number };
}

/** How the Scale of a kind is read and written. */
export interface ObjectScale {
  scaleOf(object: UnstructuredObject): UnstructuredObject;
  /** Changes the object. */
  withScale(object: UnstructuredObject, scale: UnstructuredObject): UnstructuredObject;
}

/** The Scale of a custom resource, whose definition says where its numbers are. */
export function customScale(paths: {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
}): ObjectScale {
  const replicasPath = parseJsonPath(paths.specReplicasPath);
  const statusPath = parseJsonPath(paths.statusReplicasPath);
  const selectorPath = paths.labelSelectorPath === undefined ? undefined : parseJsonPath(paths.labelSelectorPath);
  return {
    scaleOf(object) {
      const [replicas] = findJsonPath(object, replicasPath);
      if (typeof replicas !== 'number')
        throw newInternalError(`the spec replicas field ${JSON.stringify(paths.specReplicasPath)} does not exist`);
      const [current] = findJsonPath(object, statusPath);
      const [selector] = selectorPath === undefined ? [] : findJsonPath(object, selectorPath);
      return newScale(object, {
        replicas,
        current: typeof current === 'number' ? current : 0,
        selector: typeof selector === 'string' ? selector : '',
      });
    },
    withScale(object, scale) {
      const replicas = checkScale(object, scale);
      setAtJsonPath(object, replicasPath, replicas);
      return withPreconditions(object, scale);
    },
  };
}

/** The Scale of an object. */
export function scaleOf(object: UnstructuredObject): UnstructuredObject {
  const { spec, status } = object as Scalable;
  const selector = selectorText(object, spec?.selector);
  return newScale(object, { replicas: spec?.replicas ?? 0, current: status?.replicas ?? 0, selector });
}

function newScale(
  { metadata }: UnstructuredObject,
  { replicas, current, selector }: { readonly replicas: number; readonly current: number; readonly selector: string },
): UnstructuredObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as UnstructuredObject['metadata'],
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: current, ...(selector === '' ? {} : { selector }) },
  };
}

function selectorText(object: UnstructuredObject, selector: unknown): string {
  if (selector === undefined || selector === null) return '';
  // A ReplicationController's selector is a plain map.
  if (object.kind === 'ReplicationController')
    return labelSelectorFrom({ matchLabels: selector as Record<string, string> }).toString();
  return labelSelectorFrom(selector).toString();
}

/** The object with the Scale's replicas. @throws StatusError BadRequest or Invalid. */
export function withScale(object: UnstructuredObject, scale: UnstructuredObject): UnstructuredObject {
  const replicas = checkScale(object, scale);
  (object as Scalable).spec = { ...(object as Scalable).spec, replicas };
  return withPreconditions(object, scale);
}

/** The replicas that the Scale wants. @throws StatusError BadRequest or Invalid. */
function checkScale(object: UnstructuredObject, scale: UnstructuredObject): number {
  const { replicas = 0 } = (scale as Scalable).spec ?? {};
  const { name = '' } = scale.metadata;
  if (name !== '' && name !== object.metadata.name)
    throw newBadRequest(
      `the name of the object (${name}) does not match the name on the URL (${object.metadata.name ?? ''})`,
    );
  if (replicas < 0)
    throw newInvalid(scaleKind, name, [fieldInvalid('spec.replicas', replicas, 'must be greater than or equal to 0')]);
  return replicas;
}

function withPreconditions(object: UnstructuredObject, { metadata }: UnstructuredObject): UnstructuredObject {
  const { resourceVersion, uid } = metadata;
  if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
  if (uid !== undefined) object.metadata.uid = uid;
  return object;
}

/** Of the kinds with spec.replicas. */
export const builtInScale: ObjectScale = { scaleOf, withScale };
