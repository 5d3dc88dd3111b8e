import {
  labelSelectorFrom,
  replicaSets,
  replicationControllers,
  selectorFromSet,
  nothing,
  type KubeObject,
  type ReplicaSet,
  type ReplicationController,
  type Resource,
} from '@naru/api';
import type { ReplicaOwnerView, ReplicaSetStatus } from './plan.ts';

/** Makes one controller serve ReplicaSets and ReplicationControllers. */
export interface ReplicaKind<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Reported as the source of events. */
  readonly component: string;
  view(object: T): ReplicaOwnerView;
  withStatus(object: T, status: Partial<ReplicaSetStatus>): T;
}

const emptyTemplate = {};

export const replicaSetKind: ReplicaKind<ReplicaSet> = {
  resource: replicaSets,
  component: 'replicaset-controller',
  view: ({ metadata, spec, status }) => ({
    replicas: spec?.replicas ?? 1,
    minReadySeconds: spec?.minReadySeconds ?? 0,
    selector: labelSelectorFrom(spec?.selector),
    template: spec?.template ?? emptyTemplate,
    generation: metadata.generation ?? 0,
    status: status ?? {},
  }),
  withStatus: (object, status) => ({ ...object, status: { replicas: 0, ...status } }),
};

export const replicationControllerKind: ReplicaKind<ReplicationController> = {
  resource: replicationControllers,
  component: 'replication-controller',
  view: ({ metadata, spec, status }) => ({
    replicas: spec?.replicas ?? 1,
    minReadySeconds: spec?.minReadySeconds ?? 0,
    // Unlike an empty label selector, an empty map selects nothing.
    selector: Object.keys(spec?.selector ?? {}).length === 0 ? nothing : selectorFromSet(spec?.selector),
    template: spec?.template ?? emptyTemplate,
    generation: metadata.generation ?? 0,
    status: status ?? {},
  }),
  withStatus: (object, status) => ({ ...object, status: { replicas: 0, ...status } }),
};
