import { CelError } from '../../cel/cel-program.ts';
import { toCel } from '../../cel/cel-values.ts';
import { CostBudget } from '../../cel/cost-meter.ts';
import { REQUEST_COST_MAX } from '../../cel/cost-model.ts';
import type { Authorizer } from '../../authorization/authorizer.ts';
import type { AdmissionAttributes, AdmissionStore } from '../admission.ts';
import { conditionsHold } from '../webhooks/match-conditions.ts';
import { matchedResource } from '../webhooks/match-resources.ts';
import { inVersion } from '../webhooks/versioned-attributes.ts';
import { requestVariables } from '../webhooks/webhook-call.ts';
import { paramsOf } from './params.ts';
import type { CompiledBinding, CompiledPolicy, PolicySpec, Program } from './policy-source.ts';

export interface PolicyOptions {
  readonly authorizer: Authorizer | undefined;
}

/** One application of a policy to a request: a binding and one of its parameters. */
export interface Application {
  readonly binding: CompiledBinding;
  /** Tells the applications of a policy to a request apart. */
  readonly key: string;
  /** The request in the version that the policy names. */
  readonly versioned: AdmissionAttributes;
  /** The variables of the policy's expressions. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** What its expressions may cost together, those of its variables included. */
  readonly budget: CostBudget;
}

/** Why a policy could not be applied; its failurePolicy says what that means. */
export interface ApplicationFailure {
  readonly binding: CompiledBinding;
  readonly failure: CelError;
}

/** Value of a program. @throws CelError. */
export function evaluate(program: Program, { variables, budget }: Pick<Application, 'variables' | 'budget'>): unknown {
  if (program instanceof CelError) throw program;
  return program.evaluate(variables, budget);
}

/** How a policy is to be applied to a request: once for each binding that matches and each of its parameters. */
export async function* applications<Spec extends PolicySpec>(
  policy: CompiledPolicy<Spec>,
  attributes: AdmissionAttributes,
  { store, authorizer }: { readonly store: AdmissionStore; readonly authorizer: Authorizer | undefined },
): AsyncGenerator<Application | ApplicationFailure, void, undefined> {
  const matched = matchedResource(policy.criteria, attributes, store);
  if (matched === undefined) return;
  const versioned = await inVersion(attributes, matched);
  for (const binding of policy.bindings) {
    const { criteria, spec } = binding;
    if (criteria !== undefined && matchedResource(criteria, attributes, store) === undefined) continue;
    const { namespace } = attributes;
    let params: Awaited<ReturnType<typeof paramsOf>>;
    try {
      params = await paramsOf(policy.spec.paramKind, spec.paramRef, { store, namespace });
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      yield { binding, failure: new CelError(`failed to configure binding: ${error.message}`) };
      continue;
    }
    try {
      for (const param of params) {
        const base = requestVariables(versioned, { authorizer, store });
        const budget = new CostBudget(REQUEST_COST_MAX);
        const variables = withVariables(policy, { ...base, params: toCel(param) }, budget);
        if (!conditionsHold(policy.conditions, () => variables)) continue;
        const { namespace: paramNamespace = '', name = '' } = param?.metadata ?? {};
        yield { binding, key: `${binding.name} ${paramNamespace}/${name}`, versioned, variables, budget };
      }
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      yield { binding, failure: error };
    }
  }
}

/** Adds `variables`, whose values are computed when they are first asked for. */
function withVariables<Spec extends PolicySpec>(
  policy: CompiledPolicy<Spec>,
  base: Readonly<Record<string, unknown>>,
  budget: CostBudget,
): Record<string, unknown> {
  const composed: Record<string, unknown> = {};
  const variables = { ...base, variables: composed };
  for (const [name, program] of policy.variables)
    Object.defineProperty(composed, name, {
      enumerable: true,
      configurable: true,
      get: () => {
        const value = evaluate(program, { variables, budget });
        Object.defineProperty(composed, name, { value, enumerable: true });
        return value;
      },
    });
  return variables;
}
