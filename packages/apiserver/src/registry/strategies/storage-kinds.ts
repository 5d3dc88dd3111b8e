/** PersistentVolume, PersistentVolumeClaim, StorageClass. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type FieldError,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { noBacksteps } from './containers.ts';
import { setPersistentVolumeClaimDefaults, setPersistentVolumeDefaults } from './core-defaults.ts';
import { deepEqual, immutable, optionalOneOf, required } from './field-rules.ts';
import { validateLabelSelector } from './label-selectors.ts';
import { quantityAt, validateResourceAmount } from './resource-requirements.ts';
import { hostPathTypes } from './volumes.ts';

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const volumeFields: ReadonlySet<string> = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

interface VolumeSpec {
  capacity?: Record<string, string>;
  accessModes?: string[];
  persistentVolumeReclaimPolicy?: string;
  volumeMode?: string;
  hostPath?: { path?: string; type?: string };
  local?: { path?: string };
}

function validateAccessModes(modes: readonly string[] | undefined, whyRequired = ''): FieldError[] {
  if ((modes ?? []).length === 0) return [fieldRequired('spec.accessModes', whyRequired)];
  return (modes ?? []).flatMap((mode) => optionalOneOf('spec.accessModes', mode, accessModes));
}

function positiveQuantity(path: string, amount: string): FieldError[] {
  const errors: FieldError[] = [];
  const quantity = quantityAt(path, amount, errors);
  if (quantity !== undefined && quantity.sign <= 0)
    errors.push(fieldInvalid(path, quantity.toString(), 'must be greater than zero'));
  return errors;
}

/** A path of the host: said, and not one that goes up. */
function hostDirectory(path: string, source: { path?: string } | undefined): FieldError[] {
  if (source === undefined) return [];
  return [...required(path, source.path), ...noBacksteps(path, source.path ?? '')];
}

