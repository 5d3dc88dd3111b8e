import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isValidPathSegmentName,
  type FieldError,
  type PolicyRule,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { deepEqual, dnsSubdomain, invalidAll } from './field-rules.ts';
import { validateLabelSelector } from './label-selectors.ts';

const group = 'rbac.authorization.k8s.io';

interface RoleRef {
  apiGroup?: string;
  kind?: string;
  name?: string;
}

interface Subject extends RoleRef {
  namespace?: string;
}

function validateRules(object: UnstructuredObject, isNamespaced: boolean): FieldError[] {
  return ((object['rules'] ?? []) as PolicyRule[]).flatMap((rule, i) =>
    validateRule(`rules[${i}]`, rule, isNamespaced),
  );
}

function validateRule(path: string, rule: Partial<PolicyRule>, isNamespaced: boolean): FieldError[] {
  const { verbs = [], apiGroups = [], resources = [], nonResourceURLs: urls = [], resourceNames = [] } = rule;
  const errors: FieldError[] = [];
  if (verbs.length === 0) errors.push(fieldRequired(`${path}.verbs`, 'verbs must contain at least one value'));
  if (urls.length > 0) {
    if (isNamespaced)
      errors.push(fieldInvalid(`${path}.nonResourceURLs`, urls, 'namespaced rules cannot apply to non-resource URLs'));
    if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0)
      errors.push(
        fieldInvalid(
          `${path}.nonResourceURLs`,
          urls,
          'rules cannot apply to both regular resources and non-resource URLs',
        ),
      );
    return errors;
  }
  if (apiGroups.length === 0)
    errors.push(fieldRequired(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  if (resources.length === 0)
    errors.push(fieldRequired(`${path}.resources`, 'resource rules must supply at least one resource'));
  return errors;
}

export const roleStrategy: Strategy = {
  validate: (object) => validateRules(object, true),
  allowCreateOnUpdate: true,
};

export const clusterRoleStrategy: Strategy = {
  validate(object) {
    const aggregation = object['aggregationRule'] as
      { clusterRoleSelectors?: { matchLabels?: Record<string, string> }[] } | undefined;
    const errors = validateRules(object, false);
    if (aggregation === undefined) return errors;
    const selectors = aggregation.clusterRoleSelectors ?? [];
    if (selectors.length === 0)
      errors.push(
        fieldRequired(
          'aggregationRule.clusterRoleSelectors',
          'at least one clusterRoleSelector required if aggregationRule is non-nil',
        ),
      );
    for (const [i, selector] of selectors.entries())
      errors.push(...validateLabelSelector(`aggregationRule.clusterRoleSelectors[${i}]`, selector));
    return errors;
  },
  allowCreateOnUpdate: true,
};

function setBindingDefaults(object: UnstructuredObject): void {
  const roleRef = (object['roleRef'] ??= {}) as RoleRef;
  if ((roleRef.apiGroup ?? '') === '') roleRef.apiGroup = group;
  for (const subject of (object['subjects'] ?? []) as Subject[]) {
    const isUser = subject.kind === 'User' || subject.kind === 'Group';
    if (isUser && (subject.apiGroup ?? '') === '') subject.apiGroup = group;
  }
}

function validateBinding(object: UnstructuredObject, isNamespaced: boolean): FieldError[] {
  const roleRef = (object['roleRef'] ?? {}) as RoleRef;
  const errors: FieldError[] = [];
  if (roleRef.apiGroup !== group) errors.push(fieldNotSupported('roleRef.apiGroup', roleRef.apiGroup ?? '', [group]));
  const kinds = isNamespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if (!kinds.includes(roleRef.kind ?? '')) errors.push(fieldNotSupported('roleRef.kind', roleRef.kind ?? '', kinds));
  const name = roleRef.name ?? '';
  if (name === '') errors.push(fieldRequired('roleRef.name'));
  else errors.push(...invalidAll('roleRef.name', name, isValidPathSegmentName(name)));
  for (const [i, subject] of ((object['subjects'] ?? []) as Subject[]).entries())
    errors.push(...validateSubject(`subjects[${i}]`, subject, isNamespaced));
  return errors;
}

function validateSubject(path: string, subject: Subject, isNamespaced: boolean): FieldError[] {
  const { name = '', kind = '', namespace = '', apiGroup = '' } = subject;
  const errors: FieldError[] = name === '' ? [fieldRequired(`${path}.name`)] : [];
  switch (kind) {
    case 'ServiceAccount':
      if (name !== '') errors.push(...dnsSubdomain(`${path}.name`, name));
      if (apiGroup !== '') errors.push(fieldNotSupported(`${path}.apiGroup`, apiGroup, ['']));
      if (!isNamespaced && namespace === '') errors.push(fieldRequired(`${path}.namespace`));
      break;
    case 'User':
    case 'Group':
      if (apiGroup !== group) errors.push(fieldNotSupported(`${path}.apiGroup`, apiGroup, [group]));
      break;
    default:
      errors.push(fieldNotSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
  }
  return errors;
}

const bindingStrategy = (isNamespaced: boolean): Strategy => ({
  applyDefaults: setBindingDefaults,
  validate: (object) => validateBinding(object, isNamespaced),
  validateUpdate: (object, old) => [
    ...validateBinding(object, isNamespaced),
    ...(deepEqual(object['roleRef'], old['roleRef'])
      ? []
      : [fieldInvalid('roleRef', object['roleRef'], 'cannot change roleRef')]),
  ],
  allowCreateOnUpdate: true,
});

export const roleBindingStrategy = bindingStrategy(true);
export const clusterRoleBindingStrategy = bindingStrategy(false);
