import { isNotFound, persistentVolumes, type PersistentVolume } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isVolumeBound, planFinalizer, PV_FINALIZER, withFinalizer, withoutFinalizer } from './plan.ts';

/** Lets go of a volume that is being deleted when no claim is bound to it any more. */
export class PvProtectionController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#volumes = context.informers.informer(persistentVolumes);
    this.#controller = new Controller({
      name: 'persistentvolume-protection',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (name, { signal }) => await this.#reconcile(name, signal),
    });
    const enqueue = (volume: PersistentVolume): void => {
      if (planFinalizer(volume, PV_FINALIZER) !== undefined) this.#controller.queue.add(volume.metadata.name ?? '');
    };
    this.#volumes.addHandlers({ added: enqueue, updated: enqueue });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const volume = this.#volumes.get('', name);
    const step = volume === undefined ? undefined : planFinalizer(volume, PV_FINALIZER);
    if (volume === undefined || step === undefined) return;
    if (step === 'remove-if-unused' && isVolumeBound(volume)) return;
    const change = step === 'add' ? withFinalizer : withoutFinalizer;
    try {
      await this.#context.client.update(persistentVolumes, change(volume, PV_FINALIZER), { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
