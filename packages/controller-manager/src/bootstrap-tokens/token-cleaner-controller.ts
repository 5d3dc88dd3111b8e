import { isConflict, isNotFound, keyOf, secrets, splitKey, type Secret } from '@naru/api';
import { Controller, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { TOKEN_TYPE, tokenOf } from './plan.ts';

/** Deletes bootstrap tokens that have expired. */
export class TokenCleanerController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #secrets: Informer<Secret>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#secrets = context.informers.informer(secrets, { fieldSelector: `type=${TOKEN_TYPE}` });
    this.#controller = new Controller({
      name: 'tokencleaner',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (secret: Secret): void => {
      if (tokenOf(secret) !== undefined) this.#controller.queue.add(keyOf(secret));
    };
    this.#secrets.addHandlers({ added: enqueue, updated: enqueue });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const secret = this.#secrets.get(namespace, name);
    const token = secret === undefined ? undefined : tokenOf(secret);
    if (secret === undefined || token === undefined || Number.isNaN(token.expirationMs)) return {};
    const leftMs = token.expirationMs - clock.now();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const preconditions = {
      uid: secret.metadata.uid ?? '',
      resourceVersion: secret.metadata.resourceVersion ?? '',
    };
    try {
      await client.delete(secrets, name, { namespace, signal, body: { preconditions } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    return {};
  }
}
