import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  cloneJson,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  type JsonObject,
} from '@naru/api';
import { CelError } from '../../cel/cel-program.ts';
import { fromCel, toCel } from '../../cel/cel-values.ts';
import { withoutMessages } from '../../cel/message-literals.ts';
import type { AdmissionAttributes, AdmissionStore } from '../admission.ts';
import { refuse } from '../refusal.ts';
import { imageOf, type DynamicMutation } from '../reinvocation.ts';
import { acceptObject } from '../webhooks/accept-object.ts';
import { acceptVersioned } from '../webhooks/versioned-attributes.ts';
import { isExempt } from '../webhooks/match-resources.ts';
import { applications, evaluate, type Application, type PolicyOptions } from './policy-evaluation.ts';
import { PolicySource, type CompiledPolicy, type PolicySpec } from './policy-source.ts';

interface Mutation {
  readonly patchType?: string;
  readonly applyConfiguration?: { readonly expression?: string };
  readonly jsonPatch?: { readonly expression?: string };
}

interface MutatingPolicySpec extends PolicySpec {
  readonly reinvocationPolicy?: string;
  readonly mutations?: readonly Mutation[];
}

/** Changes objects as MutatingAdmissionPolicies say. */
export function mutatingPolicies({ authorizer }: PolicyOptions): DynamicMutation {
  const source = new PolicySource<MutatingPolicySpec>(
    mutatingAdmissionPolicies,
    mutatingAdmissionPolicyBindings,
    withoutMessages,
  );
  return {
    name: 'MutatingAdmissionPolicy',
    handles: (operation, resource) => operation !== 'DELETE' && !isExempt(resource),
    async begin(attributes, store) {
      const policies = attributes.object === undefined ? [] : source.list(store);
      const rounds = policies.map((policy) => new PolicyRound(policy, attributes, { store, authorizer }));
      let changed = false;
      for (const round of rounds) changed = (await round.run(() => true)) || changed;
      return {
        changed,
        async again() {
          for (const round of rounds) await round.runAgain();
        },
      };
    },
  };
}

/** What one policy does to one request. */
class PolicyRound {
  readonly #policy: CompiledPolicy<MutatingPolicySpec>;
  readonly #attributes: AdmissionAttributes;
  readonly #options: PolicyOptions & { readonly store: AdmissionStore };
  /** The object as each application of the policy left it. */
  readonly #left = new Map<string, string>();

  constructor(
    policy: CompiledPolicy<MutatingPolicySpec>,
    attributes: AdmissionAttributes,
    options: PolicyOptions & { readonly store: AdmissionStore },
  ) {
    this.#policy = policy;
    this.#attributes = attributes;
    this.#options = options;
  }

  /** Whether it changed the object. @throws StatusError where it cannot, and its failurePolicy says so. */
  async run(isDue: (key: string) => boolean): Promise<boolean> {
    let changed = false;
    for await (const application of applications(this.#policy, this.#attributes, this.#options)) {
      try {
        if ('failure' in application) throw application.failure;
        if (isDue(application.key)) changed = (await this.#apply(application)) || changed;
      } catch (error) {
        if (this.#policy.spec.failurePolicy === 'Ignore') continue;
        const why = error instanceof Error ? error.message : String(error);
        const { name } = application.binding;
        throw refuse(this.#attributes, `policy '${this.#policy.name}' with binding '${name}' denied request: ${why}`);
      }
    }
    return changed;
  }

  async runAgain(): Promise<void> {
    if (this.#left.size === 0 || this.#policy.spec.reinvocationPolicy !== 'IfNeeded') return;
    const isChanged = (key: string): boolean =>
      this.#left.has(key) && this.#left.get(key) !== imageOf(this.#attributes);
    await this.run(isChanged);
  }

  async #apply({ key, versioned, variables, budget }: Application): Promise<boolean> {
    const before = imageOf(this.#attributes);
    for (const mutation of this.#policy.spec.mutations ?? []) {
      const expression = mutation.applyConfiguration?.expression ?? mutation.jsonPatch?.expression ?? '';
      // Earlier mutations are seen by later ones.
      const current = { ...variables, object: currentObject(versioned) };
      const program = this.#policy.program(expression);
      mutate(versioned, mutation, fromCel(evaluate(program, { variables: current, budget })));
    }
    await acceptVersioned(this.#attributes, versioned);
    const after = imageOf(this.#attributes);
    this.#left.set(key, after);
    return before !== after;
  }
}

function currentObject({ object }: AdmissionAttributes): unknown {
  return object === undefined ? null : toCel(object);
}

function mutate(attributes: AdmissionAttributes, { patchType }: Mutation, patch: unknown): void {
  const { object, resource } = attributes;
  if (object === undefined) return;
  const document = cloneJson(object) as unknown as JsonObject;
  if (patchType === 'JSONPatch') {
    acceptObject(attributes, applyJsonPatch(document, patch));
    return;
  }
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
    throw new CelError('applyConfiguration must come to an object');
  const { kind: _kind, apiVersion: _apiVersion, ...fields } = patch as JsonObject;
  acceptObject(
    attributes,
    resource.schema === undefined
      ? applyStrategicMergePatch(document, fields, resource.model)
      : applyMergePatch(document, fields),
  );
}
