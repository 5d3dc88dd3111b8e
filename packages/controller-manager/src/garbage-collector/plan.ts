/** What becomes of an object, given what is known of its owners. */
import type { ObjectMeta, OwnerReference } from '@naru/api';
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER, type GraphNode } from './graph-plan.ts';

/** What an owner reference leads to. */
export type OwnerState =
  /** The owner is there. */
  | 'solid'
  /** No such object, or another one of that name. */
  | 'dangling'
  /** The owner is deleted in the foreground and waits for its dependents. */
  | 'waiting';

export type PropagationPolicy = 'Background' | 'Foreground' | 'Orphan';

export type DependentPlan =
  | { readonly type: 'keep' }
  /** Somebody still owns it: only the others are struck out. */
  | { readonly type: 'dropOwners'; readonly ownerReferences: readonly OwnerReference[] }
  /** A circle of owners that wait for each other is broken before the deletion. */
  | {
      readonly type: 'delete';
      readonly propagationPolicy: PropagationPolicy;
      readonly unblock: readonly OwnerReference[] | undefined;
    };

export function planDependent(
  node: GraphNode,
  metadata: ObjectMeta,
  states: ReadonlyMap<string, OwnerState>,
): DependentPlan {
  const references = metadata.ownerReferences ?? [];
  if (references.length === 0) return { type: 'keep' };
  const solid = references.filter(({ uid }) => states.get(uid) === 'solid');
  if (solid.length === references.length) return { type: 'keep' };
  if (solid.length > 0) return { type: 'dropOwners', ownerReferences: solid };
  const waiting = references.some(({ uid }) => states.get(uid) === 'waiting');
  if (waiting && node.dependents.size > 0) {
    const circle = [...node.dependents].some(({ deletingDependents }) => deletingDependents);
    return {
      type: 'delete',
      propagationPolicy: 'Foreground',
      unblock: circle ? references.map((each) => ({ ...each, blockOwnerDeletion: false })) : undefined,
    };
  }
  const finalizers = metadata.finalizers ?? [];
  const propagationPolicy = finalizers.includes(ORPHAN_FINALIZER)
    ? 'Orphan'
    : finalizers.includes(FOREGROUND_FINALIZER)
      ? 'Foreground'
      : 'Background';
  return { type: 'delete', propagationPolicy, unblock: undefined };
}
