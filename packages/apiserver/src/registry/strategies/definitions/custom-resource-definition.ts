/** CustomResourceDefinitions (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation). */
import {
  equalJson,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isConditionTrue,
  isDns1035Label,
  isDns1123Subdomain,
  parseJsonPath,
  setCondition,
  type CustomResourceDefinition,
  type FieldError,
  type JsonSchema,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../../strategy.ts';
import { immutableMessage, invalidAll, required } from '../field-rules.ts';
import { schemaRuleErrors } from '../../../cel/schema-rule-errors.ts';
import { approvalErrors } from './api-approval.ts';
import { conversionErrors } from './conversion-rules.ts';
import { structuralErrors } from './structural-rules.ts';

export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

type Spec = CustomResourceDefinition['spec'];
type Version = Spec['versions'][number];
type Condition = NonNullable<NonNullable<CustomResourceDefinition['status']>['conditions']>[number];

const typed = (object: UnstructuredObject): CustomResourceDefinition => object as unknown as CustomResourceDefinition;

export const customResourceDefinitionStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata'] },
  applyDefaults(object) {
    const { spec } = object as { spec?: Spec };
    if (spec === undefined) return;
    const { names } = spec as { names?: Spec['names'] };
    if (names !== undefined && (names.kind ?? '') !== '') {
      if ((names.singular ?? '') === '') names.singular = names.kind.toLowerCase();
      if ((names.listKind ?? '') === '') names.listKind = `${names.kind}List`;
    }
    spec.conversion ??= { strategy: 'None' };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service !== undefined) service.port ??= 443;
  },
  prepareForCreate(object) {
    object['status'] = { storedVersions: storageVersionsOf(object) };
  },
  prepareForUpdate(object, old) {
    const status = (old['status'] ?? {}) as { storedVersions?: string[] };
    const stored = status.storedVersions ?? [];
    const added = storageVersionsOf(object).filter((each) => !stored.includes(each));
    object['status'] = added.length === 0 ? status : { ...status, storedVersions: [...stored, ...added] };
  },
  prepareForDelete(object, { now }) {
    const finalizers = object.metadata.finalizers ?? [];
    if (!finalizers.includes(cleanupFinalizer)) object.metadata.finalizers = [...finalizers, cleanupFinalizer];
    const status = (object['status'] ?? {}) as { conditions?: Condition[] };
    const terminating = {
      type: 'Terminating',
      status: 'True',
      reason: 'InstanceDeletionPending',
      message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
    };
    object['status'] = { ...status, conditions: [...setCondition(status.conditions, terminating as Condition, now)] };
  },
  validate: (object) => [
    ...nameErrors(typed(object)),
    ...specErrors(typed(object).spec),
    ...approvalErrors(typed(object)),
  ],
  validateUpdate: (object, old) => [
    ...nameErrors(typed(object)),
    ...specErrors(typed(object).spec, specOf(old).versions),
    ...immutableErrors(typed(object), typed(old)),
    ...approvalErrors(typed(object), typed(old)),
    ...storedVersionErrors(typed(object)),
  ],
  validateStatusUpdate: (object) => storedVersionErrors(typed(object)),
};

/** The spec, of which a client may have left out anything. */
function specOf(object: object): Partial<Spec> {
  return (object as { readonly spec?: Partial<Spec> }).spec ?? {};
}

function storageVersionsOf(object: UnstructuredObject): string[] {
  return (specOf(object).versions ?? []).filter(({ storage }) => storage).map(({ name }) => name);
}

function nameErrors({ metadata, spec }: CustomResourceDefinition): FieldError[] {
  const { names, group } = (spec ?? {}) as Partial<Spec>;
  return metadata.name === `${names?.plural ?? ''}.${group ?? ''}`
    ? []
    : [fieldInvalid('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group')];
}

