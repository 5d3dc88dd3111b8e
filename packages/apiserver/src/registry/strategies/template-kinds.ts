/** PodTemplate and ControllerRevision: parts of workloads that are kept as objects of their own. */
import { fieldRequired, type FieldError, type PodTemplateSpec, type UnstructuredObject } from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { immutable, nonNegative } from './field-rules.ts';
import { validatePodTemplate } from './pod-spec.ts';
import { setTemplateDefaults } from './workload-defaults.ts';

function validateTemplate(object: UnstructuredObject): FieldError[] {
  return validatePodTemplate(object['template'] as PodTemplateSpec, 'template');
}

export const podTemplateStrategy: Strategy = {
  applyDefaults(object) {
    const template = (object['template'] ??= {}) as PodTemplateSpec;
    template.spec ??= { containers: [] };
    setTemplateDefaults(template);
  },
  validate: validateTemplate,
  validateUpdate: validateTemplate,
};

function validateRevision(object: UnstructuredObject): FieldError[] {
  const { data, revision } = object as { data?: unknown; revision?: number };
  return [
    ...nonNegative('revision', revision),
    ...(data === undefined || data === null ? [fieldRequired('data', 'data is mandatory')] : []),
  ];
}

export const controllerRevisionStrategy: Strategy = {
  validate: validateRevision,
  validateUpdate: (object, old) => [...validateRevision(object), ...immutable('data', object['data'], old['data'])],
};
