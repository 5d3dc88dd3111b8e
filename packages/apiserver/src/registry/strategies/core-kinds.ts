/** Node, Namespace, ConfigMap, Secret, ServiceAccount, Event and Lease. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  type CoreEvent,
  type FieldError,
  type Lease,
  type Namespace,
  type Node,
  type Secret,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { setNamespaceDefaults, setNodeDefaults, setSecretDefaults } from './core-defaults.ts';
import { dataKey, deepEqual, immutable, nonNegative } from './field-rules.ts';
import { keepFields } from './keep-fields.ts';
import { isIpv4Address } from './pod-spec.ts';
import { validateTaints } from './scheduling.ts';

const DATA_BYTES_MAX = 1024 * 1024;

const nodeOf = (object: UnstructuredObject): NonNullable<Node['spec']> => (object as unknown as Node).spec ?? {};

function isCidr(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  if (address.includes(':')) return /^\d{1,3}$/u.test(bits) && Number(bits) <= 128;
  return isIpv4Address(address) && /^\d{1,2}$/u.test(bits) && Number(bits) <= 32;
}

function validateNode(object: UnstructuredObject): FieldError[] {
  const { taints, podCIDRs = [] } = nodeOf(object);
  const errors = validateTaints('metadata.taints', taints);
  for (const [i, cidr] of podCIDRs.entries())
    if (!isCidr(cidr))
      errors.push(
        fieldInvalid(`spec.podCIDRs[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
      );
  return errors;
}

function validateNodeUpdate(object: UnstructuredObject, oldObject: UnstructuredObject): FieldError[] {
  const spec = nodeOf(object);
  const old = nodeOf(oldObject);
  const errors = validateNode(object);
  const hasOtherNetworks = (old.podCIDRs ?? []).length > 0 && !deepEqual(spec.podCIDRs, old.podCIDRs);
  const hasOtherProvider = (old.providerID ?? '') !== '' && spec.providerID !== old.providerID;
  if (hasOtherNetworks)
    errors.push(fieldForbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  if (hasOtherProvider)
    errors.push(fieldForbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  if (hasOtherNetworks || hasOtherProvider || (spec.externalID ?? '') !== (old.externalID ?? ''))
    errors.push(fieldForbidden('[]', 'node updates may only change labels, taints, or capacity'));
  return errors;
}

export const nodeStrategy: Strategy = {
  applyDefaults(object) {
    setNodeDefaults(object);
    const spec = nodeOf(object);
    // Clients that know one network only change only that.
    if (spec.podCIDR !== undefined && spec.podCIDR !== '' && spec.podCIDR !== spec.podCIDRs?.[0])
      spec.podCIDRs = [spec.podCIDR];
    else if ((spec.podCIDR ?? '') === '' && spec.podCIDRs?.[0] !== undefined) spec.podCIDR = spec.podCIDRs[0];
  },
  // A kubelet registers itself together with its status.
  prepareForCreate() {},
  validate: validateNode,
  prepareForUpdate(object, old) {
    keepFields(object, old, 'status');
  },
  validateUpdate: validateNodeUpdate,
  prepareForStatusUpdate(object, old) {
    keepFields(object, old, 'spec');
  },
  selectableFields: { 'spec.unschedulable': (object) => String(nodeOf(object).unschedulable ?? false) },
};

export const namespaceStrategy: Strategy = {
  applyDefaults: setNamespaceDefaults,
  prepareForCreate(object) {
    const namespace = object as unknown as Namespace;
    // generateName is resolved by now, which it was not when defaults were set.
    setNamespaceDefaults(object);
    namespace.status = { phase: 'Active' };
    namespace.spec = { ...namespace.spec };
    if (!(namespace.spec.finalizers ?? []).includes('kubernetes'))
      namespace.spec.finalizers = [...(namespace.spec.finalizers ?? []), 'kubernetes'];
  },
  prepareForUpdate(object, old) {
    const namespace = object as unknown as Namespace;
    const before = old as unknown as Namespace;
    namespace.spec = { ...namespace.spec };
    if (before.spec?.finalizers === undefined) delete namespace.spec.finalizers;
    else namespace.spec.finalizers = before.spec.finalizers;
    keepFields(object, old, 'status');
  },
  selectableFields: { 'status.phase': (object) => (object as unknown as Namespace).status?.phase ?? '' },
};

type Data = Readonly<Record<string, string>>;

const base64Size = (text: string): number => Buffer.from(text, 'base64').length;
const textSize = (text: string): number => Buffer.byteLength(text);

function sizeOf(data: Data, size: (text: string) => number): number {
  return Object.values(data).reduce((sum, each) => sum + size(each), 0);
}

function validateConfigMap(object: UnstructuredObject): FieldError[] {
  const data = (object['data'] ?? {}) as Data;
  const binaryData = (object['binaryData'] ?? {}) as Data;
  const errors: FieldError[] = [];
  for (const key of Object.keys(data)) {
    errors.push(...dataKey(`data[${key}]`, key));
    if (Object.hasOwn(binaryData, key))
      errors.push(fieldInvalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
  }
  for (const key of Object.keys(binaryData)) errors.push(...dataKey(`binaryData[${key}]`, key));
  if (sizeOf(data, textSize) + sizeOf(binaryData, base64Size) > DATA_BYTES_MAX)
    errors.push(fieldTooLong('', DATA_BYTES_MAX));
  return errors;
}

const immutableSet = 'field is immutable when `immutable` is set';

/** What an immutable ConfigMap or Secret may not change. */
function validateKept(object: UnstructuredObject, old: UnstructuredObject, fields: readonly string[]): FieldError[] {
  if (old['immutable'] !== true) return [];
  const errors: FieldError[] = [];
  if (object['immutable'] !== true) errors.push(fieldForbidden('immutable', immutableSet));
  for (const field of fields)
    if (!deepEqual(object[field], old[field])) errors.push(fieldForbidden(field, immutableSet));
  return errors;
}

