import type { KeyObject } from 'node:crypto';
import { generateName, isNotFound, secrets, serviceAccounts, type Secret, type ServiceAccount } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import { signJwt } from '@naru/component';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import {
  ACCOUNT_NAME,
  isTokenOf,
  newTokenSecret,
  planTokenSecret,
  SERVICE_ACCOUNT_TOKEN_TYPE,
  withToken,
} from './token-plan.ts';

/**
 * Fills Secrets of type kubernetes.io/service-account-token, and deletes those whose ServiceAccount is gone. Where the feature
 * gate LegacyServiceAccountTokenNoAutoGeneration is off, each ServiceAccount gets one.
 */
export class TokensController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #key: KeyObject;
  readonly #accounts: Informer<ServiceAccount>;
  readonly #secrets: Informer<Secret>;
  readonly #secretController: Controller;
  readonly #accountController: Controller;

  constructor(context: ControllerContext, key: KeyObject) {
    this.#context = context;
    this.#key = key;
    this.#accounts = context.informers.informer(serviceAccounts);
    this.#secrets = context.informers.informer(secrets, { fieldSelector: `type=${SERVICE_ACCOUNT_TOKEN_TYPE}` });
    const { clock, logger, options } = context;
    const workers = options.concurrentSyncs.serviceAccount;
    this.#secretController = new Controller({
      name: 'serviceaccount-token',
      workers,
      clock,
      logger,
      reconcile: async (key, { signal }) => await this.#reconcileSecret(key, signal),
    });
    this.#accountController = new Controller({
      name: 'serviceaccount-legacy-token',
      workers,
      clock,
      logger,
      reconcile: async (key, { signal }) => await this.#reconcileAccount(key, signal),
    });
    const changed = (secret: Secret): void => this.#secretController.queue.add(keyOf(secret));
    this.#secrets.addHandlers({ added: changed, updated: changed });
    const accountChanged = (account: ServiceAccount): void => {
      for (const secret of this.#secrets.list(account.metadata.namespace))
        if (secret.metadata.annotations?.[ACCOUNT_NAME] === account.metadata.name) changed(secret);
      if (options.legacyServiceAccountTokens) this.#accountController.queue.add(keyOf(account));
    };
    this.#accounts.addHandlers({ added: accountChanged, updated: accountChanged, deleted: accountChanged });
  }

  start(signal: AbortSignal): void {
    this.#secretController.start(signal);
    this.#accountController.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#secretController[Symbol.asyncDispose]();
    await this.#accountController[Symbol.asyncDispose]();
  }

  async #reconcileSecret(key: string, signal: AbortSignal): Promise<void> {
    const { client, options } = this.#context;
    const [namespace = '', name = ''] = key.split('/');
    const secret = this.#secrets.get(namespace, name);
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return;
    const accountName = secret.metadata.annotations?.[ACCOUNT_NAME] ?? '';
    let account = this.#accounts.get(namespace, accountName);
    try {
      // What the cache does not know may just be new.
      account ??= await client.get(serviceAccounts, accountName, { namespace, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    const plan = planTokenSecret(secret, account, options.rootCa);
    try {
      if (plan.type === 'delete') {
        const { uid = '' } = secret.metadata;
        await client.delete(secrets, name, { namespace, signal, body: { preconditions: { uid } } });
      } else if (plan.type === 'fill') {
        const { claims } = plan;
        const filled = claims === undefined ? plan.secret : withToken(plan.secret, signJwt(claims, this.#key));
        await client.update(secrets, filled, { signal });
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Gives an account a Secret that it refers to. */
  async #reconcileAccount(key: string, signal: AbortSignal): Promise<void> {
    const { client, random } = this.#context;
    const [namespace = '', name = ''] = key.split('/');
    const account = this.#accounts.get(namespace, name);
    if (account === undefined || account.metadata.deletionTimestamp !== undefined) return;
    const own = this.#secrets.list(namespace).filter((secret) => isTokenOf(secret, account));
    const referred = (account.secrets ?? []).map((each) => each.name);
    if (own.some((secret) => referred.includes(secret.metadata.name))) return;
    try {
      let secretName = own[0]?.metadata.name;
      if (secretName === undefined) {
        secretName = generateName(`${name}-token-`, random);
        await client.create(secrets, newTokenSecret(account, secretName), { signal });
      }
      const references = [...(account.secrets ?? []), { name: secretName }];
      await client.update(serviceAccounts, { ...account, secrets: references }, { signal });
    } catch (error) {
      if (!isNotFound(error) && !isNamespaceTerminating(error)) throw error;
    }
  }
}

function keyOf({ metadata }: Secret | ServiceAccount): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}
