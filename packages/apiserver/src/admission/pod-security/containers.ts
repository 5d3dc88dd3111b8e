import type { Container, Pod } from '@naru/api';

export type PodSpec = NonNullable<Pod['spec']>;
export type SecurityContext = NonNullable<Container['securityContext']>;

/** A check's verdict on a pod: what is forbidden, and where. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export function containersOf(spec: PodSpec): readonly Container[] {
  return [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...((spec.ephemeralContainers ?? []) as readonly Container[]),
  ];
}

export const quoted = (names: readonly string[]): string => names.map((name) => JSON.stringify(name)).join(', ');

/** `container "a"`, `containers "a", "b"`. */
export function named(kind: string, names: readonly string[]): string {
  return `${kind}${names.length === 1 ? '' : 's'} ${quoted(names)}`;
}

export const namesOf = (spec: PodSpec, holds: (context: SecurityContext, container: Container) => boolean): string[] =>
  containersOf(spec)
    .filter((container) => holds(container.securityContext ?? {}, container))
    .map(({ name }) => name);
