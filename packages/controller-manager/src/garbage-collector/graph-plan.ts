/** Who owns whom: the graph by which the garbage collector finds what to delete. */
import type { ObjectMeta, OwnerReference, Resource } from '@naru/api';

export const ORPHAN_FINALIZER = 'orphan';
export const FOREGROUND_FINALIZER = 'foregroundDeletion';

/** An object, or an owner that is only known from references to it. */
export interface GraphNode {
  readonly uid: string;
  /** Undefined for a virtual node whose kind is not (yet) known to the server. */
  resource: Resource | undefined;
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
  owners: readonly OwnerReference[];
  readonly dependents: Set<GraphNode>;
  beingDeleted: boolean;
  /** Deleted in the foreground: waits for its dependents. */
  deletingDependents: boolean;
  /** Deleted with its dependents to be left alone. */
  orphaning: boolean;
  /** Never seen itself: it may not exist. */
  virtual: boolean;
}

/** Nodes that a change gives reason to look at. */
export interface GraphChanges {
  /** Perhaps to be deleted, or finished with being deleted. */
  readonly attemptToDelete: readonly GraphNode[];
  readonly attemptToOrphan: readonly GraphNode[];
}

export interface ObservedObject {
  readonly resource: Resource;
  readonly metadata: ObjectMeta;
}

/** Objects and owner references as they are seen. Invariant: `a.dependents` has `b` exactly if `b.owners` names `a`. */
export class ObjectGraph {
  readonly #nodes = new Map<string, GraphNode>();

  get size(): number {
    return this.#nodes.size;
  }

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  nodes(): IterableIterator<GraphNode> {
    return this.#nodes.values();
  }

  /** An object was added or changed. */
  observe({ resource, metadata }: ObservedObject): GraphChanges {
    const attemptToDelete = new Set<GraphNode>();
    const attemptToOrphan = new Set<GraphNode>();
    const uid = metadata.uid ?? '';
    const owners = metadata.ownerReferences ?? [];
    const node = this.#nodes.get(uid) ?? this.#insert(uid);
    node.virtual = false;
    node.resource = resource;
    node.kind = resource.kind;
    node.namespace = metadata.namespace ?? '';
    node.name = metadata.name ?? '';
    this.#setOwners(node, owners, attemptToDelete);
    node.beingDeleted = metadata.deletionTimestamp !== undefined;
    const finalizers = node.beingDeleted ? (metadata.finalizers ?? []) : [];
    const orphaning = finalizers.includes(ORPHAN_FINALIZER);
    if (orphaning && !node.orphaning) attemptToOrphan.add(node);
    node.orphaning = orphaning;
    if (finalizers.includes(FOREGROUND_FINALIZER) && !node.deletingDependents) {
      node.deletingDependents = true;
      for (const dependent of node.dependents) attemptToDelete.add(dependent);
      attemptToDelete.add(node);
    }
    return { attemptToDelete: [...attemptToDelete], attemptToOrphan: [...attemptToOrphan] };
  }

  /** An object is gone, or a virtual one was found not to exist. */
  remove(uid: string): GraphChanges {
    const node = this.#nodes.get(uid);
    if (node === undefined) return { attemptToDelete: [], attemptToOrphan: [] };
    const attemptToDelete = new Set<GraphNode>(node.dependents);
    this.#nodes.delete(uid);
    for (const { uid: ownerUid } of node.owners) {
      const owner = this.#nodes.get(ownerUid);
      owner?.dependents.delete(node);
      if (owner?.deletingDependents === true) attemptToDelete.add(owner);
      else if (owner !== undefined) this.#dropIfForgotten(owner);
    }
    return { attemptToDelete: [...attemptToDelete], attemptToOrphan: [] };
  }

  #insert(uid: string): GraphNode {
    const node: GraphNode = {
      uid,
      resource: undefined,
      apiVersion: '',
      kind: '',
      namespace: '',
      name: '',
      owners: [],
      dependents: new Set(),
      beingDeleted: false,
      deletingDependents: false,
      orphaning: false,
      virtual: true,
    };
    this.#nodes.set(uid, node);
    return node;
  }

  #setOwners(node: GraphNode, owners: readonly OwnerReference[], attemptToDelete: Set<GraphNode>): void {
    const before = new Map(node.owners.map((each) => [each.uid, each]));
    node.owners = owners;
    for (const reference of owners) {
      const old = before.get(reference.uid);
      before.delete(reference.uid);
      const owner = this.#nodes.get(reference.uid) ?? this.#insertVirtual(node, reference);
      owner.dependents.add(node);
      // Whether an owner that was never seen exists must be asked.
      if (owner.virtual) attemptToDelete.add(owner);
      const unblocked = old?.blockOwnerDeletion === true && reference.blockOwnerDeletion !== true;
      if (unblocked && owner.deletingDependents) attemptToDelete.add(owner);
      // New dependents of an owner that is on its way out go with it.
      if (old === undefined && owner.deletingDependents) attemptToDelete.add(node);
    }
    for (const { uid } of before.values()) {
      const owner = this.#nodes.get(uid);
      owner?.dependents.delete(node);
      if (owner?.deletingDependents === true) attemptToDelete.add(owner);
      else if (owner !== undefined) this.#dropIfForgotten(owner);
    }
  }

  #insertVirtual(dependent: GraphNode, { uid, apiVersion, kind, name }: OwnerReference): GraphNode {
    const node = this.#insert(uid);
    node.apiVersion = apiVersion;
    node.kind = kind;
    node.name = name;
    // Where its kind is cluster-scoped, the namespace does not matter.
    node.namespace = dependent.namespace;
    return node;
  }

  #dropIfForgotten(node: GraphNode): void {
    if (node.virtual && node.dependents.size === 0) this.#nodes.delete(node.uid);
  }
}

/** Dependents that keep an owner which is deleted in the foreground. */
export function blockingDependents(node: GraphNode): GraphNode[] {
  return [...node.dependents].filter(({ owners }) =>
    owners.some(({ uid, blockOwnerDeletion }) => uid === node.uid && blockOwnerDeletion === true),
  );
}
