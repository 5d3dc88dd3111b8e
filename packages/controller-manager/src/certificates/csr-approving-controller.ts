import {
  certificateSigningRequests,
  formatTime,
  isNotFound,
  subjectAccessReviews,
  type CertificateSigningRequest,
  type SubjectAccessReview,
} from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isUndecided, recognize, signerNames, withCondition, type Recognition } from './plan.ts';
import { parseRequest } from './signing-request.ts';

/** Approves kubelets' requests for client certificates, for those whom RBAC lets have them. */
export class CsrApprovingController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #requests: Informer<CertificateSigningRequest>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#requests = context.informers.informer(certificateSigningRequests);
    this.#controller = new Controller({
      name: 'csrapproving',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (request: CertificateSigningRequest): void => {
      if (request.spec.signerName === signerNames.kubeletClient && isUndecided(request))
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
    const { client, clock } = this.#context;
    const request = this.#requests.get('', name);
    if (request === undefined || !isUndecided(request)) return;
    const recognized = recognize(request, (await parseRequest(request)).requested);
    for (const recognition of recognized) {
      if (!(await this.#mayHave(request, recognition, signal))) continue;
      const condition = { type: 'Approved', reason: 'AutoApproved', message: recognition.message } as const;
      const approved = withCondition(request, condition, formatTime(clock.now()));
      try {
        await client.update(certificateSigningRequests, approved, { subresource: 'approval', signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return;
    }
    // Asked again with backoff: it may be allowed later.
    if (recognized.length > 0)
      throw new Error(`recognized csr ${JSON.stringify(name)} but subject access review was not approved`);
  }

  async #mayHave(
    request: CertificateSigningRequest,
    { subresource }: Recognition,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { username = '', uid, groups, extra } = request.spec;
    const review: SubjectAccessReview = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      metadata: {},
      spec: {
        user: username,
        ...(uid === undefined ? {} : { uid }),
        ...(groups === undefined ? {} : { groups }),
        ...(extra === undefined ? {} : { extra }),
        resourceAttributes: {
          group: 'certificates.k8s.io',
          resource: 'certificatesigningrequests',
          verb: 'create',
          subresource,
          version: '*',
        },
      },
    };
    const { status } = await this.#context.client.create(subjectAccessReviews, review, { signal });
    return status?.allowed === true;
  }
}
