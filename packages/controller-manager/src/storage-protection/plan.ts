/** Volumes and claims in use stay until they are not (pkg/controller/volume/{pvc,pv}protection). */
import type { KubeObject, PersistentVolume, PersistentVolumeClaim, Pod } from '@naru/api';

export const PVC_FINALIZER = 'kubernetes.io/pvc-protection';
export const PV_FINALIZER = 'kubernetes.io/pv-protection';

/** What is to be done about the finalizer: put on what lacks it, or taken off what is being deleted, once nobody uses it. */
export type FinalizerStep = 'add' | 'remove-if-unused';

export function planFinalizer({ metadata }: KubeObject, finalizer: string): FinalizerStep | undefined {
  const has = metadata.finalizers?.includes(finalizer) === true;
  if (metadata.deletionTimestamp === undefined) return has ? undefined : 'add';
  return has ? 'remove-if-unused' : undefined;
}

export function withFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  const finalizers = [...(object.metadata.finalizers ?? []), finalizer];
  return { ...object, metadata: { ...object.metadata, finalizers } };
}

export function withoutFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  const finalizers = (object.metadata.finalizers ?? []).filter((each) => each !== finalizer);
  return { ...object, metadata: { ...object.metadata, finalizers } };
}

/** Names of the claims that a pod may use: those that it names and those that its ephemeral volumes are made of. */
export function claimNames({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata.name ?? ''}-${name}`];
  });
}

/** A pod that is on no node does not count: no kubelet will start it on a claim that is being deleted. */
export function podUsesClaim(pod: Pod, claim: PersistentVolumeClaim): boolean {
  const { metadata, spec } = pod;
  if ((spec?.nodeName ?? '') === '') return false;
  const { name = '', ownerReferences = [] } = claim.metadata;
  const isOwn = ownerReferences.some(({ uid, controller }) => controller === true && uid === metadata.uid);
  return (spec?.volumes ?? []).some((volume) =>
    volume.ephemeral === undefined
      ? volume.persistentVolumeClaim?.claimName === name
      : isOwn && !isShutDown(pod) && `${metadata.name ?? ''}-${volume.name}` === name,
  );
}

/** Whether the kubelet is done with a pod, or nobody waits for it. */
export function isShutDown({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}

export function isVolumeBound({ status }: PersistentVolume): boolean {
  return status?.phase === 'Bound';
}
