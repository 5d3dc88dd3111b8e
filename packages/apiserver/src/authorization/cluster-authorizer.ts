import type { GroupResource } from '@naru/api';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import type { AuthorizationAttributes, Authorizer, Verdict } from './authorizer.ts';
import { NodeAuthorizer } from './node-authorizer.ts';
import { RbacAuthorizer } from './rbac-authorizer.ts';
import type { WebhookAuthorizer } from './webhook-authorizer.ts';

export const authorizationModes = ['Node', 'RBAC', 'Webhook', 'AlwaysAllow', 'AlwaysDeny'] as const;
export type AuthorizationMode = (typeof authorizationModes)[number];

export interface AuthorizerOptions {
  /** `--authorization-mode`, asked in this order; default Node,RBAC. */
  readonly modes?: readonly AuthorizationMode[];
  /** For the mode Webhook. */
  readonly webhook?: WebhookAuthorizer | undefined;
}

/** An authorizer that must be told of the objects it decides from. */
export interface ObservingAuthorizer extends Authorizer, ObjectObserver {
  /** The RBAC rules, for rules reviews and escalation checks. */
  readonly rbac: RbacAuthorizer;
}

/** system:masters first, then each mode in order: the first that has an opinion decides. */
export function createAuthorizer(options: AuthorizerOptions = {}): ObservingAuthorizer {
  return new ClusterAuthorizer(options.modes ?? ['Node', 'RBAC'], options.webhook);
}

class ClusterAuthorizer implements ObservingAuthorizer {
  readonly rbac = new RbacAuthorizer();
  readonly resources: readonly GroupResource[];
  readonly #node = new NodeAuthorizer(this.rbac);
  readonly #authorizers: readonly Authorizer[];
  readonly #asks: boolean;

  constructor(modes: readonly AuthorizationMode[], webhook: WebhookAuthorizer | undefined) {
    const byMode: Readonly<Record<AuthorizationMode, Authorizer>> = {
      Node: this.#node,
      RBAC: this.rbac,
      // From memory, it is not known what another service says.
      Webhook: {
        authorize: () => ({ decision: 'no-opinion', reason: '' }),
        ...(webhook === undefined ? {} : { decide: async (attributes) => await webhook.decide(attributes) }),
      },
      AlwaysAllow: { authorize: () => ({ decision: 'allow', reason: '' }) },
      AlwaysDeny: { authorize: () => ({ decision: 'no-opinion', reason: 'Everything is forbidden.' }) },
    };
    this.#authorizers = modes.map((mode) => byMode[mode]);
    this.#asks = modes.includes('Webhook');
    this.resources = [...this.rbac.resources, ...this.#node.resources];
  }

  observe(change: ObjectChange): void {
    if (change.resource.group === 'rbac.authorization.k8s.io') this.rbac.observe(change);
    else this.#node.observe(change);
  }

  authorize(attributes: AuthorizationAttributes): Verdict {
    if (attributes.user.groups.includes('system:masters')) return { decision: 'allow', reason: '' };
    const reasons: string[] = [];
    for (const authorizer of this.#authorizers) {
      const result = authorizer.authorize(attributes);
      if (result.decision !== 'no-opinion') return result;
      if (result.reason !== '') reasons.push(result.reason);
    }
    return { decision: 'no-opinion', reason: reasons.join('\n') };
  }

  decide(attributes: AuthorizationAttributes): Verdict | Promise<Verdict> {
    return this.#asks ? this.#ask(attributes) : this.authorize(attributes);
  }

  async #ask(attributes: AuthorizationAttributes): Promise<Verdict> {
    if (attributes.user.groups.includes('system:masters')) return { decision: 'allow', reason: '' };
    const reasons: string[] = [];
    for (const authorizer of this.#authorizers) {
      const result = await (authorizer.decide?.(attributes) ?? authorizer.authorize(attributes));
      if (result.decision !== 'no-opinion') return result;
      if (result.reason !== '') reasons.push(result.reason);
    }
    return { decision: 'no-opinion', reason: reasons.join('\n') };
  }
}