export const configMapStrategy: Strategy = {
  validate: validateConfigMap,
  validateUpdate: (object, old) => [...validateConfigMap(object), ...validateKept(object, old, ['data', 'binaryData'])],
};

/** Keys that a type of Secret must have. */
const secretKeys: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

const secretType = (object: UnstructuredObject): string => (object as unknown as Secret).type ?? '';

function validateSecret(object: UnstructuredObject): FieldError[] {
  const data = (object['data'] ?? {}) as Data;
  const type = secretType(object);
  const errors = Object.keys(data).flatMap((key) => dataKey(`data[${key}]`, key));
  if (sizeOf(data, base64Size) > DATA_BYTES_MAX) errors.push(fieldTooLong('data', DATA_BYTES_MAX));
  if (type === 'kubernetes.io/service-account-token') {
    const account = object.metadata.annotations?.['kubernetes.io/service-account.name'] ?? '';
    if (account === '') errors.push(fieldRequired('metadata.annotations[kubernetes.io/service-account.name]'));
  }
  for (const key of secretKeys[type] ?? []) {
    const value = data[key];
    if (value === undefined) errors.push(fieldRequired(`data[${key}]`));
    else if (key.startsWith('.docker') && !isJson(value))
      errors.push(fieldInvalid(`data[${key}]`, '<secret contents redacted>', 'invalid character in JSON'));
  }
  if (type === 'kubernetes.io/basic-auth' && data['username'] === undefined && data['password'] === undefined)
    errors.push(fieldRequired('data[username]'), fieldRequired('data[password]'));
  return errors;
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString());
    return true;
  } catch {
    return false;
  }
}

export const secretStrategy: Strategy = {
  applyDefaults: setSecretDefaults,
  validate: validateSecret,
  validateUpdate: (object, old) => [
    ...immutable('type', object['type'], old['type']),
    ...validateSecret(object),
    ...validateKept(object, old, ['data']),
  ],
  selectableFields: { type: secretType },
};

const eventOf = (object: UnstructuredObject): CoreEvent => object as unknown as CoreEvent;
type InvolvedField = 'kind' | 'namespace' | 'name' | 'uid' | 'apiVersion' | 'resourceVersion' | 'fieldPath';
const involved =
  (field: InvolvedField) =>
  (object: UnstructuredObject): string =>
    eventOf(object).involvedObject?.[field] ?? '';

export const eventStrategy: Strategy = {
  validate(object) {
    const { involvedObject, metadata } = eventOf(object);
    const namespace = involvedObject?.namespace ?? '';
    // Events about cluster-scoped objects live in the default namespace.
    const expected = namespace === '' ? 'default' : namespace;
    const isSystem = namespace === '' && metadata.namespace === 'kube-system';
    return expected === metadata.namespace || isSystem
      ? []
      : [fieldInvalid('involvedObject.namespace', namespace, 'does not match event.namespace')];
  },
  selectableFields: {
    'involvedObject.kind': involved('kind'),
    'involvedObject.namespace': involved('namespace'),
    'involvedObject.name': involved('name'),
    'involvedObject.uid': involved('uid'),
    'involvedObject.apiVersion': involved('apiVersion'),
    'involvedObject.resourceVersion': involved('resourceVersion'),
    'involvedObject.fieldPath': involved('fieldPath'),
    reason: (object) => eventOf(object).reason ?? '',
    reportingComponent: (object) => eventOf(object).reportingComponent ?? '',
    source: (object) => eventOf(object).source?.component ?? eventOf(object).reportingComponent ?? '',
    type: (object) => eventOf(object).type ?? '',
  },
  allowCreateOnUpdate: true,
};

export const leaseStrategy: Strategy = {
  allowUnconditionalUpdate: false,
  validate(object) {
    const spec = (object as unknown as Lease).spec;
    const errors: FieldError[] = [];
    if (spec?.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0)
      errors.push(fieldInvalid('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0'));
    if (spec?.leaseTransitions !== undefined)
      errors.push(...nonNegative('spec.leaseTransitions', spec.leaseTransitions));
    return errors;
  },
  validateUpdate: (object) => leaseStrategy.validate?.(object) ?? [],
  allowCreateOnUpdate: true,
};
