/** The community's groups: whoever defines resources in them says where that was approved (k8s.io/apiextensions-apiserver/pkg/controller/apiapproval). */
import { fieldInvalid, fieldRequired, type CustomResourceDefinition, type FieldError } from '@naru/api';

const annotation = 'api-approved.kubernetes.io';
const reference = 'see https://github.com/kubernetes/enhancements/pull/1111';
const isProtected = (group: string): boolean => /(^|\.)(k8s|kubernetes)\.io$/u.test(group);

export interface ApprovalCondition {
  readonly type: 'KubernetesAPIApprovalPolicyConformant';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

function isUrl(text: string): boolean {
  try {
    return new URL(text).host !== '';
  } catch {
    return false;
  }
}

/** Undefined: the group is not protected. */
export function approvalCondition({ metadata, spec }: CustomResourceDefinition): ApprovalCondition | undefined {
  if (!isProtected(spec.group)) return undefined;
  const value = metadata.annotations?.[annotation] ?? '';
  const type = 'KubernetesAPIApprovalPolicyConformant';
  const quoted = JSON.stringify(annotation);
  if (value === '')
    return {
      type,
      status: 'False',
      reason: 'MissingAnnotation',
      message: `protected groups must have approval annotation ${quoted}, ${reference}`,
    };
  if (value.startsWith('unapproved'))
    return { type, status: 'False', reason: 'UnapprovedAnnotation', message: `not approved: ${JSON.stringify(value)}` };
  if (isUrl(value)) return { type, status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${value}` };
  return {
    type,
    status: 'False',
    reason: 'InvalidAnnotation',
    message: `protected groups must have approval annotation ${quoted} with either a URL or a reason starting with "unapproved", ${reference}`,
  };
}

/** What is wrong with the annotation; one that an update leaves alone may be so. */
export function approvalErrors(definition: CustomResourceDefinition, old?: CustomResourceDefinition): FieldError[] {
  const { group = '' } = (definition.spec ?? {}) as Partial<CustomResourceDefinition['spec']>;
  const value = definition.metadata.annotations?.[annotation] ?? '';
  if (!isProtected(group) || (old !== undefined && (old.metadata.annotations?.[annotation] ?? '') === value)) return [];
  const condition = approvalCondition(definition);
  const path = `metadata.annotations[${annotation}]`;
  if (condition?.reason === 'MissingAnnotation') return [fieldRequired(path, condition.message)];
  return condition?.reason === 'InvalidAnnotation' ? [fieldInvalid(path, value, condition.message)] : [];
}
