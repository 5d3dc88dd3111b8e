/** Where a pod may run: node selectors, affinity, tolerations, taints, topology spread. */
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isDns1123Subdomain,
  isValidLabelValue,
  type Affinity,
  type FieldError,
  type NodeSelectorTerm,
  type PodSpec,
  type Taint,
  type Toleration,
} from '@naru/api';
import { invalidAll, labelName, required } from './field-rules.ts';
import { validateLabelSelector } from './label-selectors.ts';

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validateTolerations(path: string, tolerations: readonly Toleration[] | undefined): FieldError[] {
  return (tolerations ?? []).flatMap((toleration, i) => {
    const at = `${path}[${i}]`;
    const { key = '', operator = '', value = '', effect = '', tolerationSeconds } = toleration;
    const errors: FieldError[] = [];
    if (key !== '') errors.push(...labelName(`${at}.key`, key));
    else if (operator !== 'Exists')
      errors.push(
        fieldInvalid(
          `${at}.operator`,
          operator,
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (tolerationSeconds !== undefined && effect !== 'NoExecute')
      errors.push(fieldInvalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if (operator === '' || operator === 'Equal')
      errors.push(...invalidAll(`${at}.operator`, value, isValidLabelValue(value)));
    else if (operator === 'Exists') {
      if (value !== '')
        errors.push(fieldInvalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'"));
    } else errors.push(fieldNotSupported(`${at}.operator`, operator, ['Equal', 'Exists']));
    if (effect !== '' && !effects.includes(effect)) errors.push(fieldNotSupported(`${at}.effect`, effect, effects));
    return errors;
  });
}

/** spec.taints of a node. */
export function validateTaints(path: string, taints: readonly Taint[] | undefined): FieldError[] {
  const seen = new Set<string>();
  return (taints ?? []).flatMap(({ key, value = '', effect }, i) => {
    const at = `${path}[${i}]`;
    const errors = [...labelName(`${at}.key`, key), ...invalidAll(`${at}.value`, value, isValidLabelValue(value))];
    if (effect === undefined || effect === '') errors.push(fieldRequired(`${at}.effect`));
    else if (!effects.includes(effect)) errors.push(fieldNotSupported(`${at}.effect`, effect, effects));
    const id = `${key}:${effect}`;
    if (seen.has(id))
      errors.push({
        ...fieldDuplicate(at, { key, value, effect }),
        detail: 'taints must be unique by key and effect pair',
      });
    seen.add(id);
    return errors;
  });
}

export function validateAffinity(path: string, affinity: Affinity | undefined): FieldError[] {
  if (affinity === undefined) return [];
  return [
    ...validateNodeAffinity(`${path}.nodeAffinity`, affinity),
    ...validatePodAffinity(`${path}.podAffinity`, affinity.podAffinity),
    ...validatePodAffinity(`${path}.podAntiAffinity`, affinity.podAntiAffinity),
  ];
}

function validateNodeAffinity(path: string, { nodeAffinity }: Affinity): FieldError[] {
  if (nodeAffinity === undefined) return [];
  const errors: FieldError[] = [];
  const requiredTerms = nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution;
  if (requiredTerms !== undefined)
    errors.push(
      ...validateNodeSelector(
        `${path}.requiredDuringSchedulingIgnoredDuringExecution`,
        requiredTerms.nodeSelectorTerms,
      ),
    );
  // As in Go, a struct that is not there is one without fields.
  for (const [i, { weight, preference = {} }] of (
    nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? []
  ).entries()) {
    const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    errors.push(...validateWeight(`${at}.weight`, weight), ...validateTerm(`${at}.preference`, preference));
  }
  return errors;
}

export function validateNodeSelector(path: string, terms: readonly NodeSelectorTerm[] | undefined): FieldError[] {
  if ((terms ?? []).length === 0)
    return [fieldRequired(`${path}.nodeSelectorTerms`, 'must have at least one node selector term')];
  return (terms ?? []).flatMap((term, i) => validateTerm(`${path}.nodeSelectorTerms[${i}]`, term));
}

function validateTerm(path: string, { matchExpressions = [], matchFields = [] }: NodeSelectorTerm): FieldError[] {
  return [
    ...matchExpressions.flatMap((each, i) => validateNodeRequirement(`${path}.matchExpressions[${i}]`, each)),
    ...matchFields.flatMap((each, i) => validateFieldRequirement(`${path}.matchFields[${i}]`, each)),
  ];
}

interface Requirement {
  key?: string;
  operator?: string;
  values?: string[];
}

function validateNodeRequirement(path: string, { key, operator = '', values = [] }: Requirement): FieldError[] {
  const errors: FieldError[] = [];
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0)
        errors.push(fieldRequired(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0)
        errors.push(
          fieldForbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      break;
    case 'Gt':
    case 'Lt':
      if (values.length !== 1)
        errors.push(fieldRequired(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      errors.push(fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator'));
  }
  errors.push(...labelName(`${path}.key`, key));
  for (const [i, value] of values.entries())
    errors.push(...invalidAll(`${path}.values[${i}]`, value, isValidLabelValue(value)));
  return errors;
}

function validateFieldRequirement(path: string, { key = '', operator = '', values = [] }: Requirement): FieldError[] {
  const errors: FieldError[] = [];
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length !== 1)
      errors.push(
        fieldRequired(
          `${path}.values`,
          "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
      );
  } else errors.push(fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator'));
  if (key !== 'metadata.name') errors.push(fieldInvalid(`${path}.key`, key, 'not a valid field selector key'));
  else
    for (const [i, value] of values.entries())
      errors.push(...invalidAll(`${path}.values[${i}]`, value, isDns1123Subdomain(value)));
  return errors;
}

function validateWeight(path: string, weight = 0): FieldError[] {
  return weight < 1 || weight > 100 ? [fieldInvalid(path, weight, 'must be in the range 1-100')] : [];
}

function validatePodAffinity(
  path: string,
  affinity: Affinity['podAffinity'] | Affinity['podAntiAffinity'],
): FieldError[] {
  if (affinity === undefined) return [];
  const errors: FieldError[] = [];
  for (const [i, term] of (affinity.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries())
    errors.push(...validateAffinityTerm(`${path}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`, term));
  for (const [i, { weight, podAffinityTerm = { topologyKey: '' } }] of (
    affinity.preferredDuringSchedulingIgnoredDuringExecution ?? []
  ).entries()) {
    const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    errors.push(
      ...validateWeight(`${at}.weight`, weight),
      ...validateAffinityTerm(`${at}.podAffinityTerm`, podAffinityTerm),
    );
  }
  return errors;
}

type AffinityTerm = NonNullable<
  NonNullable<Affinity['podAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']
>[number];

function validateAffinityTerm(path: string, term: AffinityTerm): FieldError[] {
  return [
    ...validateLabelSelector(`${path}.labelSelector`, term.labelSelector),
    ...validateLabelSelector(`${path}.namespaceSelector`, term.namespaceSelector),
    ...(term.namespaces ?? []).flatMap((each, i) =>
      invalidAll(`${path}.namespaces[${i}]`, each, isDns1123Subdomain(each)),
    ),
    ...topologyKey(`${path}.topologyKey`, term.topologyKey),
  ];
}

function topologyKey(path: string, key: string | undefined): FieldError[] {
  return [...required(path, key, 'can not be empty'), ...labelName(path, key)];
}

const unsatisfiableActions = ['DoNotSchedule', 'ScheduleAnyway'];

export function validateTopologySpread(path: string, constraints: PodSpec['topologySpreadConstraints']): FieldError[] {
  const seen = new Set<string>();
  return (constraints ?? []).flatMap((constraint, i) => {
    const at = `${path}[${i}]`;
    const { maxSkew, topologyKey: key, whenUnsatisfiable, minDomains } = constraint;
    const errors: FieldError[] = [];
    if (maxSkew === undefined || maxSkew <= 0)
      errors.push(fieldInvalid(`${at}.maxSkew`, maxSkew ?? 0, 'must be greater than zero'));
    errors.push(
      ...((key ?? '') === ''
        ? [fieldRequired(`${at}.topologyKey`, 'can not be empty')]
        : labelName(`${at}.topologyKey`, key)),
    );
    if (!unsatisfiableActions.includes(whenUnsatisfiable))
      errors.push(fieldNotSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, unsatisfiableActions));
    const id = `{${key}, ${whenUnsatisfiable}}`;
    if (seen.has(id)) errors.push(fieldDuplicate(`${at}.{topologyKey, whenUnsatisfiable}`, id));
    seen.add(id);
    if (minDomains !== undefined && minDomains <= 0)
      errors.push(fieldInvalid(`${at}.minDomains`, minDomains, 'must be greater than zero'));
    if (minDomains !== undefined && whenUnsatisfiable !== 'DoNotSchedule')
      errors.push(
        fieldInvalid(
          `${at}.minDomains`,
          minDomains,
          'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway',
        ),
      );
    errors.push(...validateLabelSelector(`${at}.labelSelector`, constraint.labelSelector));
    return errors;
  });
}
