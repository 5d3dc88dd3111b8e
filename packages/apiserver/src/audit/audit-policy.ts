/** `--audit-policy-file`: an audit Policy (audit.k8s.io/v1), and what it says of a request. */
import { UsageError } from '@naru/component';
import { parse } from 'yaml';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { RequestInfo } from '../server/request-info.ts';

export const auditLevels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type AuditLevel = (typeof auditLevels)[number];
export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';
const stages: readonly AuditStage[] = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'];

export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<string>;
  readonly omitManagedFields: boolean;
}

interface PolicyRule {
  readonly level?: string;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly {
    readonly group?: string;
    readonly resources?: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly string[];
  readonly omitManagedFields?: boolean;
}

interface Policy {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly rules?: readonly PolicyRule[];
  readonly omitStages?: readonly string[];
  readonly omitManagedFields?: boolean;
}

const FLAG = '--audit-policy-file';

export class AuditPolicy {
  readonly #policy: Policy;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** By the first rule that matches; none: nothing is logged. */
  decide(info: RequestInfo, user: UserInfo): AuditDecision {
    const rule = (this.#policy.rules ?? []).find((each) => matches(each, info, user));
    const omitted = [...(this.#policy.omitStages ?? []), ...(rule?.omitStages ?? [])];
    return {
      level: (rule?.level ?? 'None') as AuditLevel,
      omitStages: new Set(omitted),
      omitManagedFields: rule?.omitManagedFields ?? this.#policy.omitManagedFields ?? false,
    };
  }
}

function matches(rule: PolicyRule, info: RequestInfo, user: UserInfo): boolean {
  const { users = [], userGroups = [], verbs = [] } = rule;
  if (users.length > 0 && !users.includes(user.name)) return false;
  if (userGroups.length > 0 && !userGroups.some((group) => user.groups.includes(group))) return false;
  if (verbs.length > 0 && !verbs.includes(info.verb)) return false;
  const { namespaces = [], resources = [], nonResourceURLs = [] } = rule;
  if (namespaces.length > 0 || resources.length > 0) return info.isResourceRequest && matchesResource(rule, info);
  if (nonResourceURLs.length > 0)
    return !info.isResourceRequest && nonResourceURLs.some((url) => isUrl(url, info.path));
  return true;
}

function isUrl(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1));
}

function matchesResource({ namespaces = [], resources = [] }: PolicyRule, info: RequestInfo): boolean {
  // '' in the list stands for what is in no namespace.
  if (namespaces.length > 0 && !namespaces.includes(info.namespace)) return false;
  if (resources.length === 0) return true;
  const { resource, subresource } = info;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  return resources.some(({ group = '', resources: wanted = [], resourceNames = [] }) => {
    if (group !== info.group) return false;
    if (wanted.length === 0) return true;
    if (resourceNames.length > 0 && !resourceNames.includes(info.name)) return false;
    return wanted.some(
      (each) =>
        each === '*' ||
        each === full ||
        (subresource !== '' && (each === `${resource}/*` || each === `*/${subresource}`)),
    );
  });
}

/** @throws UsageError. */
export function parseAuditPolicy(text: string): AuditPolicy {
  let policy: Policy | null;
  try {
    policy = parse(text) as Policy | null;
  } catch (error) {
    throw new UsageError(`${FLAG}: ${(error as Error).message}`);
  }
  if (policy?.kind !== 'Policy' || policy.apiVersion !== 'audit.k8s.io/v1')
    throw new UsageError(`${FLAG}: must be a Policy of audit.k8s.io/v1`);
  const { rules = [], omitStages = [] } = policy;
  if (rules.length === 0) throw new UsageError(`${FLAG}: loaded illegal policy with 0 rules`);
  const checkStages = (given: readonly string[], path: string): void => {
    for (const stage of given)
      if (!stages.some((each) => each === stage))
        throw new UsageError(`${FLAG}: ${path}: Invalid value: ${JSON.stringify(stage)}`);
  };
  checkStages(omitStages, 'omitStages');
  for (const [i, rule] of rules.entries()) {
    if (!auditLevels.some((level) => level === rule.level))
      throw new UsageError(`${FLAG}: rules[${i}].level: Unsupported value: ${JSON.stringify(rule.level ?? '')}`);
    checkStages(rule.omitStages ?? [], `rules[${i}].omitStages`);
    if (
      (rule.nonResourceURLs ?? []).length > 0 &&
      ((rule.resources ?? []).length > 0 || (rule.namespaces ?? []).length > 0)
    )
      throw new UsageError(`${FLAG}: rules[${i}]: rules cannot apply to both regular resources and non-resource URLs`);
  }
  return new AuditPolicy(policy);
}
