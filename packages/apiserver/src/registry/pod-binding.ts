/** pods/binding: gives a pod its node, once. */
import {
  cloneJson,
  fieldRequired,
  fieldNotSupported,
  formatFieldError,
  formatTime,
  newConflict,
  newUnknownError,
  setCondition,
  type ConditionLike,
  type FieldError,
  type UnstructuredObject,
} from '@naru/api';
import { checkPreconditions, type GenericRegistry, type WrittenObject } from './generic-registry.ts';
import type { RequestContext } from './request-context.ts';

interface Binding {
  target?: { kind?: string; name?: string };
}

/** Conflicts are told of the subresource. */
const bindings = { group: '', resource: 'pods/binding' };

interface BoundPod {
  spec: { nodeName?: string; schedulingGates?: readonly unknown[] };
  status?: { conditions?: readonly ConditionLike[] };
}

/** @throws StatusError Conflict when the pod is bound or being deleted, 500 for a binding that makes no sense. */
export async function bindPod(
  pods: GenericRegistry,
  name: string,
  binding: UnstructuredObject,
  context: RequestContext,
): Promise<WrittenObject> {
  const { target } = binding as Binding;
  const node = target?.name ?? '';
  const errors: FieldError[] = [];
  const kind = target?.kind ?? '';
  if (kind !== '' && kind !== 'Node') errors.push(fieldNotSupported('target.kind', kind, ['Node', '<empty>']));
  if (node === '') errors.push(fieldRequired('target.name'));
  // Upstream takes a binding that makes no sense for an error of the server.
  const texts = errors.map(formatFieldError);
  if (texts.length > 0) throw newUnknownError(texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`);
  return await pods.guaranteedUpdate(context.namespace, name, context, async (old) => {
    const object = cloneJson(old);
    checkPreconditions(pods.resource, object, binding.metadata.uid, binding.metadata.resourceVersion);
    const pod = object as unknown as BoundPod;
    if (object.metadata.deletionTimestamp !== undefined)
      throw newConflict(bindings, name, `pod ${name} is being deleted, cannot be assigned to a host`);
    if ((pod.spec.nodeName ?? '') !== '')
      throw newConflict(bindings, name, `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
    if ((pod.spec.schedulingGates ?? []).length > 0)
      throw newConflict(bindings, name, `pod ${name} has non-empty .spec.schedulingGates`);
    const attributes = pods.attributes('CREATE', 'binding', binding, old, context);
    await pods.admit(attributes);
    await pods.validateAdmission(attributes);
    pod.spec.nodeName = node;
    const { annotations, labels } = binding.metadata;
    if (annotations !== undefined) object.metadata.annotations = { ...object.metadata.annotations, ...annotations };
    if (labels !== undefined) object.metadata.labels = { ...object.metadata.labels, ...labels };
    const scheduled = { type: 'PodScheduled', status: 'True' };
    const now = formatTime(context.nowMs);
    pod.status = { ...pod.status, conditions: setCondition(withoutReason(pod.status?.conditions), scheduled, now) };
    return { object };
  });
}

/** A pod that could not be scheduled before has a reason for that; it goes. */
function withoutReason(conditions: readonly ConditionLike[] | undefined): readonly ConditionLike[] {
  return (conditions ?? []).map((each) => {
    if (each.type !== 'PodScheduled') return each;
    const { reason: _reason, message: _message, ...rest } = each;
    return rest;
  });
}
