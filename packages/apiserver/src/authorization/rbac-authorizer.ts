import type { GroupResource, KubeObject } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './authorizer.ts';
import { ruleAllows, type PolicyRule } from './rbac-rules.ts';

const group = 'rbac.authorization.k8s.io';

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface RoleRef {
  readonly kind: string;
  readonly name: string;
}

/** A RoleBinding, or a ClusterRoleBinding whose namespace is ''. */
interface Binding {
  readonly namespace: string;
  readonly name: string;
  readonly roleRef: RoleRef;
  readonly subjects: readonly Subject[];
}

/** RBAC from memory. Bindings are found by subject, so that a request costs what its user has, not what the cluster has. */
export class RbacAuthorizer implements Authorizer, ObjectObserver {
  readonly resources: readonly GroupResource[] = ['clusterroles', 'clusterrolebindings', 'roles', 'rolebindings'].map(
    (resource) => ({ group, resource }),
  );
  /** `namespace/name` -> rules; ClusterRoles have the namespace ''. */
  readonly #roles = new Map<string, readonly PolicyRule[]>();
  readonly #bindings = new Map<string, Binding>();
  /** Subject -> bindings by key. */
  readonly #bySubject = new Map<string, Map<string, Binding>>();

  observe({ type, resource, object }: ObjectChange): void {
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`;
    if (resource.resource === 'roles' || resource.resource === 'clusterroles') {
      if (type === 'DELETED') this.#roles.delete(key);
      else this.#roles.set(key, (object as KubeObject & { rules?: PolicyRule[] | null }).rules ?? []);
      return;
    }
    this.#removeBinding(key);
    if (type !== 'DELETED') this.#addBinding(key, object as KubeObject & { roleRef: RoleRef; subjects?: Subject[] });
  }

  authorize(attributes: AuthorizationAttributes): { readonly decision: Decision; readonly reason: string } {
    const missing: string[] = [];
    for (const { binding, subject } of this.#bindingsOf(attributes.user, attributes.namespace)) {
      const rules = this.#rulesOf(binding);
      if (rules === undefined) {
        missing.push(
          `${binding.roleRef.kind.toLowerCase()}.${group} ${JSON.stringify(binding.roleRef.name)} not found`,
        );
      } else if (rules.some((rule) => ruleAllows(rule, attributes))) {
        return { decision: 'allow', reason: allowedBy(binding, subject) };
      }
    }
    return {
      decision: 'no-opinion',
      reason: missing.length === 0 ? '' : `RBAC: ${missing.length === 1 ? missing[0] : `[${missing.join(', ')}]`}`,
    };
  }

  /** All rules that hold for a user in a namespace, '' for cluster-wide ones only. */
  rulesFor(user: UserInfo, namespace: string): PolicyRule[] {
    return [...this.#bindingsOf(user, namespace)].flatMap(({ binding }) => this.#rulesOf(binding) ?? []);
  }

  /** Rules of a role; undefined if there is no such role. The namespace counts for Roles only. */
  rulesOfRole(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    return this.#roles.get(`${roleRef.kind === 'ClusterRole' ? '' : namespace}/${roleRef.name}`);
  }

  /** Whether rules that a ClusterRole gives allow a request, for authorizers that lend from it. */
  roleAllows(name: string, attributes: AuthorizationAttributes): boolean {
    return (this.#roles.get(`/${name}`) ?? []).some((rule) => ruleAllows(rule, attributes));
  }

  *#bindingsOf(user: UserInfo, namespace: string): Generator<{ binding: Binding; subject: string }> {
    const subjects = [`User ${user.name}`, ...user.groups.map((name) => `Group ${name}`)];
    const scopes = namespace === '' ? [''] : ['', namespace];
    for (const scope of scopes) {
      for (const subject of subjects) {
        for (const binding of this.#bySubject.get(subject)?.values() ?? [])
          if (binding.namespace === scope) yield { binding, subject };
      }
    }
  }

  #rulesOf(binding: Binding): readonly PolicyRule[] | undefined {
    return this.rulesOfRole(binding.roleRef, binding.namespace);
  }

  #addBinding(key: string, object: KubeObject & { roleRef: RoleRef; subjects?: Subject[] }): void {
    const binding: Binding = {
      namespace: object.metadata.namespace ?? '',
      name: object.metadata.name ?? '',
      roleRef: object.roleRef,
      subjects: object.subjects ?? [],
    };
    this.#bindings.set(key, binding);
    for (const subject of binding.subjects) {
      const name = subjectKey(subject, binding.namespace);
      const known = this.#bySubject.get(name) ?? new Map<string, Binding>();
      known.set(key, binding);
      this.#bySubject.set(name, known);
    }
  }

  #removeBinding(key: string): void {
    const binding = this.#bindings.get(key);
    if (binding === undefined) return;
    this.#bindings.delete(key);
    for (const subject of binding.subjects) {
      const name = subjectKey(subject, binding.namespace);
      const known = this.#bySubject.get(name);
      known?.delete(key);
      if (known?.size === 0) this.#bySubject.delete(name);
    }
  }
}

function subjectKey(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== 'ServiceAccount') return `${subject.kind} ${subject.name}`;
  return `User system:serviceaccount:${subject.namespace ?? bindingNamespace}:${subject.name}`;
}

function allowedBy(binding: Binding, subject: string): string {
  const by =
    binding.namespace === ''
      ? `ClusterRoleBinding ${JSON.stringify(binding.name)}`
      : `RoleBinding ${JSON.stringify(`${binding.name}/${binding.namespace}`)}`;
  const space = subject.indexOf(' ');
  const account = /^User system:serviceaccount:([^:]+):([^:]+)$/u.exec(subject);
  const to =
    account === null
      ? `${subject.slice(0, space)} ${JSON.stringify(subject.slice(space + 1))}`
      : `ServiceAccount ${JSON.stringify(`${account[2]}/${account[1]}`)}`;
  return `RBAC: allowed by ${by} of ${binding.roleRef.kind} ${JSON.stringify(binding.roleRef.name)} to ${to}`;
}
