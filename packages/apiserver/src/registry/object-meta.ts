/**
 * What the generic registry does with ObjectMeta before a write, and its validation; rules and messages are upstream's
 * (k8s.io/apimachinery/pkg/api/validation, k8s.io/apiserver/pkg/registry/rest).
 */
import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
  isValidPathSegmentName,
  newBadRequest,
  type FieldError,
  type ObjectMeta,
  type OwnerReference,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';

const ANNOTATIONS_BYTES_MAX = 256 * 1024;

export type NameRule = 'dns-subdomain' | 'dns-label' | 'dns-1035-label' | 'path-segment';

/** Resources whose names obey another rule than the DNS subdomain's. */
const nameRules: Readonly<Record<string, NameRule>> = {
  'namespaces.': 'dns-label',
  'services.': 'dns-1035-label',
  // An APIService is called VERSION.GROUP, and the core group has no name.
  'apiservices.apiregistration.k8s.io': 'path-segment',
  'certificatesigningrequests.certificates.k8s.io': 'path-segment',
  'events.': 'path-segment',
  'roles.rbac.authorization.k8s.io': 'path-segment',
  'rolebindings.rbac.authorization.k8s.io': 'path-segment',
  'clusterroles.rbac.authorization.k8s.io': 'path-segment',
  'clusterrolebindings.rbac.authorization.k8s.io': 'path-segment',
};

export function nameRuleOf(resource: Resource): NameRule {
  return nameRules[`${resource.resource}.${resource.group}`] ?? 'dns-subdomain';
}

const nameProblemsByRule: Readonly<Record<NameRule, (name: string) => readonly string[]>> = {
  'dns-subdomain': isDns1123Subdomain,
  'dns-label': isDns1123Label,
  'dns-1035-label': isDns1035Label,
  'path-segment': isValidPathSegmentName,
};

/** What is wrong with a name; empty when nothing is. */
export function nameProblems(name: string, rule: NameRule): readonly string[] {
  return nameProblemsByRule[rule](name);
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.push(...isQualifiedName(key).map((detail) => fieldInvalid(field, key, detail)));
    errors.push(...isValidLabelValue(value).map((detail) => fieldInvalid(field, value, detail)));
  }
  return errors;
}

export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    errors.push(...isQualifiedName(key.toLowerCase()).map((detail) => fieldInvalid(field, key, detail)));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > ANNOTATIONS_BYTES_MAX) errors.push(fieldTooLong(field, ANNOTATIONS_BYTES_MAX));
  return errors;
}

