/** Which ReplicaSet is of which revision of a Deployment's pod template, and the annotations that say so. */
import { parseTime, safeEncodeString, type Deployment, type PodTemplateSpec, type ReplicaSet } from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';

export const HASH_LABEL = 'pod-template-hash';
export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
/** Longest revision history annotation, in characters: upstream's. */
const REVISION_HISTORY_LENGTH_MAX = 2000;

/** Annotations that a Deployment does not hand on to its ReplicaSets. */
const notCopied: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
]);

/** 32-bit FNV-1a. */
function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Value of the pod-template-hash label: the same for equal templates; another one for each collision count. */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = canonicalJson(withoutHash(template)) + (collisionCount === undefined ? '' : String(collisionCount));
  return safeEncodeString(String(fnv32a(text)));
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { metadata, ...rest } = template;
  const { labels, ...others } = metadata ?? {};
  const { [HASH_LABEL]: _, ...plain } = labels ?? {};
  return {
    ...rest,
    metadata: { ...others, ...(Object.keys(plain).length === 0 ? {} : { labels: plain }) },
  };
}

export function equalIgnoreHash(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return canonicalJson(withoutHash(a ?? {})) === canonicalJson(withoutHash(b ?? {}));
}

export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  const difference = parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
  if (difference !== 0 && !Number.isNaN(difference)) return difference;
  return (a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1;
}

/** The oldest ReplicaSet of the present template: should there be several, all syncs agree on one. */
export function findNewReplicaSet(deployment: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return replicaSets
    .toSorted(byCreation)
    .find(({ spec }) => equalIgnoreHash(spec?.template, deployment.spec?.template));
}

/** An annotated revision, which has 64 bits; undefined: it is none. */
function parseRevision(text: string): bigint | undefined {
  if (!/^[+-]?\d{1,19}$/u.test(text)) return undefined;
  const revision = BigInt(text.replace('+', ''));
  return BigInt.asIntN(64, revision) === revision ? revision : undefined;
}

function revisionOf({ metadata }: ReplicaSet): bigint {
  return parseRevision(metadata.annotations?.[REVISION] ?? '') ?? 0n;
}

export function byRevision(a: ReplicaSet, b: ReplicaSet): number {
  return Number(revisionOf(a) - revisionOf(b));
}

export function maxRevision(replicaSets: readonly ReplicaSet[]): bigint {
  return replicaSets.map(revisionOf).reduce((max, each) => (each > max ? each : max), 0n);
}

/**
 * The annotations of the new ReplicaSet at `revision`: the Deployment's own, its revision, and the revisions that it had
 * before it was rolled back to.
 */
export function newReplicaSetAnnotations(
  deployment: Deployment,
  present: Readonly<Record<string, string>>,
  revision: bigint,
): Record<string, string> {
  const next = { ...present };
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!notCopied.has(name)) next[name] = value;
  const { [REVISION]: text = '' } = present;
  const old = text === '' ? 0n : parseRevision(text);
  if (old !== undefined && old < revision) {
    next[REVISION] = String(revision);
    if (text !== '') {
      const history = (present[REVISION_HISTORY] ?? '').split(',').filter((each) => each !== '');
      history.push(text);
      while (history.join(',').length > REVISION_HISTORY_LENGTH_MAX) history.shift();
      next[REVISION_HISTORY] = history.join(',');
    }
  }
  return next;
}

/** The annotations with the sizes that proportional scaling starts from. */
export function withReplicasAnnotations(
  present: Readonly<Record<string, string>>,
  desired: number,
  max: number,
): Record<string, string> {
  return { ...present, [DESIRED_REPLICAS]: String(desired), [MAX_REPLICAS]: String(max) };
}

export function sameAnnotations(
  a: Readonly<Record<string, string>> | undefined,
  b: Readonly<Record<string, string>> | undefined,
): boolean {
  return canonicalJson(a ?? {}) === canonicalJson(b ?? {});
}