/** `before`: the versions that the definition had. */
function specErrors(spec: Spec | undefined, before: readonly Version[] = []): FieldError[] {
  if (spec === undefined) return [fieldRequired('spec')];
  const { group, scope, versions, conversion } = spec;
  if ((versions as unknown) === undefined) return [fieldRequired('spec.versions')];
  const errors: FieldError[] = [];
  if ((group ?? '') === '') errors.push(fieldRequired('spec.group'));
  else if (isDns1123Subdomain(group).length > 0)
    errors.push(...invalidAll('spec.group', group, isDns1123Subdomain(group)));
  else if (!group.includes('.'))
    errors.push(fieldInvalid('spec.group', group, 'should be a domain with at least one dot'));
  if ((scope ?? '') === '') errors.push(fieldRequired('spec.scope'));
  else if (scope !== 'Cluster' && scope !== 'Namespaced')
    errors.push(fieldNotSupported('spec.scope', scope, ['Cluster', 'Namespaced']));
  if (spec.preserveUnknownFields === true)
    errors.push(
      fieldInvalid(
        'spec.preserveUnknownFields',
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    );
  errors.push(...namesErrors(spec.names), ...versionListErrors(versions));
  for (const [i, version] of versions.entries()) {
    const old = before.find(({ name }) => name === version.name);
    errors.push(...versionErrors(version, `spec.versions[${i}]`, old));
  }
  return [...errors, ...conversionErrors(conversion)];
}

function namesErrors(names: Spec['names'] | undefined): FieldError[] {
  const path = 'spec.names';
  if (names === undefined) return [fieldRequired(path)];
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
  const label = (field: string, value: string): FieldError[] => invalidAll(field, value, isDns1035Label(value));
  const errors: FieldError[] = [];
  for (const [field, value] of Object.entries({ plural, singular, kind, listKind })) {
    if (value === undefined || value === '') errors.push(fieldRequired(`${path}.${field}`));
    else {
      // Kinds are labels but for their capitals.
      const messages = isDns1035Label(field.toLowerCase().endsWith('kind') ? value.toLowerCase() : value);
      const prefix = field.toLowerCase().endsWith('kind') ? 'may have mixed case, but should otherwise match: ' : '';
      errors.push(...messages.map((message) => fieldInvalid(`${path}.${field}`, value, prefix + message)));
    }
  }
  for (const [i, each] of shortNames.entries()) errors.push(...label(`${path}.shortNames[${i}]`, each));
  for (const [i, each] of categories.entries()) errors.push(...label(`${path}.categories[${i}]`, each));
  if ((kind ?? '') !== '' && kind === listKind)
    errors.push(fieldInvalid(`${path}.listKind`, listKind, 'kind and listKind may not be the same'));
  return errors;
}

function versionListErrors(versions: readonly Version[]): FieldError[] {
  const path = 'spec.versions';
  const errors: FieldError[] = [];
  const names = versions.map(({ name }) => name);
  if (new Set(names).size !== names.length) errors.push(fieldInvalid(path, names, 'must contain unique version names'));
  if (versions.filter(({ storage }) => storage).length !== 1)
    errors.push(fieldInvalid(path, names, 'must have exactly one version marked as storage version'));
  return errors;
}

function versionErrors(version: Version, path: string, old: Version | undefined): FieldError[] {
  const { name, schema, additionalPrinterColumns = [], subresources, selectableFields = [] } = version;
  const errors = [...invalidAll(`${path}.name`, name ?? '', isDns1035Label(name ?? ''))];
  const openApi = schema?.openAPIV3Schema as unknown as JsonSchema | undefined;
  if (openApi === undefined) errors.push(fieldRequired(`${path}.schema.openAPIV3Schema`, 'schemas are required'));
  else
    errors.push(
      ...structuralErrors(openApi, `${path}.schema.openAPIV3Schema`),
      ...schemaRuleErrors(openApi, `${path}.schema.openAPIV3Schema`, {
        isUnchanged: equalJson(schema, old?.schema),
      }),
    );
  for (const [i, each] of additionalPrinterColumns.entries())
    errors.push(...columnErrors(each, `${path}.additionalPrinterColumns[${i}]`));
  const scale = subresources?.scale;
  if (scale !== undefined) {
    const at = `${path}.subresources.scale`;
    errors.push(...scalePathErrors(`${at}.specReplicasPath`, scale.specReplicasPath, '.spec'));
    errors.push(...scalePathErrors(`${at}.statusReplicasPath`, scale.statusReplicasPath, '.status'));
    if (scale.labelSelectorPath !== undefined && !/^\.(spec|status)\./u.test(scale.labelSelectorPath))
      errors.push(
        fieldInvalid(
          `${at}.labelSelectorPath`,
          scale.labelSelectorPath,
          'should be a json path under either .spec or .status',
        ),
      );
  }
  for (const [i, { jsonPath }] of selectableFields.entries())
    errors.push(...pathErrors(`${path}.selectableFields[${i}].jsonPath`, jsonPath));
  return errors;
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string'];

function columnErrors(column: NonNullable<Version['additionalPrinterColumns']>[number], path: string): FieldError[] {
  const { name, type, jsonPath } = column;
  const errors = required(`${path}.name`, name);
  if ((type ?? '') === '') errors.push(fieldRequired(`${path}.type`, `must be one of ${columnTypes.join(',')}`));
  else if (!columnTypes.includes(type))
    errors.push(fieldInvalid(`${path}.type`, type, `must be one of ${columnTypes.join(',')}`));
  return [...errors, ...pathErrors(`${path}.jsonPath`, jsonPath)];
}

function pathErrors(path: string, text: string | undefined): FieldError[] {
  if (text === undefined || text === '') return [fieldRequired(path)];
  if (!text.startsWith('.')) return [fieldInvalid(path, text, 'must be a simple json path starting with .')];
  try {
    parseJsonPath(text);
    return [];
  } catch (error) {
    return [fieldInvalid(path, text, `is an invalid path: ${(error as Error).message}`)];
  }
}

function scalePathErrors(path: string, text: string | undefined, below: string): FieldError[] {
  if (text === undefined || text === '') return [fieldRequired(path)];
  const errors = pathErrors(path, text);
  if (errors.length > 0) return errors;
  return text.startsWith(`${below}.`) ? [] : [fieldInvalid(path, text, `should be a json path under ${below}`)];
}

function immutableErrors(definition: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const [now, before] = [specOf(definition), specOf(old)];
  const pairs: [string, unknown, unknown][] = [
    ['spec.group', now.group, before.group],
    ['spec.names.plural', now.names?.plural, before.names?.plural],
  ];
  // Objects are stored by then.
  if (isConditionTrue(old.status?.conditions, 'Established'))
    pairs.push(['spec.scope', now.scope, before.scope], ['spec.names.kind', now.names?.kind, before.names?.kind]);
  return pairs
    .filter(([, value, oldValue]) => !equalJson(value, oldValue))
    .map(([field, value]) => fieldInvalid(field, value, immutableMessage));
}

function storedVersionErrors(definition: CustomResourceDefinition): FieldError[] {
  const names = (specOf(definition).versions ?? []).map(({ name }) => name);
  return (definition.status?.storedVersions ?? []).flatMap((version, i) =>
    names.includes(version)
      ? []
      : [
          fieldInvalid(
            `status.storedVersions[${i}]`,
            version,
            `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`,
          ),
        ],
  );
}
