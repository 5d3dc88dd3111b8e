import type { CorpusRequest, Json } from './request.ts';

const kinds: Readonly<Record<string, readonly [apiVersion: string, kind: string]>> = {
  namespaces: ['v1', 'Namespace'],
  finalize: ['v1', 'Namespace'],
  serviceaccounts: ['v1', 'ServiceAccount'],
  limitranges: ['v1', 'LimitRange'],
  resourcequotas: ['v1', 'ResourceQuota'],
  persistentvolumeclaims: ['v1', 'PersistentVolumeClaim'],
  configmaps: ['v1', 'ConfigMap'],
  pods: ['v1', 'Pod'],
  roles: ['rbac.authorization.k8s.io/v1', 'Role'],
  rolebindings: ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  clusterroles: ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
  clusterrolebindings: ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
  subjectaccessreviews: ['authorization.k8s.io/v1', 'SubjectAccessReview'],
  selfsubjectaccessreviews: ['authorization.k8s.io/v1', 'SelfSubjectAccessReview'],
  localsubjectaccessreviews: ['authorization.k8s.io/v1', 'LocalSubjectAccessReview'],
  selfsubjectrulesreviews: ['authorization.k8s.io/v1', 'SelfSubjectRulesReview'],
  tokenreviews: ['authentication.k8s.io/v1', 'TokenReview'],
};

/** The kind of a body that is created or updated, where the corpus leaves it to the path. */
export function withTypeMeta(request: CorpusRequest): CorpusRequest {
  const { body, method, path } = request;
  if ((method !== 'POST' && method !== 'PUT') || typeof body !== 'object' || body === null) return request;
  const [plain = ''] = path.split('?');
  const segments = plain.split('/');
  const [apiVersion, kind] = kinds[segments.at(-1) ?? ''] ?? kinds[segments.at(-2) ?? ''] ?? [];
  return kind === undefined ? request : { ...request, body: { apiVersion, kind, ...(body as Json) } };
}