function validatePersistentVolume(object: UnstructuredObject): FieldError[] {
  const spec = (object['spec'] ?? {}) as VolumeSpec;
  const errors = validateAccessModes(spec.accessModes);
  const capacity = spec.capacity ?? {};
  const resources = Object.keys(capacity);
  if (resources.length === 0) errors.push(fieldRequired('spec.capacity'));
  if (resources.length !== 1 || resources[0] !== 'storage')
    errors.push(fieldNotSupported('spec.capacity', capacity, ['storage']));
  for (const [name, amount] of Object.entries(capacity)) {
    const path = `spec.capacity[${name}]`;
    errors.push(...positiveQuantity(path, amount));
  }
  errors.push(
    ...optionalOneOf('spec.persistentVolumeReclaimPolicy', spec.persistentVolumeReclaimPolicy, [
      'Delete',
      'Recycle',
      'Retain',
    ]),
    ...optionalOneOf('spec.volumeMode', spec.volumeMode, ['Block', 'Filesystem']),
  );
  const sources = Object.keys(spec).filter((field) => !volumeFields.has(field));
  if (sources.length === 0) errors.push(fieldRequired('spec', 'must specify a volume type'));
  errors.push(
    ...hostDirectory('spec.hostPath.path', spec.hostPath),
    ...optionalOneOf('spec.hostPath.type', spec.hostPath?.type, hostPathTypes),
    ...hostDirectory('spec.local.path', spec.local),
  );
  if (spec.hostPath?.path === '/' && spec.persistentVolumeReclaimPolicy === 'Recycle')
    errors.push(
      fieldForbidden('spec.persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'"),
    );
  for (const extra of sources.slice(1))
    errors.push(fieldForbidden(`spec.${extra}`, 'may not specify more than 1 volume type'));
  return errors;
}

export const persistentVolumeStrategy: Strategy = {
  applyDefaults: setPersistentVolumeDefaults,
  prepareForCreate(object) {
    object['status'] = { phase: 'Pending' };
  },
  validate: validatePersistentVolume,
  validateUpdate(object, old) {
    const sourceOf = (each: UnstructuredObject): Record<string, unknown> =>
      Object.fromEntries(Object.entries(each['spec'] ?? {}).filter(([field]) => !volumeFields.has(field)));
    const errors = validatePersistentVolume(object);
    if (!deepEqual(sourceOf(object), sourceOf(old)))
      errors.push(
        fieldForbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'),
      );
    return errors;
  },
};

interface ClaimSpec {
  accessModes?: string[];
  resources?: { requests?: Record<string, string> };
  selector?: { matchLabels?: Record<string, string> };
  volumeName?: string;
  storageClassName?: string;
  volumeMode?: string;
}

const claimOf = (object: UnstructuredObject): ClaimSpec => object['spec'] ?? {};

function validateClaim(object: UnstructuredObject): FieldError[] {
  const spec = claimOf(object);
  const storage = spec.resources?.requests?.['storage'];
  return [
    ...validateLabelSelector('spec.selector', spec.selector),
    ...validateAccessModes(spec.accessModes, 'at least 1 access mode is required'),
    ...(storage === undefined
      ? [fieldRequired('spec.resources[storage]')]
      : [
          ...validateResourceAmount('spec.resources[storage]', 'storage', storage).filter(
            ({ type }) => type === 'FieldValueInvalid',
          ),
          ...positiveQuantity('spec.resources[storage]', storage),
        ]),
    ...optionalOneOf('spec.volumeMode', spec.volumeMode, ['Block', 'Filesystem']),
  ];
}

function validateClaimUpdate(object: UnstructuredObject, oldObject: UnstructuredObject): FieldError[] {
  const spec = { ...claimOf(object) };
  const old = claimOf(oldObject);
  const errors = validateClaim(object);
  // A claim is bound once, and may be resized from then on.
  if ((old.volumeName ?? '') === '' && spec.volumeName !== undefined) delete spec.volumeName;
  if (old.volumeName !== undefined && (old.volumeName !== '' || spec.volumeName === undefined)) {
    if (claimOf(object).volumeName === old.volumeName) spec.volumeName = old.volumeName;
  }
  if (old.resources === undefined) delete spec.resources;
  else spec.resources = old.resources;
  if (old.storageClassName === undefined) delete spec.storageClassName;
  if (!deepEqual(spec, old))
    errors.push(
      fieldForbidden(
        'spec',
        'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
      ),
    );
  return errors;
}

export const persistentVolumeClaimStrategy: Strategy = {
  applyDefaults: setPersistentVolumeClaimDefaults,
  prepareForCreate(object) {
    object['status'] = { phase: 'Pending' };
  },
  validate: validateClaim,
  validateUpdate: validateClaimUpdate,
};

export const storageClassStrategy: Strategy = {
  applyDefaults(object) {
    object['reclaimPolicy'] ??= 'Delete';
    object['volumeBindingMode'] ??= 'Immediate';
  },
  validate: (object) => [
    ...required('provisioner', object['provisioner']),
    ...optionalOneOf('reclaimPolicy', object['reclaimPolicy'] as string, ['Delete', 'Retain']),
    ...optionalOneOf('volumeBindingMode', object['volumeBindingMode'] as string, ['Immediate', 'WaitForFirstConsumer']),
  ],
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    if (!deepEqual(object['parameters'], old['parameters']))
      errors.push(fieldForbidden('parameters', 'updates to parameters are forbidden.'));
    if (object['provisioner'] !== old['provisioner'])
      errors.push(fieldForbidden('provisioner', 'updates to provisioner are forbidden.'));
    if (object['reclaimPolicy'] !== old['reclaimPolicy'])
      errors.push(fieldForbidden('reclaimPolicy', 'updates to reclaimPolicy are forbidden.'));
    return [...errors, ...immutable('volumeBindingMode', object['volumeBindingMode'], old['volumeBindingMode'])];
  },
};
