import { controllerRevisions, isAlreadyExists, isNotFound, controllerOf, type ControllerRevision } from '@naru/api';
import type { Client, Informer } from '@naru/client';
import type { ControllerContext } from '../controller-context.ts';
import { controlledBy, controllerIndex } from '../ownership/claim.ts';
import { planHistory, planTruncation, sameTemplate, templateOf, type HistoryPlan, type RevisionOwner } from './plan.ts';

/** The name of the new revision is taken by another template. The owner counts the collision and tries again. */
export class RevisionCollision extends Error {
  override readonly name = 'RevisionCollision';
}

/** Reads and writes the ControllerRevisions of owners. */
export class RevisionHistory {
  readonly #client: Client;
  readonly #revisions: Informer<ControllerRevision>;

  constructor(context: ControllerContext) {
    this.#client = context.client;
    this.#revisions = context.informers.informer(controllerRevisions, { indexers: controllerIndex });
  }

  /** @throws RevisionCollision */
  async sync(owner: RevisionOwner, signal: AbortSignal): Promise<HistoryPlan> {
    const plan = planHistory(owner, controlledBy(this.#revisions, owner.object));
    if (plan.write === 'none') return plan;
    const { name = '', namespace } = plan.update.metadata;
    if (plan.write === 'update') {
      const update = await this.#client.update(controllerRevisions, plan.update, { namespace, signal });
      return { ...plan, update };
    }
    try {
      const update = await this.#client.create(controllerRevisions, plan.update, { signal });
      return { ...plan, update };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const present = await this.#client.get(controllerRevisions, name, { namespace, signal });
      const ours = controllerOf(present)?.uid === owner.object.metadata.uid;
      if (ours && sameTemplate(templateOf(present), owner.template)) return { ...plan, update: present };
      throw new RevisionCollision(`controllerrevision ${name} is of another template`);
    }
  }

  async truncate(
    all: readonly ControllerRevision[],
    live: ReadonlySet<string>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void> {
    for (const { metadata } of planTruncation(all, live, limit)) {
      const { name = '', namespace } = metadata;
      await this.#client.delete(controllerRevisions, name, { namespace, signal }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
}