function validateOwnerReferences(references: readonly OwnerReference[] | undefined): FieldError[] {
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  const field = 'metadata.ownerReferences';
  for (const reference of references ?? []) {
    const { apiVersion = '', kind = '', name = '', uid = '' } = reference as Partial<OwnerReference>;
    const version = apiVersion.slice(apiVersion.indexOf('/') + 1);
    if (version === '') errors.push(fieldInvalid(`${field}.apiVersion`, apiVersion, 'version must not be empty'));
    for (const [part, value] of Object.entries({ kind, name, uid }))
      if (value === '') errors.push(fieldInvalid(`${field}.${part}`, value, `${part} must not be empty`));
    if (apiVersion === 'v1' && kind === 'Event')
      errors.push(
        fieldInvalid(field, `${apiVersion}, Kind=${kind}`, `/v1, Kind=Event is disallowed from being an owner`),
      );
    if (reference.controller !== true) continue;
    if (controller !== undefined)
      errors.push(
        fieldInvalid(
          'metadata.ownerReferences',
          references,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${kind}/${name}`,
        ),
      );
    else controller = reference;
  }
  return errors;
}

/** Groups of kinds that are no part of Kubernetes' core: their finalizers need no prefix. */
const extensionGroups: ReadonlySet<string> = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io']);
const standardFinalizers: ReadonlySet<string> = new Set(['orphan', 'foregroundDeletion', 'kubernetes']);

function validateFinalizers(finalizers: readonly string[] | undefined, { group, schema }: Resource): FieldError[] {
  const isExtension = schema !== undefined || extensionGroups.has(group);
  const errors: FieldError[] = [];
  const all = finalizers ?? [];
  for (const finalizer of all)
    errors.push(...isQualifiedName(finalizer).map((detail) => fieldInvalid('metadata.finalizers', finalizer, detail)));
  if (all.includes('orphan') && all.includes('foregroundDeletion'))
    errors.push(fieldInvalid('metadata.finalizers', all, 'finalizer orphan and foregroundDeletion cannot be both set'));
  if (isExtension) return errors;
  for (const [i, finalizer] of all.entries())
    if (!finalizer.includes('/') && !standardFinalizers.has(finalizer))
      errors.push(
        fieldInvalid(
          `metadata.finalizers[${i}]`,
          finalizer,
          'name is neither a standard finalizer name nor is it fully qualified',
        ),
      );
  return errors;
}

/** ObjectMeta of an object about to be stored. */
export function validateObjectMeta(meta: ObjectMeta, resource: Resource): FieldError[] {
  const errors: FieldError[] = [];
  const rule = nameRuleOf(resource);
  if (meta.generateName !== undefined && meta.generateName !== '')
    errors.push(
      ...nameProblems(meta.generateName.replace(/-$/u, 'a'), rule).map((detail) =>
        fieldInvalid('metadata.generateName', meta.generateName, detail),
      ),
    );
  if (meta.name === undefined || meta.name === '')
    errors.push(fieldRequired('metadata.name', 'name or generateName is required'));
  else errors.push(...nameProblems(meta.name, rule).map((detail) => fieldInvalid('metadata.name', meta.name, detail)));
  if (resource.namespaced) {
    if (meta.namespace === undefined || meta.namespace === '') errors.push(fieldRequired('metadata.namespace'));
    else
      errors.push(
        ...nameProblems(meta.namespace, 'dns-label').map((detail) =>
          fieldInvalid('metadata.namespace', meta.namespace, detail),
        ),
      );
  } else if (meta.namespace !== undefined && meta.namespace !== '')
    errors.push(fieldForbidden('metadata.namespace', 'not allowed on this type'));
  errors.push(
    ...validateLabels(meta.labels, 'metadata.labels'),
    ...validateAnnotations(meta.annotations, 'metadata.annotations'),
    ...validateOwnerReferences(meta.ownerReferences),
    ...validateFinalizers(meta.finalizers, resource),
    ...validateManagers(meta.managedFields),
  );
  return errors;
}

/** Of the name of a field manager. */
export const FIELD_MANAGER_BYTES_MAX = 128;

function validateManagers(entries: ObjectMeta['managedFields'] = []): FieldError[] {
  return entries.flatMap(({ manager = '' }, i) =>
    Buffer.byteLength(manager) > FIELD_MANAGER_BYTES_MAX
      ? [fieldTooLong(`metadata.managedFields[${i}].manager`, FIELD_MANAGER_BYTES_MAX)]
      : [],
  );
}

const immutable = (field: string, value: unknown): FieldError => fieldInvalid(field, value, 'field is immutable');

/** What an update may not change in ObjectMeta. */
export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ['name', 'namespace', 'uid', 'creationTimestamp'] as const)
    if (meta[field] !== old[field]) errors.push(immutable(`metadata.${field}`, meta[field]));
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter((each) => !(old.finalizers ?? []).includes(each));
    if (added.length > 0)
      errors.push(
        fieldForbidden(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(', ')}}`,
        ),
      );
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0))
    errors.push(fieldInvalid('metadata.generation', meta.generation, 'must not be decremented'));
  return errors;
}

/** Makes the object's namespace the request's. @throws StatusError BadRequest when it names another. */
export function ensureNamespace(object: UnstructuredObject, resource: Resource, namespace: string): void {
  const { metadata } = object;
  if (!resource.namespaced) {
    delete metadata.namespace;
    return;
  }
  if (metadata.namespace === undefined || metadata.namespace === '') metadata.namespace = namespace;
  else if (metadata.namespace !== namespace)
    throw newBadRequest('the namespace of the provided object does not match the namespace sent on the request');
}

/** The server's part of a new object's ObjectMeta. */
export function fillObjectMeta(meta: ObjectMeta, filled: { readonly uid: string; readonly now: string }): void {
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  delete meta.selfLink;
  delete meta.resourceVersion;
  meta.uid = filled.uid;
  meta.creationTimestamp = filled.now;
}

/** What an update takes over from the stored object, where the client may leave it out or not set it. */
export function keepObjectMeta(meta: ObjectMeta, old: ObjectMeta): void {
  delete meta.selfLink;
  if (meta.uid === undefined || meta.uid === '') copy(meta, old, 'uid');
  if (meta.namespace === undefined || meta.namespace === '') copy(meta, old, 'namespace');
  for (const field of ['creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation'] as const)
    copy(meta, old, field);
}

function copy(meta: ObjectMeta, old: ObjectMeta, field: keyof ObjectMeta): void {
  if (old[field] === undefined) delete meta[field];
  else Object.assign(meta, { [field]: old[field] });
}
