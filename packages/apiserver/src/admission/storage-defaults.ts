/** DefaultStorageClass, StorageObjectInUseProtection and PersistentVolumeClaimResize. */
import { parseQuantity, storageClasses, type PersistentVolumeClaim, type StorageClass } from '@naru/api';
import type { AdmissionPlugin } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';
const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** Of several default classes the newest counts; of as new ones, the first by name. */
function defaultClassOf(classes: readonly StorageClass[]): StorageClass | undefined {
  const created = ({ metadata }: StorageClass): string => metadata.creationTimestamp ?? '';
  return classes
    .filter(({ metadata }) => metadata.annotations?.[DEFAULT_CLASS] === 'true')
    .toSorted((a, b) =>
      created(a) === created(b)
        ? (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')
        : created(b).localeCompare(created(a)),
    )[0];
}

/** Claims that say nothing of a class get the default one. */
export const defaultStorageClass: AdmissionPlugin = {
  name: 'DefaultStorageClass',
  handles: (operation, resource, subresource) =>
    operation === 'CREATE' && subresource === '' && isResource(resource, '', 'persistentvolumeclaims'),
  admit({ object }, store) {
    const claim = object as PersistentVolumeClaim | undefined;
    if (claim?.spec === undefined) return;
    const { storageClassName } = claim.spec;
    if (storageClassName !== undefined || claim.metadata.annotations?.[BETA_CLASS] !== undefined) return;
    const found = defaultClassOf(store.list(storageClasses));
    if (found !== undefined) claim.spec.storageClassName = found.metadata.name ?? '';
  },
};

const protectionFinalizers: Readonly<Record<string, string>> = {
  persistentvolumeclaims: 'kubernetes.io/pvc-protection',
  persistentvolumes: 'kubernetes.io/pv-protection',
};

/** Claims and volumes get the finalizer that their protection controllers take off when nobody uses them. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: (operation, { group, resource }, subresource) =>
    operation === 'CREATE' && subresource === '' && group === '' && Object.hasOwn(protectionFinalizers, resource),
  admit({ object, resource: { resource } }) {
    const finalizer = protectionFinalizers[resource];
    if (object === undefined || finalizer === undefined) return;
    const { metadata } = object;
    const { finalizers = [] } = metadata;
    if (!finalizers.includes(finalizer)) metadata.finalizers = [...finalizers, finalizer];
  },
};

/** Claims grow only where their class allows it. */
export const persistentVolumeClaimResize: AdmissionPlugin = {
  name: 'PersistentVolumeClaimResize',
  handles: (operation, resource, subresource) =>
    operation === 'UPDATE' && subresource === '' && isResource(resource, '', 'persistentvolumeclaims'),
  validate(attributes, store) {
    const claim = attributes.object as PersistentVolumeClaim | undefined;
    const old = attributes.oldObject as PersistentVolumeClaim | undefined;
    const [wanted, present] = [claim, old].map((each) => each?.spec?.resources?.requests?.['storage']);
    if (wanted === undefined || present === undefined) return;
    if (parseQuantity(wanted).compare(parseQuantity(present)) <= 0) return;
    if (old?.status?.phase !== 'Bound') throw refuse(attributes, 'Only bound persistent volume claims can be expanded');
    const name = claim?.metadata.annotations?.[BETA_CLASS] ?? claim?.spec?.storageClassName ?? '';
    const storageClass = name === '' ? undefined : store.get(storageClasses, '', name);
    if (storageClass?.allowVolumeExpansion !== true)
      throw refuse(
        attributes,
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
      );
  },
};
