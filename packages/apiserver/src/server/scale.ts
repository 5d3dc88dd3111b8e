/** autoscaling/v1 Scale of the kinds that have spec.replicas. */
import { fieldInvalid, labelSelectorFrom, newBadRequest, newInvalid, type UnstructuredObject } from '@naru/api';

export const scaleKind = { group: 'autoscaling', version: 'v1', kind: 'Scale', model: 'V1Scale' } as const;

interface Scalable {
  spec?: { replicas?: number; selector?: unknown };
  status?: { replicas?: number };
}

/** The Scale of an object. */
export function scaleOf(object: UnstructuredObject): UnstructuredObject {
  const { metadata } = object;
  const { spec, status } = object as Scalable;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = selectorText(object, spec?.selector);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as UnstructuredObject['metadata'],
    spec: spec?.replicas === undefined || spec.replicas === 0 ? {} : { replicas: spec.replicas },
    status: { replicas: status?.replicas ?? 0, ...(selector === '' ? {} : { selector }) },
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
  const { replicas = 0 } = (scale as Scalable).spec ?? {};
  const { name = '', resourceVersion, uid } = scale.metadata;
  if (name !== '' && name !== object.metadata.name)
    throw newBadRequest(
      `the name of the object (${name}) does not match the name on the URL (${object.metadata.name ?? ''})`,
    );
  if (replicas < 0)
    throw newInvalid(scaleKind, name, [fieldInvalid('spec.replicas', replicas, 'must be greater than or equal to 0')]);
  (object as Scalable).spec = { ...(object as Scalable).spec, replicas };
  if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
  if (uid !== undefined) object.metadata.uid = uid;
  return object;
}
