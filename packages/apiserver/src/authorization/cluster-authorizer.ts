import type { GroupResource } from '@naru/api';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import type { AuthorizationAttributes, Authorizer, Verdict } from './authorizer.ts';
import { NodeAuthorizer } from './node-authorizer.ts';
import { RbacAuthorizer } from './rbac-authorizer.ts';

/** What is decided here. */
export const localModes = ['Node', 'RBAC', 'AlwaysAllow', 'AlwaysDeny'] as const;
export type LocalMode = (typeof localModes)[number];

export interface AuthorizerOptions {
  /** Asked in this order, webhooks among them; default Node,RBAC. */
  readonly modes?: readonly (LocalMode | Authorizer)[];
}

/** An authorizer that must be told of the objects it decides from. */
export interface ObservingAuthorizer extends Authorizer, ObjectObserver {
  /** The RBAC rules, for rules reviews and escalation checks. */
  readonly rbac: RbacAuthorizer;
  /** Asks these from now on. */
  use(modes: readonly (LocalMode | Authorizer)[]): void;
}

/** system:masters first, then each mode in order: the first that has an opinion decides. */
export function createAuthorizer(options: AuthorizerOptions = {}): ObservingAuthorizer {
  return new ClusterAuthorizer(options.modes ?? ['Node', 'RBAC']);
}

class ClusterAuthorizer implements ObservingAuthorizer {
  readonly rbac = new RbacAuthorizer();
  readonly resources: readonly GroupResource[];
  readonly #node = new NodeAuthorizer(this.rbac);
  #authorizers: readonly Authorizer[] = [];
  #asks = false;

  constructor(modes: readonly (LocalMode | Authorizer)[]) {
    this.resources = [...this.rbac.resources, ...this.#node.resources];
    this.use(modes);
  }

  use(modes: readonly (LocalMode | Authorizer)[]): void {
    const byMode: Readonly<Record<LocalMode, Authorizer>> = {
      Node: this.#node,
      RBAC: this.rbac,
      AlwaysAllow: { authorize: () => ({ decision: 'allow', reason: '' }) },
      AlwaysDeny: { authorize: () => ({ decision: 'no-opinion', reason: 'Everything is forbidden.' }) },
    };
    this.#authorizers = modes.map((mode) => (typeof mode === 'string' ? byMode[mode] : mode));
    this.#asks = this.#authorizers.some((each) => each.decide !== undefined);
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
