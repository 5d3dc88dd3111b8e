import { createHmac } from 'node:crypto';
import { configMaps, isNotFound, secrets, type ConfigMap, type Secret } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { planSignatures, TOKEN_TYPE, tokenOf, type BootstrapToken } from './plan.ts';

const NAMESPACE = 'kube-public';
const NAME = 'cluster-info';

/** Signs the kubeconfig of the ConfigMap `cluster-info` with bootstrap tokens, so that who has one can trust it. */
export class BootstrapSignerController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #secrets: Informer<Secret>;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#secrets = context.informers.informer(secrets, { fieldSelector: `type=${TOKEN_TYPE}` });
    this.#configMaps = context.informers.informer(configMaps, { fieldSelector: `metadata.name=${NAME}` });
    this.#controller = new Controller({
      name: 'bootstrapsigner',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (_key, { signal }) => await this.#reconcile(signal),
    });
    const enqueue = (): void => this.#controller.queue.add(NAME);
    const ofToken = (secret: Secret): void => {
      if (tokenOf(secret) !== undefined) enqueue();
    };
    const ofInfo = ({ metadata }: ConfigMap): void => {
      if (metadata.name === NAME && metadata.namespace === NAMESPACE) enqueue();
    };
    this.#secrets.addHandlers({ added: ofToken, updated: ofToken, deleted: ofToken });
    this.#configMaps.addHandlers({ added: ofInfo, updated: ofInfo });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    const present = this.#configMaps.get(NAMESPACE, NAME);
    if (present === undefined) return;
    const tokens = this.#secrets.list().flatMap((secret) => tokenOf(secret) ?? []);
    const wanted = planSignatures(present, tokens, clock.now(), detachedSignature);
    if (wanted === undefined) return;
    try {
      await client.update(configMaps, wanted, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** A JWS whose payload is left out (RFC 7515, appendix F). */
export function detachedSignature(content: string, { id, secret }: BootstrapToken): string {
  const header = Buffer.from(JSON.stringify({ alg: 'HS256', kid: id })).toString('base64url');
  const payload = Buffer.from(content).toString('base64url');
  return `${header}..${createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')}`;
}
