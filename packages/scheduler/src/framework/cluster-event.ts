import type { Namespace, Node } from '@naru/api';
import type { PodInfo } from './pod-info.ts';

/** Something that happened in the cluster and that may let waiting pods fit. */
export type ClusterEvent =
  | { readonly kind: 'AssignedPodAdd'; readonly pod: PodInfo }
  | { readonly kind: 'AssignedPodUpdate'; readonly pod: PodInfo; readonly old: PodInfo }
  | { readonly kind: 'AssignedPodDelete'; readonly pod: PodInfo }
  | { readonly kind: 'NodeAdd'; readonly node: Node }
  | { readonly kind: 'NodeUpdate'; readonly node: Node; readonly old: Node }
  | { readonly kind: 'NodeDelete'; readonly node: Node }
  /** A pod that waits was changed itself. */
  | { readonly kind: 'PodUpdate'; readonly pod: PodInfo; readonly old: PodInfo }
  | { readonly kind: 'NamespaceUpdate'; readonly namespace: Namespace };

export type EventKind = ClusterEvent['kind'];
