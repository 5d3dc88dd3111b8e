/** FlowSchema and PriorityLevelConfiguration. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type FieldError,
  type FlowSchema,
  type PriorityLevelConfiguration,
  type UnstructuredObject,
} from '@naru/api';
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from '../../flowcontrol/bootstrap-configuration-data.ts';
import { requiredEntropyBits } from '../../flowcontrol/queuing/shuffle-sharding.ts';
import type { Strategy } from '../strategy.ts';
import { dnsLabel, dnsSubdomain, nonNegative, oneOf, optionalOneOf, positive, required } from './field-rules.ts';

const PRECEDENCE_DEFAULT = 1000;
const PRECEDENCE_MAX = 10_000;
const SHARES_DEFAULT = 30;
const QUEUES_MAX = 10_000_000;
const ENTROPY_BITS_MAX = 60;

type FlowSchemaSpec = NonNullable<FlowSchema['spec']>;
type Rules = NonNullable<FlowSchemaSpec['rules']>[number];
type Subject = NonNullable<Rules['subjects']>[number];
type LevelSpec = NonNullable<PriorityLevelConfiguration['spec']>;

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

/** Equal but for the order of fields. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys].every((key) => isSame(left[key], right[key]));
}

function fixedSpecErrors(
  object: UnstructuredObject,
  mandatory: readonly { readonly metadata: { readonly name?: string }; readonly spec?: unknown }[],
): FieldError[] {
  const { name = '' } = object.metadata;
  const fixed = mandatory.find((each) => each.metadata.name === name);
  const spec = object['spec'];
  if (fixed === undefined) return [];
  const { exempt: fixedExempt, ...wanted } = fixed.spec as { exempt?: object };
  const { exempt, ...given } = spec as { exempt?: object };
  if (isSame(given, wanted) && (fixedExempt === undefined) === (exempt === undefined)) return [];
  const detail =
    fixedExempt === undefined
      ? `spec of '${name}' must equal the fixed value`
      : `spec of '${name}' except the 'spec.exempt' field must equal the fixed value`;
  return [fieldInvalid('spec', spec, detail)];
}

export const flowSchemaStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata'] },
  applyDefaults(object) {
    const spec = (object['spec'] ??= {}) as Partial<FlowSchemaSpec>;
    if ((spec.matchingPrecedence ?? 0) === 0)
      (spec as Record<string, unknown>)['matchingPrecedence'] = PRECEDENCE_DEFAULT;
  },
  validate(object) {
    const spec = (object['spec'] ?? {}) as Partial<FlowSchemaSpec>;
    const { matchingPrecedence = 0, distinguisherMethod, priorityLevelConfiguration, rules = [] } = spec;
    const path = 'spec.matchingPrecedence';
    const errors: FieldError[] = [];
    if (matchingPrecedence <= 0) errors.push(fieldInvalid(path, matchingPrecedence, 'must be a positive value'));
    if (matchingPrecedence > PRECEDENCE_MAX)
      errors.push(fieldInvalid(path, matchingPrecedence, `must not be greater than ${PRECEDENCE_MAX}`));
    if (matchingPrecedence === 1 && object.metadata.name !== 'exempt')
      errors.push(
        fieldInvalid(path, matchingPrecedence, "only the schema named 'exempt' may have matchingPrecedence 1"),
      );
    if (distinguisherMethod !== undefined)
      errors.push(...oneOf('spec.distinguisherMethod.type', distinguisherMethod.type, ['ByNamespace', 'ByUser']));
    const level = priorityLevelConfiguration?.name ?? '';
    const at = 'spec.priorityLevelConfiguration.name';
    errors.push(...(level === '' ? [fieldRequired(at, 'must reference a priority level')] : dnsSubdomain(at, level)));
    errors.push(...rules.flatMap((each, i) => rulesErrors(`spec.rules[${i}]`, each)));
    return [...errors, ...fixedSpecErrors(object, mandatoryFlowSchemas)];
  },
};

function rulesErrors(
  path: string,
  { subjects, resourceRules = [], nonResourceRules = [] }: Partial<Rules>,
): FieldError[] {
  const errors: FieldError[] =
    subjects === undefined || subjects.length === 0
      ? [fieldRequired(`${path}.subjects`, 'subjects must contain at least one value')]
      : subjects.flatMap((each, i) => subjectErrors(`${path}.subjects[${i}]`, each));
  if (resourceRules.length === 0 && nonResourceRules.length === 0)
    errors.push(fieldRequired(path, 'at least one of resourceRules and nonResourceRules has to be non-empty'));
  for (const [i, rule] of resourceRules.entries()) {
    const at = `${path}.resourceRules[${i}]`;
    errors.push(
      ...verbsErrors(at, rule.verbs),
      ...listErrors(
        `${at}.apiGroups`,
        rule.apiGroups,
        'resource rules must supply at least one api group',
        'api groups',
      ),
      ...listErrors(`${at}.resources`, rule.resources, 'resource rules must supply at least one resource', 'resources'),
    );
    const { namespaces = [] } = rule;
    if (namespaces.length === 0 && rule.clusterScope !== true)
      errors.push(
        fieldRequired(
          `${at}.namespaces`,
          'resource rules that are not cluster scoped must supply at least one namespace',
        ),
      );
    else if (namespaces.includes('*')) errors.push(...listErrors(`${at}.namespaces`, namespaces, '', 'namespaces'));
    else errors.push(...namespaces.flatMap((each, n) => dnsLabel(`${at}.namespaces[${n}]`, each)));
  }
  for (const [i, rule] of nonResourceRules.entries()) {
    const at = `${path}.nonResourceRules[${i}]`;
    errors.push(
      ...verbsErrors(at, rule.verbs),
      ...listErrors(
        `${at}.nonResourceURLs`,
        rule.nonResourceURLs,
        'nonResourceURLs must contain at least one value',
        'non-resource URLs',
      ),
    );
  }
  return errors;
}

function verbsErrors(path: string, given: readonly string[] | undefined): FieldError[] {
  const at = `${path}.verbs`;
  const errors = listErrors(at, given, 'verbs must contain at least one value', 'verbs');
  const known = (given ?? []).every((each) => each === '*' || verbs.includes(each));
  return errors.length > 0 || known ? errors : [fieldNotSupported(at, given, verbs)];
}

function listErrors(path: string, given: readonly string[] | undefined, missing: string, what: string): FieldError[] {
  if (given === undefined || given.length === 0) return [fieldRequired(path, missing)];
  return given.length > 1 && given.includes('*')
    ? [fieldInvalid(path, given, `if '*' is present, must not specify other ${what}`)]
    : [];
}

const subjectFields = { ServiceAccount: 'serviceAccount', User: 'user', Group: 'group' } as const;

function subjectErrors(path: string, subject: Subject): FieldError[] {
  const kinds = Object.keys(subjectFields) as (keyof typeof subjectFields)[];
  const kind = kinds.find((each) => each === subject.kind);
  if (kind === undefined) return oneOf(`${path}.kind`, subject.kind, kinds.toSorted());
  const field = subjectFields[kind];
  const errors: FieldError[] = [];
  const named = subject[field];
  if (named === undefined)
    errors.push(fieldRequired(`${path}.${field}`, `${field} is required when subject kind is '${kind}'`));
  else {
    errors.push(...required(`${path}.${field}.name`, named.name));
    if (kind === 'ServiceAccount') {
      const namespace = subject.serviceAccount?.namespace ?? '';
      const at = `${path}.serviceAccount.namespace`;
      errors.push(
        ...(namespace === ''
          ? [fieldRequired(at, 'must specify namespace for service account')]
          : dnsLabel(at, namespace)),
      );
    }
  }
  for (const other of kinds) {
    const otherField = subjectFields[other];
    if (other !== kind && subject[otherField] !== undefined)
      errors.push(
        fieldForbidden(`${path}.${otherField}`, `${otherField} is forbidden when subject kind is not '${other}'`),
      );
  }
  return errors;
}

interface MutableLevelSpec {
  type?: string;
  exempt?: { nominalConcurrencyShares?: number; lendablePercent?: number };
  limited?: {
    nominalConcurrencyShares?: number;
    lendablePercent?: number;
    limitResponse?: {
      type?: string;
      queuing?: { queues?: number; handSize?: number; queueLengthLimit?: number };
    };
  };
}

export const priorityLevelConfigurationStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata'] },
  applyDefaults(object) {
    const spec = (object['spec'] ??= {}) as MutableLevelSpec;
    if (spec.type === 'Exempt') {
      spec.exempt ??= {};
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
    const { limited } = spec;
    if (limited === undefined) return;
    limited.nominalConcurrencyShares ??= SHARES_DEFAULT;
    limited.lendablePercent ??= 0;
    const { queuing } = limited.limitResponse ?? {};
    if (queuing === undefined) return;
    // Plain numbers upstream: zero is absent.
    if ((queuing.queues ?? 0) === 0) queuing.queues = 64;
    if ((queuing.handSize ?? 0) === 0) queuing.handSize = 8;
    if ((queuing.queueLengthLimit ?? 0) === 0) queuing.queueLengthLimit = 50;
  },
  validate(object) {
    const spec = (object['spec'] ?? {}) as Partial<LevelSpec>;
    const { type = '', exempt, limited } = spec;
    const errors: FieldError[] = optionalOneOf('spec.type', type, ['Exempt', 'Limited']);
    if (type === 'Exempt' && object.metadata.name !== 'exempt')
      errors.push(fieldInvalid('spec.type', type, "type must be 'Limited' if and only if name is not 'exempt'"));
    if (type === 'Limited' && object.metadata.name === 'exempt')
      errors.push(fieldInvalid('spec.type', type, "type must be 'Exempt' if and only if name is 'exempt'"));
    if (type === 'Exempt' && limited !== undefined)
      errors.push(fieldForbidden('spec.limited', 'must be nil if the type is not Limited'));
    if (type === 'Limited' && exempt !== undefined)
      errors.push(fieldForbidden('spec.exempt', 'must be nil if the type is Limited'));
    if (type === 'Limited' && limited === undefined)
      errors.push(fieldRequired('spec.limited', 'must not be empty when type is Limited'));
    if (exempt !== undefined)
      errors.push(
        ...nonNegative('spec.exempt.nominalConcurrencyShares', exempt.nominalConcurrencyShares),
        ...percent('spec.exempt.lendablePercent', exempt.lendablePercent),
      );
    if (limited !== undefined) errors.push(...limitedErrors(limited));
    return [...errors, ...fixedSpecErrors(object, mandatoryPriorityLevels)];
  },
};

function percent(path: string, value: number | undefined): FieldError[] {
  return value !== undefined && (value < 0 || value > 100)
    ? [fieldInvalid(path, value, 'must be between 0 and 100, inclusive')]
    : [];
}

function limitedErrors(limited: NonNullable<LevelSpec['limited']>): FieldError[] {
  const { nominalConcurrencyShares, lendablePercent, borrowingLimitPercent, limitResponse } = limited;
  const path = 'spec.limited.limitResponse';
  const { type, queuing } = limitResponse ?? {};
  const errors = [
    ...nonNegative('spec.limited.nominalConcurrencyShares', nominalConcurrencyShares),
    ...percent('spec.limited.lendablePercent', lendablePercent),
    ...nonNegative('spec.limited.borrowingLimitPercent', borrowingLimitPercent),
    ...oneOf(`${path}.type`, type, ['Queue', 'Reject']),
  ];
  if (type === 'Reject' && queuing !== undefined)
    errors.push(fieldForbidden(`${path}.queuing`, 'must be nil if limited.limitResponse.type is not Limited'));
  if (type === 'Queue' && queuing === undefined)
    errors.push(fieldRequired(`${path}.queuing`, 'must not be empty if limited.limitResponse.type is Limited'));
  if (queuing === undefined) return errors;
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  errors.push(
    ...positive(`${path}.queuing.queues`, queues),
    ...positive(`${path}.queuing.handSize`, handSize),
    ...positive(`${path}.queuing.queueLengthLimit`, queueLengthLimit),
  );
  const bits = handSize > 0 && handSize <= queues ? requiredEntropyBits(queues, handSize) : 0;
  if (queues > QUEUES_MAX)
    errors.push(fieldInvalid(`${path}.queuing.queues`, queues, `must not be greater than ${QUEUES_MAX}`));
  if (handSize > queues)
    errors.push(fieldInvalid(`${path}.queuing.handSize`, handSize, `should not be greater than queues (${queues})`));
  else if (bits > ENTROPY_BITS_MAX)
    errors.push(
      fieldInvalid(
        `${path}.queuing.handSize`,
        handSize,
        `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${ENTROPY_BITS_MAX}`,
      ),
    );
  return errors;
}
