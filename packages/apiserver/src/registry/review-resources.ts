import {
  fieldInvalid,
  localSubjectAccessReviews,
  newBadRequest,
  newInvalid,
  selfSubjectAccessReviews,
  selfSubjectReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  tokenReviews,
  type FieldError,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { ClusterAuthenticator } from '../authentication/cluster-authenticator.ts';
import { decide, type AuthorizationAttributes } from '../authorization/authorizer.ts';
import type { ObservingAuthorizer } from '../authorization/cluster-authorizer.ts';
import type { VirtualRequest, VirtualResource } from './virtual-resource.ts';

export interface ReviewOptions {
  readonly authenticator: ClusterAuthenticator;
  readonly authorizer: ObservingAuthorizer;
  /** `--api-audiences`. */
  readonly audiences: readonly string[];
}

interface ReviewSpec {
  readonly user?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  readonly resourceAttributes?: Readonly<Partial<Record<ResourceAttribute, string>>>;
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

type ResourceAttribute = 'namespace' | 'verb' | 'group' | 'version' | 'resource' | 'subresource' | 'name';

/** The access, rules, token and subject reviews: questions to the server about who may do what. */
export function createReviewResources(options: ReviewOptions): readonly VirtualResource[] {
  return [
    selfSubjectReview(),
    tokenReview(options),
    subjectAccessReview(options, subjectAccessReviews, { isLocal: false }),
    subjectAccessReview(options, localSubjectAccessReviews, { isLocal: true }),
    selfSubjectAccessReview(options),
    selfSubjectRulesReview(options),
  ];
}

function virtual(
  resource: Resource,
  answer: (object: UnstructuredObject, request: VirtualRequest) => unknown,
): VirtualResource & Required<Pick<VirtualResource, 'create'>> {
  return {
    resource,
    async create(object, request) {
      return { ...object, metadata: object.metadata ?? {}, status: await answer(object, request) };
    },
  };
}

function userInfoOf({ name, uid, groups, extra }: UserInfo): Record<string, unknown> {
  return {
    username: name,
    ...(uid === undefined || uid === '' ? {} : { uid }),
    groups,
    ...(extra === undefined || Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function selfSubjectReview(): VirtualResource {
  return virtual(selfSubjectReviews, (_object, { user }) => ({ userInfo: userInfoOf(user) }));
}

function tokenReview({ authenticator, audiences: ownAudiences }: ReviewOptions): VirtualResource {
  return virtual(tokenReviews, async (object) => {
    const { token = '', audiences = [] } = (object['spec'] ?? {}) as { token?: string; audiences?: string[] };
    if (token === '') throw newBadRequest('token is required for TokenReview in authentication');
    const user = await authenticator.authenticateToken(token, audiences);
    if (user === undefined) return { user: {}, error: 'invalid bearer token' };
    return {
      authenticated: true,
      user: userInfoOf(user),
      audiences: audiences.length === 0 ? ownAudiences : audiences,
    };
  });
}

function subjectAccessReview(
  { authorizer }: ReviewOptions,
  resource: Resource,
  { isLocal }: { readonly isLocal: boolean },
): VirtualResource {
  return virtual(resource, async (object, request) => {
    const spec = specOf(object);
    const errors = validateAttributes(spec);
    if ((spec.user ?? '') === '' && (spec.groups ?? []).length === 0)
      errors.push(fieldInvalid('spec.user', spec.user ?? '', 'at least one of user or group must be specified'));
    if (isLocal) errors.push(...validateLocal(spec, request.namespace));
    refuseInvalid(resource, errors);
    const user: UserInfo = {
      name: spec.user ?? '',
      groups: spec.groups ?? [],
      ...(spec.uid === undefined ? {} : { uid: spec.uid }),
      ...(spec.extra === undefined ? {} : { extra: spec.extra }),
    };
    return await statusOf(authorizer, attributesOf(spec, user));
  });
}

function selfSubjectAccessReview({ authorizer }: ReviewOptions): VirtualResource {
  return virtual(selfSubjectAccessReviews, async (object, { user }) => {
    const spec = specOf(object);
    refuseInvalid(selfSubjectAccessReviews, validateAttributes(spec));
    return await statusOf(authorizer, attributesOf(spec, user));
  });
}

function selfSubjectRulesReview({ authorizer }: ReviewOptions): VirtualResource {
  const { resource, create } = virtual(selfSubjectRulesReviews, (object, { user }) => {
    const { namespace = '' } = (object['spec'] ?? {}) as { namespace?: string };
    if (namespace === '') throw newBadRequest('no namespace on request');
    const rules = authorizer.rbac.rulesFor(user, namespace);
    const isNode = user.groups.includes('system:nodes');
    return {
      resourceRules: rules
        .filter(({ resources }) => (resources ?? []).length > 0)
        .map(({ verbs, apiGroups, resources, resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames === undefined ? {} : { resourceNames }),
        })),
      nonResourceRules: rules
        .filter(({ nonResourceURLs }) => (nonResourceURLs ?? []).length > 0)
        .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete: isNode,
      ...(isNode ? { evaluationError: 'node authorizer does not support user rule resolution' } : {}),
    };
  });
  // It is answered with a new object, which does not say what was asked.
  return { resource, create: async (...asked) => ({ ...(await create(...asked)), metadata: {}, spec: {} }) };
}

function specOf(object: UnstructuredObject): ReviewSpec {
  return object['spec'] ?? {};
}

function validateAttributes({ resourceAttributes, nonResourceAttributes }: ReviewSpec): FieldError[] {
  if (resourceAttributes === undefined && nonResourceAttributes === undefined)
    return [
      fieldInvalid(
        'spec.resourceAttributes',
        null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    ];
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined)
    return [
      fieldInvalid(
        'spec.nonResourceAttributes',
        nonResourceAttributes,
        'cannot be specified in combination with resourceAttributes',
      ),
    ];
  return [];
}

/** A local review is about what is in its namespace. */
function validateLocal({ resourceAttributes, nonResourceAttributes }: ReviewSpec, namespace: string): FieldError[] {
  const errors: FieldError[] = [];
  const asked = resourceAttributes?.namespace ?? '';
  if (resourceAttributes !== undefined && asked !== namespace)
    errors.push(fieldInvalid('spec.resourceAttributes.namespace', asked, 'must match metadata.namespace'));
  if (nonResourceAttributes !== undefined)
    errors.push(
      fieldInvalid('spec.nonResourceAttributes', nonResourceAttributes, 'disallowed on this kind of request'),
    );
  return errors;
}

/** Upstream forgets the kind of a review by the time it refuses one. */
function refuseInvalid({ group }: Resource, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw newInvalid({ group, kind: '' }, '', errors);
}

function attributesOf(
  { resourceAttributes, nonResourceAttributes }: ReviewSpec,
  user: UserInfo,
): AuthorizationAttributes {
  const {
    namespace = '',
    verb = nonResourceAttributes?.verb ?? '',
    group = '',
    version = '',
    resource = '',
    subresource = '',
    name = '',
  } = resourceAttributes ?? {};
  return {
    user,
    verb,
    isResourceRequest: resourceAttributes !== undefined,
    path: nonResourceAttributes?.path ?? '',
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
  };
}

async function statusOf(
  authorizer: ObservingAuthorizer,
  attributes: AuthorizationAttributes,
): Promise<Record<string, unknown>> {
  const { decision, reason } = await decide(authorizer, attributes);
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' ? { denied: true } : {}),
    ...(reason === '' ? {} : { reason }),
  };
}
