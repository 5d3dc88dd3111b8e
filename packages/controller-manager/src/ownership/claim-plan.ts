import { controllerOf, type KubeObject, type Selector } from '@naru/api';

export interface ClaimPlan<T> {
  /** Owned already, and selected. */
  readonly owned: readonly T[];
  /** Selected and nobody's: to be taken. */
  readonly adopt: readonly T[];
  /** Owned, but no longer selected: to be let go. */
  readonly release: readonly T[];
}

/** Which of `candidates` an owner has, takes and lets go, by its selector: upstream's controller reference rules. */
export function planClaims<T extends KubeObject>(
  owner: KubeObject,
  selector: Selector,
  candidates: readonly T[],
): ClaimPlan<T> {
  const owned: T[] = [];
  const adopt: T[] = [];
  const release: T[] = [];
  const deleting = owner.metadata.deletionTimestamp !== undefined;
  for (const candidate of candidates) {
    if (candidate.metadata.namespace !== owner.metadata.namespace) continue;
    const controller = controllerOf(candidate);
    const selected = selector.matches(candidate.metadata.labels);
    if (controller === undefined) {
      if (!deleting && selected && candidate.metadata.deletionTimestamp === undefined) adopt.push(candidate);
    } else if (controller.uid === owner.metadata.uid) {
      if (selected) owned.push(candidate);
      else if (!deleting) release.push(candidate);
    }
  }
  return { owned, adopt, release };
}
