import {
  controllerOf,
  isInvalid,
  isNotFound,
  newControllerRef,
  type KubeObject,
  type Resource,
  type Selector,
} from '@naru/api';
import type { Client, Lister } from '@naru/client';
import { planClaims } from './claim-plan.ts';

const CONTROLLER = 'controller';

function orphansOf(namespace: string): string {
  return `orphans of ${namespace}`;
}

/** The index by which owners find what they control: the controller's uid, or one value per namespace for orphans. */
export const controllerIndex = {
  [CONTROLLER]: (object: KubeObject): readonly string[] => [
    controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace ?? ''),
  ],
};

/** What `owner` controls. The informer must have the `controllerIndex`. */
export function controlledBy<T extends KubeObject>(lister: Lister<T>, owner: KubeObject): readonly T[] {
  return lister.byIndex(CONTROLLER, owner.metadata.uid ?? '');
}

/** What `owner` controls or could adopt: the candidates of `claim`. */
export function claimCandidates<T extends KubeObject>(lister: Lister<T>, owner: KubeObject): readonly T[] {
  return [...controlledBy(lister, owner), ...lister.byIndex(CONTROLLER, orphansOf(owner.metadata.namespace ?? ''))];
}

export interface ClaimOptions<O extends KubeObject, T extends KubeObject> {
  readonly client: Client;
  readonly owner: O;
  readonly ownerResource: Resource<O>;
  readonly resource: Resource<T>;
  readonly selector: Selector;
  readonly candidates: readonly T[];
  readonly signal: AbortSignal;
}

/**
 * Adopts the orphans that the owner selects, releases what it no longer selects, and resolves with what it then has.
 * @throws Error when the owner, read from the server, is being deleted or another one of that name: it must not adopt.
 */
export async function claim<O extends KubeObject, T extends KubeObject>(options: ClaimOptions<O, T>): Promise<T[]> {
  const { client, owner, ownerResource, resource, selector, candidates, signal } = options;
  const plan = planClaims(owner, selector, candidates);
  const claimed = [...plan.owned];
  if (plan.adopt.length > 0) {
    const { name = '', namespace, uid } = owner.metadata;
    const live = await client.get(ownerResource, name, { namespace, signal });
    if (live.metadata.uid !== uid) throw new Error(`original ${ownerResource.kind} ${name} is gone`);
    if (live.metadata.deletionTimestamp !== undefined)
      throw new Error(`${ownerResource.kind} ${name} is being deleted`);
  }
  const ownerReferences = [newControllerRef(owner, ownerResource)];
  await Promise.all([
    ...plan.adopt.map(async (object) => {
      const patch = { metadata: { uid: object.metadata.uid, ownerReferences } };
      const adopted = await patchUnlessGone(options, object, patch);
      if (adopted !== undefined) claimed.push(adopted);
    }),
    ...plan.release.map(async (object) => {
      const references = [{ $patch: 'delete', uid: owner.metadata.uid }];
      await patchUnlessGone(options, object, { metadata: { uid: object.metadata.uid, ownerReferences: references } });
    }),
  ]);
  return claimed;

  async function patchUnlessGone({ client }: ClaimOptions<O, T>, object: T, patch: unknown): Promise<T | undefined> {
    const { name = '', namespace } = object.metadata;
    try {
      return await client.patch(resource, name, 'strategic', patch, { namespace, signal });
    } catch (error) {
      // Invalid: another object has its name by now (the uid differs), or it has no such reference.
      if (isNotFound(error) || isInvalid(error)) return undefined;
      throw error;
    }
  }
}
