/** What Deployment, ReplicaSet, StatefulSet, DaemonSet and ReplicationController have in common. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type FieldError,
  type LabelSelector,
  type PodTemplateSpec,
} from '@naru/api';
import { isEmptySelector, selectorMatches, validateLabelSelector } from './label-selectors.ts';
import { validatePodTemplate } from './pod-spec.ts';

/** The selector must be there, select something, and select the template's pods. */
export function validateSelectorAndTemplate(
  spec: { readonly selector?: LabelSelector; readonly template?: PodTemplateSpec } | undefined,
  kind: string,
): FieldError[] {
  const path = 'spec';
  const { selector, template } = spec ?? {};
  const errors: FieldError[] = [];
  // A DaemonSet without a selector is told only that it selects nothing.
  if (selector === undefined) {
    if (kind !== 'daemonset') errors.push(fieldRequired(`${path}.selector`));
  } else {
    errors.push(...validateLabelSelector(`${path}.selector`, selector));
    if (isEmptySelector(selector))
      errors.push(fieldInvalid(`${path}.selector`, selector, `empty selector is invalid for ${kind}`));
  }
  if (template === undefined) return [...errors, fieldRequired(`${path}.template`)];
  const labels = template.metadata?.labels;
  const selectsAll = selector !== undefined && isEmptySelector(selector);
  if (!selectsAll && !selectorMatches(selector, labels))
    errors.push(
      fieldInvalid(`${path}.template.metadata.labels`, labels ?? {}, '`selector` does not match template `labels`'),
    );
  errors.push(...validatePodTemplate(template, `${path}.template`));
  return errors;
}

/** Pods of controllers that replace them always restart. */
export function validateLongRunning(template: PodTemplateSpec | undefined, kind: string): FieldError[] {
  const errors: FieldError[] = [];
  const policy = template?.spec?.restartPolicy;
  if (policy !== undefined && policy !== 'Always')
    errors.push(fieldNotSupported('spec.template.spec.restartPolicy', policy, ['Always']));
  if (template?.spec?.activeDeadlineSeconds !== undefined)
    errors.push(
      fieldForbidden('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`),
    );
  return errors;
}
