import { newNotFound, type PolicyRule, type UnstructuredObject } from '@naru/api';
import { decide } from '../authorization/authorizer.ts';
import type { ObservingAuthorizer } from '../authorization/cluster-authorizer.ts';
import { formatRule, uncoveredRules } from '../authorization/rbac-rules.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refusal.ts';

const group = 'rbac.authorization.k8s.io';
const roleResources = ['roles', 'clusterroles'];
const bindingResources = ['rolebindings', 'clusterrolebindings'];
const everything: PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

interface RoleRef {
  readonly kind: string;
  readonly name: string;
}

/**
 * Nobody grants what they do not have: a role's rules, or the rules of a role that is bound, must be covered by the rules
 * of who writes it, unless they may `escalate` or `bind`. Upstream has this in the storage of RBAC; it cannot be turned off.
 */
export function rbacEscalation(authorizer: ObservingAuthorizer): AdmissionPlugin {
  return {
    name: 'RBACEscalation',
    handles: (operation, resource, subresource) =>
      (operation === 'CREATE' || operation === 'UPDATE') && subresource === '' && resource.group === group,
    async validate(attributes) {
      const { object, resource, user } = attributes;
      if (object === undefined || user.groups.includes('system:masters')) return;
      if (roleResources.includes(resource.resource)) await checkRole(attributes, object, authorizer);
      else if (bindingResources.includes(resource.resource)) await checkBinding(attributes, object, authorizer);
    },
  };
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

async function checkRole(
  attributes: AdmissionAttributes,
  object: UnstructuredObject,
  authorizer: ObservingAuthorizer,
): Promise<void> {
  const { oldObject, namespace } = attributes;
  const isSame =
    same(object['rules'], oldObject?.['rules']) && same(object['aggregationRule'], oldObject?.['aggregationRule']);
  if (oldObject !== undefined && isSame) return;
  if (await mayDo(attributes, authorizer, 'escalate', attributes.resource.resource, object.metadata.name ?? '')) return;
  if (object['aggregationRule'] !== undefined && !covers(attributes, authorizer, everything, ''))
    throw refuse(attributes, 'must have cluster-admin privileges to use an aggregationRule');
  refuseUncovered(attributes, authorizer, (object['rules'] ?? []) as PolicyRule[], namespace);
}

async function checkBinding(
  attributes: AdmissionAttributes,
  object: UnstructuredObject,
  authorizer: ObservingAuthorizer,
): Promise<void> {
  const { oldObject, namespace } = attributes;
  const roleRef = object['roleRef'] as RoleRef;
  const isSame = same(roleRef, oldObject?.['roleRef']) && same(object['subjects'], oldObject?.['subjects']);
  if (oldObject !== undefined && isSame) return;
  const resource = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
  if (await mayDo(attributes, authorizer, 'bind', resource, roleRef.name)) return;
  const rules = authorizer.rbac.rulesOfRole(roleRef, namespace);
  if (rules === undefined) throw newNotFound({ group, resource }, roleRef.name);
  refuseUncovered(attributes, authorizer, rules as readonly PolicyRule[], namespace);
}

async function mayDo(
  { user, namespace }: AdmissionAttributes,
  authorizer: ObservingAuthorizer,
  verb: string,
  resource: string,
  name: string,
): Promise<boolean> {
  const { decision } = await decide(authorizer, {
    user,
    verb,
    isResourceRequest: true,
    path: '',
    group,
    version: 'v1',
    resource,
    subresource: '',
    namespace,
    name,
  });
  return decision === 'allow';
}

function covers(
  { user }: AdmissionAttributes,
  authorizer: ObservingAuthorizer,
  rules: readonly PolicyRule[],
  namespace: string,
): boolean {
  return uncoveredRules(authorizer.rbac.rulesFor(user, namespace), rules).length === 0;
}

function refuseUncovered(
  attributes: AdmissionAttributes,
  authorizer: ObservingAuthorizer,
  rules: readonly PolicyRule[],
  namespace: string,
): void {
  const { user } = attributes;
  const missing = uncoveredRules(authorizer.rbac.rulesFor(user, namespace), rules);
  if (missing.length === 0) return;
  const groups = user.groups.map((each) => JSON.stringify(each)).join(' ');
  throw refuse(
    attributes,
    `user ${JSON.stringify(user.name)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(formatRule).join('\n')}`,
  );
}
