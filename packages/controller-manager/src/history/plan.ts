/** ControllerRevisions: the pod templates that a DaemonSet or StatefulSet has had. */
import {
  newControllerRef,
  parseTime,
  safeEncodeString,
  type ControllerRevision,
  type KubeObject,
  type PodTemplateSpec,
  type Resource,
} from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';

export const HASH_LABEL = 'controller-revision-hash';
export const REVISION_HASH_LABEL = 'controller.kubernetes.io/hash';

export interface RevisionOwner {
  readonly object: KubeObject;
  readonly resource: Resource;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number | undefined;
  readonly historyLimit: number;
  /** Where its revisions say their hash. */
  readonly hashLabel: typeof HASH_LABEL | typeof REVISION_HASH_LABEL;
}

export interface HistoryPlan {
  /** The revision of the present template, with its number; to be created or updated when told so. */
  readonly update: ControllerRevision;
  readonly write: 'create' | 'update' | 'none';
  /** In ascending order, with the present one last. */
  readonly all: readonly ControllerRevision[];
}

/** The strategic merge patch that brings an owner to a template: what a revision holds. */
function dataOf(template: PodTemplateSpec): Record<string, unknown> {
  return { spec: { template: { ...template, $patch: 'replace' } } };
}

/** The pod template that a revision holds. */
export function templateOf({ data }: ControllerRevision): PodTemplateSpec {
  const { spec } = data as { readonly spec?: { readonly template?: PodTemplateSpec & { $patch?: string } } };
  const { $patch: _, ...template } = spec?.template ?? {};
  return template;
}

export function sameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

export function revisionHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  return safeEncodeString(String(fnv32a(`${canonicalJson(template)}${collisionCount ?? ''}`)));
}

function ascending(a: ControllerRevision, b: ControllerRevision): number {
  if (a.revision !== b.revision) return a.revision - b.revision;
  return parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
}

/** Finds or makes the revision of the present template; one that is gone back to becomes the latest again. */
export function planHistory(owner: RevisionOwner, present: readonly ControllerRevision[]): HistoryPlan {
  const revisions = present.toSorted(ascending);
  const last = revisions.at(-1);
  const equal = revisions.findLast((each) => sameTemplate(templateOf(each), owner.template));
  const next = (last?.revision ?? 0) + 1;
  if (equal !== undefined) {
    if (equal === last) return { update: equal, write: 'none', all: revisions };
    const update = { ...equal, revision: next };
    return { update, write: 'update', all: [...revisions.filter((each) => each !== equal), update] };
  }
  const hash = revisionHash(owner.template, owner.collisionCount);
  const { name = '', namespace, annotations } = owner.object.metadata;
  const update: ControllerRevision = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...owner.template.metadata?.labels, [owner.hashLabel]: hash },
      // Among them why the change was made, which `kubectl rollout history` shows.
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [newControllerRef(owner.object, owner.resource)],
    },
    data: dataOf(owner.template),
    revision: next,
  };
  return { update, write: 'create', all: [...revisions, update] };
}

/** Revisions beyond the limit that no pod is of: the oldest. */
export function planTruncation(
  all: readonly ControllerRevision[],
  live: ReadonlySet<string>,
  limit: number,
): readonly ControllerRevision[] {
  const unused = all.filter(({ metadata }) => !live.has(metadata.name ?? ''));
  return unused.slice(0, Math.max(0, unused.length - limit));
}
