import {
  isNotFound,
  keyOf,
  persistentVolumeClaims,
  pods,
  splitKey,
  type PersistentVolumeClaim,
  type Pod,
} from '@naru/api';
import { Controller, listAll, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import {
  claimNames,
  isShutDown,
  planFinalizer,
  podUsesClaim,
  PVC_FINALIZER,
  withFinalizer,
  withoutFinalizer,
} from './plan.ts';

const BY_CLAIM = 'claim';

/** Lets go of a claim that is being deleted when no pod uses it any more. */
export class PvcProtectionController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #pods: Informer<Pod>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#claims = context.informers.informer(persistentVolumeClaims);
    const claimKeys = (pod: Pod): string[] => claimNames(pod).map((name) => `${pod.metadata.namespace ?? ''}/${name}`);
    this.#pods = context.informers.informer(pods, { indexers: { [BY_CLAIM]: claimKeys } });
    this.#controller = new Controller({
      name: 'persistentvolumeclaim-protection',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = (claim: PersistentVolumeClaim): void => {
      if (planFinalizer(claim, PVC_FINALIZER) !== undefined) queue.add(keyOf(claim));
    };
    this.#claims.addHandlers({ added: enqueue, updated: enqueue });
    const podGone = (pod: Pod): void => {
      for (const key of claimKeys(pod)) queue.add(key);
    };
    this.#pods.addHandlers({
      updated: (pod, old) => {
        // Another pod of the same name: the end of the old one was not seen.
        if (pod.metadata.uid !== old.metadata.uid) podGone(old);
        if (isShutDown(pod)) podGone(pod);
      },
      deleted: podGone,
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const claim = this.#claims.get(namespace, name);
    const step = claim === undefined ? undefined : planFinalizer(claim, PVC_FINALIZER);
    if (claim === undefined || step === undefined) return;
    if (step === 'remove-if-unused' && (await this.#isUsed(claim, signal))) return;
    const change = step === 'add' ? withFinalizer : withoutFinalizer;
    try {
      await this.#context.client.update(persistentVolumeClaims, change(claim, PVC_FINALIZER), { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** The cache may lack a pod that is there: that there is none is asked of the server. */
  async #isUsed(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<boolean> {
    const uses = (pod: Pod): boolean => podUsesClaim(pod, claim);
    if (this.#pods.byIndex(BY_CLAIM, keyOf(claim)).some(uses)) return true;
    const { namespace = '' } = claim.metadata;
    const { items } = await listAll(this.#context.client, pods, { namespace, signal });
    return items.some(uses);
  }
}
