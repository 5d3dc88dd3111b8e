/** What is told of a namespace's deletion while it is under way. */
import { setCondition, type Namespace, type Resource } from '@naru/api';

export const KUBERNETES_FINALIZER = 'kubernetes';

export type NamespaceCondition = NonNullable<NonNullable<Namespace['status']>['conditions']>[number];

/** What is left of one resource in the namespace. */
export interface Remaining {
  readonly resource: Pick<Resource, 'group' | 'resource'>;
  readonly count: number;
  /** By finalizer, how many objects wait for it. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export interface DeletionProgress {
  readonly discoveryFailures: readonly string[];
  readonly deletionFailures: readonly string[];
  readonly remaining: readonly Remaining[];
}

function qualified({ group, resource }: Pick<Resource, 'group' | 'resource'>): string {
  return `${resource}.${group}`;
}

/** The conditions that tell how far the deletion is; the same array when nothing changes. */
export function planConditions(
  present: readonly NamespaceCondition[] | undefined,
  { discoveryFailures, deletionFailures, remaining }: DeletionProgress,
  now: string,
): readonly NamespaceCondition[] {
  const finalizers = new Map<string, number>();
  for (const each of remaining)
    for (const [name, count] of each.finalizers) finalizers.set(name, (finalizers.get(name) ?? 0) + count);
  const left = remaining.map(({ resource, count }) => `${qualified(resource)} has ${count} resource instances`).sort();
  const waiting = [...finalizers].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  const wanted: readonly NamespaceCondition[] = [
    condition(
      'NamespaceDeletionDiscoveryFailure',
      discoveryFailures.length > 0,
      [
        'DiscoveryFailed',
        `Discovery failed for some groups, ${discoveryFailures.length} failing: ${discoveryFailures.join(', ')}`,
      ],
      ['ResourcesDiscovered', 'All resources successfully discovered'],
    ),
    condition(
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      ['GroupVersionParsingFailed', ''],
      ['ParsedGroupVersions', 'All legacy kube types successfully parsed'],
    ),
    condition(
      'NamespaceDeletionContentFailure',
      deletionFailures.length > 0,
      [
        'ContentDeletionFailed',
        `Failed to delete all resource types, ${deletionFailures.length} remaining: ${deletionFailures.join(', ')}`,
      ],
      ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
    ),
    condition(
      'NamespaceContentRemaining',
      left.length > 0,
      ['SomeResourcesRemain', `Some resources are remaining: ${left.join(', ')}`],
      ['ContentRemoved', 'All content successfully removed'],
    ),
    condition(
      'NamespaceFinalizersRemaining',
      waiting.length > 0,
      ['SomeFinalizersRemain', `Some content in the namespace has finalizers remaining: ${waiting.join(', ')}`],
      ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
    ),
  ];
  return wanted.reduce<readonly NamespaceCondition[]>(
    (conditions, each) => setCondition(conditions, each, now),
    present ?? [],
  );
}

function condition(
  type: string,
  holds: boolean,
  [reason, message]: readonly [string, string],
  [otherReason, otherMessage]: readonly [string, string],
): NamespaceCondition {
  return holds
    ? { type, status: 'True', reason, message }
    : { type, status: 'False', reason: otherReason, message: otherMessage };
}

/** Resources whose objects a namespace's deletion deletes. */
export function deletableResources(resources: readonly Resource[]): readonly Resource[] {
  return resources.filter(({ namespaced, verbs }) => namespaced && verbs.includes('delete') && verbs.includes('list'));
}

/** Events and their like are two names of the same objects: the second is left out. */
export function withoutTwins(resources: readonly Resource[]): readonly Resource[] {
  return resources.filter(({ group, resource }) => !(group === 'events.k8s.io' && resource === 'events'));
}
