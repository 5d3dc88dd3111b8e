import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isValidLabelValue,
  type FieldError,
  type LabelSelector,
} from '@naru/api';
import { invalidAll, labelName, labelsOf } from './field-rules.ts';

/** metav1.LabelSelector. */
export function validateLabelSelector(path: string, selector: LabelSelector | undefined): FieldError[] {
  if (selector === undefined) return [];
  return [
    ...labelsOf(`${path}.matchLabels`, selector.matchLabels),
    ...(selector.matchExpressions ?? []).flatMap((each, i) =>
      validateRequirement(`${path}.matchExpressions[${i}]`, each),
    ),
  ];
}

function validateRequirement(
  path: string,
  { key, operator = '', values = [] }: { key?: string; operator?: string; values?: string[] },
): FieldError[] {
  const errors: FieldError[] = [];
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0)
      errors.push(fieldRequired(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0)
      errors.push(
        fieldForbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
      );
  } else errors.push(fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator'));
  errors.push(...labelName(`${path}.key`, key));
  for (const [i, value] of values.entries())
    errors.push(...invalidAll(`${path}.values[${i}]`, value, isValidLabelValue(value)));
  return errors;
}

export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;
}

/** Whether labels match. An invalid selector matches nothing. */
export function selectorMatches(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  if (selector === undefined) return false;
  const byLabel = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels?.[key] === value);
  return (
    byLabel &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels?.[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
