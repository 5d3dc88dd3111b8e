import type { GroupResource, KubeObject, Pod } from '@naru/api';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';

/** What pods of each node refer to: `secrets/ns/name` and the like, with the number of pods that do. */
export class NodeGraph implements ObjectObserver {
  readonly resources: readonly GroupResource[] = [
    { group: '', resource: 'pods' },
    { group: '', resource: 'persistentvolumes' },
    { group: 'storage.k8s.io', resource: 'volumeattachments' },
  ];
  readonly #pods = new Map<string, { readonly node: string; readonly references: readonly string[] }>();
  readonly #counts = new Map<string, Map<string, number>>();
  /** Claim (`ns/name`) of each bound volume, by the volume's name, with the secrets it needs. */
  readonly #volumes = new Map<string, { readonly claim: string; readonly secrets: readonly string[] }>();
  readonly #attachments = new Map<string, string>();

  observe({ type, resource, object }: ObjectChange): void {
    const name = object.metadata.name ?? '';
    if (resource.resource === 'pods') {
      const key = `${object.metadata.namespace ?? ''}/${name}`;
      this.#forgetPod(key);
      if (type !== 'DELETED') this.#addPod(key, object);
    } else if (resource.resource === 'persistentvolumes') {
      if (type === 'DELETED') this.#volumes.delete(name);
      else this.#addVolume(name, object);
    } else if (type === 'DELETED') {
      this.#attachments.delete(name);
    } else {
      this.#attachments.set(name, (object as KubeObject & { spec?: { nodeName?: string } }).spec?.nodeName ?? '');
    }
  }

  /** Whether a pod on the node refers to the object. */
  isRelated(node: string, resource: string, namespace: string, name: string): boolean {
    if (resource === 'volumeattachments') return this.#attachments.get(name) === node;
    if (resource === 'persistentvolumes') {
      const volume = this.#volumes.get(name);
      return volume !== undefined && this.#has(node, `persistentvolumeclaims/${volume.claim}`);
    }
    if (this.#has(node, `${resource}/${namespace}/${name}`)) return true;
    if (resource !== 'secrets') return false;
    for (const volume of this.#volumes.values()) {
      if (volume.secrets.includes(`${namespace}/${name}`) && this.#has(node, `persistentvolumeclaims/${volume.claim}`))
        return true;
    }
    return false;
  }

  #has(node: string, reference: string): boolean {
    return (this.#counts.get(node)?.get(reference) ?? 0) > 0;
  }

  #addPod(key: string, pod: Pod): void {
    const node = pod.spec?.nodeName ?? '';
    if (node === '') return;
    const references = referencesOf(pod);
    this.#pods.set(key, { node, references });
    const counts = this.#counts.get(node) ?? new Map<string, number>();
    this.#counts.set(node, counts);
    for (const reference of references) counts.set(reference, (counts.get(reference) ?? 0) + 1);
  }

  #forgetPod(key: string): void {
    const known = this.#pods.get(key);
    if (known === undefined) return;
    this.#pods.delete(key);
    const counts = this.#counts.get(known.node);
    if (counts === undefined) return;
    for (const reference of known.references) {
      const left = (counts.get(reference) ?? 0) - 1;
      if (left > 0) counts.set(reference, left);
      else counts.delete(reference);
    }
    if (counts.size === 0) this.#counts.delete(known.node);
  }

  #addVolume(name: string, object: KubeObject): void {
    const spec = (object as KubeObject & { spec?: Record<string, unknown> }).spec ?? {};
    const claimRef = spec['claimRef'] as { namespace?: string; name?: string } | undefined;
    if (claimRef === undefined) {
      this.#volumes.delete(name);
      return;
    }
    const secrets: string[] = [];
    collectSecretRefs(spec, claimRef.namespace ?? '', secrets);
    this.#volumes.set(name, { claim: `${claimRef.namespace ?? ''}/${claimRef.name ?? ''}`, secrets });
  }
}

function collectSecretRefs(value: unknown, namespace: string, into: string[]): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    if (/SecretRef$|^secretRef$/u.test(key) && typeof child === 'object' && child !== null) {
      const ref = child as { name?: string; namespace?: string };
      into.push(`${ref.namespace ?? namespace}/${ref.name ?? ''}`);
    } else collectSecretRefs(child, namespace, into);
  }
}

/** Every secret, config map, claim and service account that a pod's spec names, as `resource/namespace/name`. */
export function referencesOf(pod: Pod): string[] {
  const namespace = pod.metadata.namespace ?? '';
  const found = new Set<string>();
  const add = (resource: string, name: string | undefined): void => {
    if (name !== undefined && name !== '') found.add(`${resource}/${namespace}/${name}`);
  };
  const spec = pod.spec;
  if (spec === undefined) return [];
  add('serviceaccounts', spec.serviceAccountName);
  for (const each of spec.imagePullSecrets ?? []) add('secrets', each.name);
  const containers = [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])];
  for (const container of containers) {
    for (const { valueFrom } of container.env ?? []) {
      add('secrets', valueFrom?.secretKeyRef?.name);
      add('configmaps', valueFrom?.configMapKeyRef?.name);
    }
    for (const { secretRef, configMapRef } of container.envFrom ?? []) {
      add('secrets', secretRef?.name);
      add('configmaps', configMapRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add('secrets', volume.secret?.secretName);
    add('configmaps', volume.configMap?.name);
    add('persistentvolumeclaims', volume.persistentVolumeClaim?.claimName);
    if (volume.ephemeral !== undefined) add('persistentvolumeclaims', `${pod.metadata.name ?? ''}-${volume.name}`);
    add('secrets', volume.csi?.nodePublishSecretRef?.name);
    for (const source of volume.projected?.sources ?? []) {
      add('secrets', source.secret?.name);
      add('configmaps', source.configMap?.name);
    }
  }
  return [...found];
}
