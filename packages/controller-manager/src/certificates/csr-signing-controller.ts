import { certificateSigningRequests, formatTime, isNotFound, type CertificateSigningRequest } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import type { CertificateSigner } from './certificate-signer.ts';
import { awaitsSignature, durationMs, signerRefusal, validity, withCondition } from './plan.ts';
import { parseRequest } from './signing-request.ts';

export interface SigningOptions {
  /** PEM texts of the authorities by the name of the signer. */
  readonly signers: ReadonlyMap<string, { readonly cert: string; readonly key: string }>;
  /** How long a certificate is good at most. */
  readonly durationMs: number;
}

/** Issues the certificates of approved requests to the built-in signers. */
export class CsrSigningController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #options: SigningOptions;
  readonly #signers = new Map<string, Promise<CertificateSigner>>();
  readonly #requests: Informer<CertificateSigningRequest>;
  readonly #controller: Controller;

  constructor(context: ControllerContext, options: SigningOptions) {
    this.#context = context;
    this.#options = options;
    this.#requests = context.informers.informer(certificateSigningRequests);
    this.#controller = new Controller({
      name: 'csrsigning',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (request: CertificateSigningRequest): void => {
      if (options.signers.has(request.spec.signerName) && awaitsSignature(request))
        this.#controller.queue.add(request.metadata.name ?? '');
    };
    this.#requests.addHandlers({ added: enqueue, updated: enqueue });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const request = this.#requests.get('', name);
    if (request === undefined || !awaitsSignature(request)) return;
    const { usages = [], signerName } = request.spec;
    const asked = await parseRequest(request);
    const signer = await this.#signerOf(signerName);
    const refusal = (await asked.isSigned())
      ? signerRefusal(signerName, asked.requested, usages)
      : 'unable to verify certificate request signature';
    const { client, clock } = this.#context;
    let changed: CertificateSigningRequest;
    if (refusal === undefined) {
      const lasting = durationMs(request, this.#options.durationMs);
      const pem = await signer.sign(asked, usages, validity(lasting, clock.now(), signer.endMs));
      changed = { ...request, status: { ...request.status, certificate: Buffer.from(pem).toString('base64') } };
    } else {
      const condition = { type: 'Failed', reason: 'SignerValidationFailure', message: refusal } as const;
      changed = withCondition(request, condition, formatTime(clock.now()));
    }
    try {
      await client.update(certificateSigningRequests, changed, { subresource: 'status', signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #signerOf(signerName: string): Promise<CertificateSigner> {
    let signer = this.#signers.get(signerName);
    if (signer === undefined) {
      const pem = this.#options.signers.get(signerName);
      if (pem === undefined) throw new Error(`no signer ${signerName}`);
      signer = import('./certificate-signer.ts').then(
        async ({ CertificateSigner }) => await CertificateSigner.load(pem),
      );
      this.#signers.set(signerName, signer);
    }
    return await signer;
  }
}
