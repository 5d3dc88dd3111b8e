/** VolumeAttachment, CSIDriver, CSINode. */
import { fieldDuplicate, fieldRequired, type FieldError, type UnstructuredObject } from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { dnsSubdomain, immutable, optionalOneOf, required } from './field-rules.ts';

interface AttachmentSpec {
  readonly attacher?: string;
  readonly nodeName?: string;
  readonly source?: { readonly inlineVolumeSpec?: unknown; readonly persistentVolumeName?: string };
}

function validateAttachment(object: UnstructuredObject): FieldError[] {
  const { attacher = '', nodeName = '', source = {} } = (object['spec'] ?? {}) as AttachmentSpec;
  const errors = required('spec.attacher', attacher);
  const hasInline = source.inlineVolumeSpec !== undefined;
  const hasName = (source.persistentVolumeName ?? '') !== '';
  if (!hasInline && !hasName)
    errors.push(fieldRequired('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'));
  if (hasInline && hasName)
    errors.push({
      type: 'FieldValueForbidden',
      field: 'spec.source',
      detail: 'must specify exactly one of inlineVolumeSpec and persistentVolumeName',
    });
  // The attacher is asked for twice: it must be there, and be the name of a CSI driver.
  return [
    ...errors,
    ...dnsSubdomain('spec.nodeName', nodeName),
    ...required('spec.attacher', attacher),
    ...dnsSubdomain('spec.attacher', attacher.toLowerCase()),
  ];
}

export const volumeAttachmentStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata'] },
  allowUnconditionalUpdate: false,
  emptyStatus: { attached: false },
  validate: validateAttachment,
  validateUpdate: (object, old) => [...validateAttachment(object), ...immutable('spec', object['spec'], old['spec'])],
};

interface DriverSpec {
  attachRequired?: boolean;
  podInfoOnMount?: boolean;
  storageCapacity?: boolean;
  fsGroupPolicy?: string;
  volumeLifecycleModes?: string[];
  requiresRepublish?: boolean;
  seLinuxMount?: boolean;
}

const lifecycleModes = ['Persistent', 'Ephemeral'];
const fsGroupPolicies = ['ReadWriteOnceWithFSType', 'File', 'None'];

export const csiDriverStrategy: Strategy = {
  allowUnconditionalUpdate: false,
  applyDefaults(object) {
    const spec = (object['spec'] ??= {}) as DriverSpec;
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent'];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  validate(object) {
    const spec = (object['spec'] ?? {}) as DriverSpec;
    return [
      ...(spec.volumeLifecycleModes ?? []).flatMap((mode) =>
        optionalOneOf('spec.volumeLifecycleModes', mode, lifecycleModes),
      ),
      ...optionalOneOf('spec.fsGroupPolicy', spec.fsGroupPolicy, fsGroupPolicies),
    ];
  },
};

interface NodeDriver {
  readonly name?: string;
  readonly nodeID?: string;
}

export const csiNodeStrategy: Strategy = {
  allowUnconditionalUpdate: false,
  validate(object) {
    const { drivers = [] } = (object['spec'] ?? {}) as { drivers?: NodeDriver[] };
    const seen = new Set<string>();
    return drivers.flatMap(({ name = '', nodeID }, i) => {
      const errors = [
        ...required(`spec.drivers[${i}].name`, name),
        ...required(`spec.drivers[${i}].nodeID`, nodeID),
        ...(seen.has(name) ? [fieldDuplicate(`spec.drivers[${i}].name`, name)] : []),
      ];
      seen.add(name);
      return errors;
    });
  },
};
