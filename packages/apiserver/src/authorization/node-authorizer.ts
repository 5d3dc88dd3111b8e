import type { GroupResource } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './authorizer.ts';
import { NodeGraph } from './node-graph.ts';
import type { RbacAuthorizer } from './rbac-authorizer.ts';

type Result = { readonly decision: Decision; readonly reason: string };

const allow: Result = { decision: 'allow', reason: '' };
const noOpinion = (reason: string): Result => ({ decision: 'no-opinion', reason });

/** Name of the node that a user is, or undefined: `system:node:NAME` in group system:nodes. */
export function nodeNameOf(user: UserInfo): string | undefined {
  if (!user.groups.includes('system:nodes') || !user.name.startsWith('system:node:')) return undefined;
  const name = user.name.slice('system:node:'.length);
  return name === '' ? undefined : name;
}

/**
 * What a kubelet may do: everything that the ClusterRole system:node gives, but secrets, configmaps and the like only
 * where a pod on its node refers to them.
 */
export class NodeAuthorizer implements Authorizer, ObjectObserver {
  readonly resources: readonly GroupResource[];
  readonly #graph = new NodeGraph();
  readonly #rbac: RbacAuthorizer;

  constructor(rbac: RbacAuthorizer) {
    this.#rbac = rbac;
    this.resources = this.#graph.resources;
  }

  observe(change: ObjectChange): void {
    this.#graph.observe(change);
  }

  authorize(attributes: AuthorizationAttributes): Result {
    const isNode = attributes.user.groups.includes('system:nodes') && attributes.user.name.startsWith('system:node:');
    if (!isNode) return noOpinion('');
    const node = nodeNameOf(attributes.user);
    if (node === undefined) return noOpinion(`unknown node for user ${JSON.stringify(attributes.user.name)}`);
    if (attributes.isResourceRequest) {
      const key = attributes.group === '' ? attributes.resource : `${attributes.resource}.${attributes.group}`;
      switch (key) {
        case 'secrets':
        case 'configmaps':
          return this.#readNamed(node, attributes, ['get', 'list', 'watch']);
        case 'persistentvolumeclaims':
          return attributes.subresource === 'status'
            ? this.#statusWrite(node, attributes)
            : this.#readNamed(node, attributes, ['get']);
        case 'persistentvolumes':
        case 'resourceclaims.resource.k8s.io':
          return this.#readNamed(node, attributes, ['get']);
        case 'volumeattachments.storage.k8s.io':
          return this.#readNamed(node, attributes, ['get']);
        case 'serviceaccounts':
          return this.#createToken(node, attributes);
        case 'leases.coordination.k8s.io':
          return this.#lease(node, attributes);
        case 'csinodes.storage.k8s.io':
          return this.#csiNode(node, attributes);
        case 'nodes':
          return this.#nodeRead(node, attributes);
        case 'pods':
          return this.#pods(node, attributes);
        default:
      }
    }
    return this.#rbac.roleAllows('system:node', attributes) ? allow : noOpinion('');
  }

  #readNamed(node: string, attributes: AuthorizationAttributes, verbs: readonly string[]): Result {
    if (!verbs.includes(attributes.verb))
      return noOpinion(
        `can only ${verbs.length === 1 ? 'get' : 'read'} ${verbs.length === 1 ? 'individual resources of this type' : 'resources of this type'}`,
      );
    if (attributes.subresource !== '') return noOpinion('cannot get subresource');
    return this.#related(node, attributes);
  }

  #related(node: string, attributes: AuthorizationAttributes): Result {
    if (attributes.name === '') return noOpinion(`No Object name found`);
    return this.#graph.isRelated(node, attributes.resource, attributes.namespace, attributes.name)
      ? allow
      : noOpinion(`no relationship found between node '${node}' and this object`);
  }

  #statusWrite(node: string, attributes: AuthorizationAttributes): Result {
    if (!['update', 'patch'].includes(attributes.verb)) return noOpinion('can only update/patch status');
    return this.#related(node, attributes);
  }

  #createToken(node: string, attributes: AuthorizationAttributes): Result {
    if (attributes.subresource === '' && attributes.verb === 'get') return this.#related(node, attributes);
    if (attributes.verb !== 'create' || attributes.subresource !== 'token')
      return noOpinion('can only create tokens for individual service accounts');
    return this.#related(node, attributes);
  }

  #lease(node: string, attributes: AuthorizationAttributes): Result {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(attributes.verb))
      return noOpinion('can only get, create, update, patch, or delete a node lease');
    if (attributes.namespace !== 'kube-node-lease')
      return noOpinion('can only access leases in the "kube-node-lease" system namespace');
    if (attributes.verb !== 'create' && attributes.name !== node)
      return noOpinion('can only access node lease with the same name as the requesting node');
    return allow;
  }

  #csiNode(node: string, attributes: AuthorizationAttributes): Result {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(attributes.verb))
      return noOpinion('can only get, create, update, patch, or delete a CSINode');
    if (attributes.subresource !== '') return noOpinion('cannot authorize CSINode subresources');
    if (attributes.verb !== 'create' && attributes.name !== node)
      return noOpinion('can only access CSINode with the same name as the requesting node');
    return allow;
  }

  #nodeRead(node: string, attributes: AuthorizationAttributes): Result {
    if (attributes.subresource === '') {
      if (['create', 'update', 'patch'].includes(attributes.verb)) return allow;
      if (['get', 'list', 'watch'].includes(attributes.verb)) {
        if (attributes.name === node) return allow;
        return this.#rbac.roleAllows('system:node', attributes)
          ? allow
          : noOpinion(`node '${node}' cannot read '${attributes.name}', only its own Node object`);
      }
      return noOpinion('');
    }
    if (attributes.subresource === 'status') {
      return ['update', 'patch'].includes(attributes.verb) ? allow : noOpinion('can only update/patch status');
    }
    return this.#rbac.roleAllows('system:node', attributes) ? allow : noOpinion('');
  }

  #pods(_node: string, attributes: AuthorizationAttributes): Result {
    return this.#rbac.roleAllows('system:node', attributes) ? allow : noOpinion('');
  }
}
