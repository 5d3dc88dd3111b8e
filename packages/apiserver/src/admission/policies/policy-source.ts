/** Policies with their bindings, compiled anew when one of them changes. */
import type { KubeObject, LabelSelector, Resource } from '@naru/api';
import { celEnvironment } from '../../cel/cel-environment.ts';
import { CelError, compileCel, type CelProgram } from '../../cel/cel-program.ts';
import type { AdmissionStore } from '../admission.ts';
import {
  compileConditions,
  conditionVariables,
  type CompiledCondition,
  type MatchCondition,
} from '../webhooks/match-conditions.ts';
import type { MatchCriteria, Rule } from '../webhooks/match-resources.ts';
import type { ParamKind, ParamRef } from './params.ts';

export interface MatchResources {
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly resourceRules?: readonly Rule[];
  readonly excludeResourceRules?: readonly Rule[];
  readonly matchPolicy?: string;
}

/** What validating and mutating policies have in common. */
export interface PolicySpec {
  readonly paramKind?: ParamKind;
  readonly matchConstraints?: MatchResources;
  readonly matchConditions?: readonly MatchCondition[];
  readonly failurePolicy?: string;
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
}

export interface BindingSpec {
  readonly policyName?: string;
  readonly paramRef?: ParamRef;
  readonly matchResources?: MatchResources;
  readonly validationActions?: readonly string[];
}

/** An expression, or what is wrong with it. */
export type Program = CelProgram | CelError;

export interface CompiledPolicy<Spec extends PolicySpec> {
  readonly name: string;
  readonly spec: Spec;
  readonly criteria: MatchCriteria;
  readonly conditions: readonly CompiledCondition[];
  readonly variables: ReadonlyMap<string, Program>;
  readonly bindings: readonly CompiledBinding[];
  /** By expression. */
  program(expression: string): Program;
}

export interface CompiledBinding {
  readonly name: string;
  readonly spec: BindingSpec;
  /** Undefined: all that the policy is about. */
  readonly criteria: MatchCriteria | undefined;
}

export function criteriaOf(match: MatchResources | undefined): MatchCriteria {
  return {
    rules: match?.resourceRules ?? [],
    excludeRules: match?.excludeResourceRules ?? [],
    matchPolicy: match?.matchPolicy,
    namespaceSelector: match?.namespaceSelector,
    objectSelector: match?.objectSelector,
  };
}

/** A binding without rules is about all that its policy is about, as far as its selectors match. */
const everything: Rule = { apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'], scope: '*' };

function bindingCriteria(match: MatchResources | undefined): MatchCriteria | undefined {
  if (match === undefined) return undefined;
  const criteria = criteriaOf(match);
  return criteria.rules.length === 0 ? { ...criteria, rules: [everything] } : criteria;
}

type Policy = KubeObject & { readonly spec?: unknown };

export class PolicySource<Spec extends PolicySpec> {
  readonly #policies: Resource;
  readonly #bindings: Resource;
  readonly #rewrite: (expression: string) => string;
  #revisions = '';
  #compiled: readonly CompiledPolicy<Spec>[] = [];

  /** `rewrite` makes an expression of the policy's main part one that can be evaluated. */
  constructor(policies: Resource, bindings: Resource, rewrite: (expression: string) => string = (each) => each) {
    this.#policies = policies;
    this.#bindings = bindings;
    this.#rewrite = rewrite;
  }

  list(store: AdmissionStore): readonly CompiledPolicy<Spec>[] {
    const revisions = `${store.changedRevision(this.#policies)} ${store.changedRevision(this.#bindings)}`;
    if (revisions === this.#revisions) return this.#compiled;
    const bindings = store.list(this.#bindings).map((each: Policy) => ({
      name: each.metadata.name ?? '',
      spec: (each.spec ?? {}) as BindingSpec,
    }));
    this.#compiled = store.list(this.#policies).flatMap((policy: Policy) => {
      const name = policy.metadata.name ?? '';
      const own = bindings.filter(({ spec }) => spec.policyName === name);
      return own.length === 0 ? [] : [this.#compile(name, policy.spec as Spec, own)];
    });
    this.#revisions = revisions;
    return this.#compiled;
  }

  #compile(
    name: string,
    spec: Spec,
    bindings: readonly { readonly name: string; readonly spec: BindingSpec }[],
  ): CompiledPolicy<Spec> {
    const environment = celEnvironment([...conditionVariables, 'variables']);
    const programs = new Map<string, Program>();
    const program = (expression: string): Program => {
      let made = programs.get(expression);
      if (made === undefined) {
        made = tryCompile(() => compileCel(environment, this.#rewrite(expression)));
        programs.set(expression, made);
      }
      return made;
    };
    return {
      name,
      spec,
      criteria: criteriaOf(spec.matchConstraints),
      conditions: compileConditions(spec.matchConditions),
      variables: new Map((spec.variables ?? []).map((each) => [each.name, program(each.expression)])),
      bindings: bindings.map((each) => ({ ...each, criteria: bindingCriteria(each.spec.matchResources) })),
      program,
    };
  }
}

function tryCompile(compile: () => CelProgram): Program {
  try {
    return compile();
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
}
