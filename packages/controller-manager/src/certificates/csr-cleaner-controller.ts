import { certificateSigningRequests, isConflict, isNotFound, type CertificateSigningRequest } from '@naru/api';
import { Controller, type Informer, type ReconcileResult } from '@naru/client';
import { X509Certificate } from 'node:crypto';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { deletionMs } from './plan.ts';
import { pemOf } from './signing-request.ts';

/** Deletes requests that are over: denied, failed, issued, or never decided. */
export class CsrCleanerController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #requests: Informer<CertificateSigningRequest>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#requests = context.informers.informer(certificateSigningRequests);
    this.#controller = new Controller({
      name: 'csrcleaner',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = ({ metadata }: CertificateSigningRequest): void => this.#controller.queue.add(metadata.name ?? '');
    this.#requests.addHandlers({ added: enqueue, updated: enqueue });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const request = this.#requests.get('', name);
    if (request === undefined) return {};
    const leftMs = deletionMs(request, certificateEndMs(request)) - clock.now();
    if (!Number.isFinite(leftMs)) return {};
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const preconditions = {
      uid: request.metadata.uid ?? '',
      resourceVersion: request.metadata.resourceVersion ?? '',
    };
    try {
      await client.delete(certificateSigningRequests, name, { signal, body: { preconditions } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    return {};
  }
}

function certificateEndMs({ status }: CertificateSigningRequest): number | undefined {
  const pem = pemOf(status?.certificate);
  if (pem === '') return undefined;
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch {
    // Another signer's affair; its request is deleted an hour after it was decided.
    return undefined;
  }
}
