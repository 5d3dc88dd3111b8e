import { fieldInvalid, fieldRequired, type FieldError, type UnstructuredObject } from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { immutable, labelName } from './field-rules.ts';
import { validateResourceAmount } from './resource-requirements.ts';

interface ScopeRequirement {
  scopeName?: string;
  operator?: string;
  values?: string[];
}

interface QuotaSpec {
  hard?: Record<string, string>;
  scopes?: string[];
  scopeSelector?: { matchExpressions?: ScopeRequirement[] };
}

/** Resources of which there are only whole ones. */
const countedResources = [
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
  'services.loadbalancers',
  'services.nodeports',
];
const podResources = ['pods', 'cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory'];
const quotaResources: ReadonlySet<string> = new Set([
  ...countedResources,
  ...podResources,
  'ephemeral-storage',
  'requests.ephemeral-storage',
  'limits.ephemeral-storage',
  'requests.storage',
]);

/** Each scope with the resources that a quota of it may limit. */
const resourcesOfScope: ReadonlyMap<string, readonly string[]> = new Map([
  ['BestEffort', ['pods']],
  ['CrossNamespacePodAffinity', podResources],
  ['NotBestEffort', podResources],
  ['NotTerminating', podResources],
  ['PriorityClass', podResources],
  ['Terminating', podResources],
  ['VolumeAttributesClass', ['persistentvolumeclaims', 'requests.storage']],
]);
const conflictingScopes = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const;
/** Scopes that a pod is in or not. The others have values. */
const plainScopes = ['BestEffort', 'CrossNamespacePodAffinity', 'NotBestEffort', 'NotTerminating', 'Terminating'];

const specOf = (object: UnstructuredObject): QuotaSpec => object['spec'] ?? {};

function isStandardQuotaResource(name: string): boolean {
  return quotaResources.has(name) || name.startsWith('hugepages-') || name.startsWith('requests.hugepages-');
}

function validateHard(path: string, name: string, amount: string): FieldError[] {
  const errors = labelName(path, name);
  if (!name.includes('/') && !isStandardQuotaResource(name)) {
    // Storage is a resource, though not one that is limited as such.
    if (errors.length === 0 && name !== 'storage')
      errors.push(fieldInvalid(path, name, 'must be a standard resource type or fully qualified'));
    errors.push(fieldInvalid(path, name, 'must be a standard resource for quota'));
  }
  return [...errors, ...validateResourceAmount(path, name, amount, countedResources)];
}

/** The resources among the limited ones that have nothing to do with the scope. */
function misfits(scope: string, hard: Readonly<Record<string, string>>): string[] {
  const fitting = resourcesOfScope.get(scope);
  if (fitting === undefined) return [];
  return Object.keys(hard).filter((name) => isStandardQuotaResource(name) && !fitting.includes(name));
}

function conflicts(path: string, value: unknown, scopes: readonly string[]): FieldError[] {
  return conflictingScopes
    .filter((pair) => pair.every((scope) => scopes.includes(scope)))
    .map(() => fieldInvalid(path, value, 'conflicting scopes'));
}

function validateScopes({ hard = {}, scopes = [] }: QuotaSpec): FieldError[] {
  const path = 'spec.scopes';
  return [
    ...scopes.flatMap((scope) => [
      ...(resourcesOfScope.has(scope) ? [] : [fieldInvalid(path, scopes, 'unsupported scope')]),
      ...misfits(scope, hard).map(() => fieldInvalid(path, scopes, 'unsupported scope applied to resource')),
    ]),
    ...conflicts(path, scopes, scopes),
  ];
}

function validateScopeSelector({ hard = {}, scopeSelector }: QuotaSpec): FieldError[] {
  const path = 'spec.scopeSelector.matchExpressions';
  const requirements = scopeSelector?.matchExpressions ?? [];
  const names = requirements.map(({ scopeName = '' }) => scopeName);
  return [
    ...requirements.flatMap((requirement) => {
      const { scopeName = '' } = requirement;
      return [
        ...(resourcesOfScope.has(scopeName) ? [] : [fieldInvalid(`${path}.scopeName`, scopeName, 'unsupported scope')]),
        ...misfits(scopeName, hard).map(() =>
          fieldInvalid(path, scopeSelector, 'unsupported scope applied to resource'),
        ),
        ...validateOperator(path, requirement),
      ];
    }),
    ...conflicts(path, scopeSelector, names),
  ];
}

function validateOperator(
  path: string,
  { scopeName = '', operator = '', values = [] }: ScopeRequirement,
): FieldError[] {
  const errors: FieldError[] = [];
  if (plainScopes.includes(scopeName) && operator !== 'Exists')
    errors.push(
      fieldInvalid(
        `${path}.operator`,
        operator,
        "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
      ),
    );
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0)
        errors.push(
          fieldRequired(
            `${path}.values`,
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
          ),
        );
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0)
        errors.push(
          fieldInvalid(
            `${path}.values`,
            values,
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
          ),
        );
      break;
    default:
      errors.push(fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator'));
  }
  return errors;
}

function validateQuota(object: UnstructuredObject): FieldError[] {
  const spec = specOf(object);
  return [
    ...Object.entries(spec.hard ?? {}).flatMap(([name, amount]) => validateHard(`spec.hard[${name}]`, name, amount)),
    ...validateScopes(spec),
    ...validateScopeSelector(spec),
  ];
}

export const resourceQuotaStrategy: Strategy = {
  prepareForCreate(object) {
    object['status'] = {};
  },
  validate: validateQuota,
  validateUpdate: (object, old) => [
    ...validateQuota(object),
    ...immutable('spec.scopes', specOf(object).scopes, specOf(old).scopes),
  ],
};
