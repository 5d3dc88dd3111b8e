/** Which FlowSchema a request belongs to, and which flow of it. */
import type { FlowSchema } from '@naru/api';

export interface FlowUser {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What of a request FlowSchemas look at, beside its user. */
export interface FlowRequest {
  readonly verb: string;
  readonly isResourceRequest: boolean;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
}

type Rules = NonNullable<NonNullable<FlowSchema['spec']>['rules']>[number];
type ResourceRule = NonNullable<Rules['resourceRules']>[number];
type NonResourceRule = NonNullable<Rules['nonResourceRules']>[number];

interface CompiledRules {
  readonly users: ReadonlySet<string>;
  readonly groups: readonly string[];
  /** `system:serviceaccount:NAMESPACE:` of which all are meant. */
  readonly accountPrefixes: readonly string[];
  readonly resourceRules: readonly ResourceRule[];
  readonly nonResourceRules: readonly NonResourceRule[];
}

export interface CompiledFlowSchema {
  readonly schema: FlowSchema;
  readonly rules: readonly CompiledRules[];
  readonly distinguisher: 'ByUser' | 'ByNamespace' | undefined;
}

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value));

/** In the order of matching: by precedence, then by name. */
function compileFlowSchemas(schemas: readonly FlowSchema[]): readonly CompiledFlowSchema[] {
  const nameOf = (schema: FlowSchema): string => schema.metadata.name ?? '';
  return schemas
    .toSorted(
      (a, b) =>
        (a.spec?.matchingPrecedence ?? 0) - (b.spec?.matchingPrecedence ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1),
    )
    .map((schema) => ({
      schema,
      rules: (schema.spec?.rules ?? []).map(compileRules),
      distinguisher: distinguisherOf(schema),
    }));
}

function distinguisherOf({ spec }: FlowSchema): CompiledFlowSchema['distinguisher'] {
  const type = spec?.distinguisherMethod?.type;
  return type === 'ByUser' || type === 'ByNamespace' ? type : undefined;
}

function compileRules(rules: Rules): CompiledRules {
  const users = new Set<string>();
  const groups: string[] = [];
  const accountPrefixes: string[] = [];
  for (const { kind, user, group, serviceAccount } of rules.subjects ?? []) {
    if (kind === 'User' && user !== undefined) users.add(user.name);
    else if (kind === 'Group' && group !== undefined) groups.push(group.name);
    else if (kind === 'ServiceAccount' && serviceAccount !== undefined) {
      const prefix = `system:serviceaccount:${serviceAccount.namespace}:`;
      if (serviceAccount.name === '*') accountPrefixes.push(prefix);
      else users.add(prefix + serviceAccount.name);
    }
  }
  const { resourceRules = [], nonResourceRules = [] } = rules;
  return { users, groups, accountPrefixes, resourceRules, nonResourceRules };
}

interface Candidate {
  readonly schema: CompiledFlowSchema;
  readonly rules: CompiledRules;
}

/** Users whose rules are remembered. */
const USERS_MAX = 4096;

/** Finds the FlowSchema of a request. Which rules are about a user is found out once. */
export class FlowClassifier {
  readonly #schemas: readonly CompiledFlowSchema[];
  readonly #users = new Map<
    string,
    { readonly groups: readonly string[]; readonly candidates: readonly Candidate[] }
  >();

  constructor(schemas: readonly FlowSchema[]) {
    this.#schemas = compileFlowSchemas(schemas);
  }

  /** The first that matches, or undefined: the catch-all matches everybody who is somebody. */
  classify(user: FlowUser, request: FlowRequest): CompiledFlowSchema | undefined {
    for (const { schema, rules } of this.#candidatesOf(user)) if (matchesRequest(rules, request)) return schema;
    return undefined;
  }

  #candidatesOf(user: FlowUser): readonly Candidate[] {
    const known = this.#users.get(user.name);
    if (known !== undefined && isSameList(known.groups, user.groups)) return known.candidates;
    const candidates = this.#schemas.flatMap((schema) =>
      schema.rules.filter((rules) => matchesSubject(rules, user)).map((rules) => ({ schema, rules })),
    );
    if (this.#users.size >= USERS_MAX) this.#users.clear();
    this.#users.set(user.name, { groups: user.groups, candidates });
    return candidates;
  }
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What tells a schema's flows apart. */
export function distinguisherValue(
  { distinguisher }: CompiledFlowSchema,
  user: FlowUser,
  request: FlowRequest,
): string {
  switch (distinguisher) {
    case 'ByUser':
      return user.name;
    case 'ByNamespace':
      return request.namespace;
    default:
      return '';
  }
}

function matchesSubject(rules: CompiledRules, { name, groups }: FlowUser): boolean {
  return (
    rules.users.has(name) ||
    rules.users.has('*') ||
    rules.groups.some((each) => each === '*' || groups.includes(each)) ||
    rules.accountPrefixes.some((each) => name.startsWith(each))
  );
}

function matchesRequest(rules: CompiledRules, attributes: FlowRequest): boolean {
  return attributes.isResourceRequest
    ? rules.resourceRules.some((each) => matchesResource(each, attributes))
    : rules.nonResourceRules.some(
        (each) =>
          has(each.verbs, attributes.verb) && each.nonResourceURLs.some((url) => matchesPath(url, attributes.path)),
      );
}

function matchesResource(rule: ResourceRule, attributes: FlowRequest): boolean {
  const { verb, group, resource, subresource, namespace } = attributes;
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group)) return false;
  if (!has(rule.resources, subresource === '' ? resource : `${resource}/${subresource}`)) return false;
  return namespace === '' ? rule.clusterScope === true : has(rule.namespaces, namespace);
}

function matchesPath(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('/*') && path.startsWith(pattern.slice(0, -1));
}
