/**
 * Warnings about a ValidatingAdmissionPolicy: what its expressions do wrong with the kinds that it is about
 * (k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go). They change nothing of what the policy does.
 */
import type { Environment } from '@marcbachmann/cel-js';
import { celEnvironment } from '../../cel/cel-environment.ts';
import { DeclaredTypes, type KindSchema } from '../../cel/declared-types.ts';
import { checkTypes } from '../../cel/type-issue.ts';
import type { ParamKind } from './params.ts';
import type { ValidatingPolicySpec } from './validating-policies.ts';

/** A kind that can be looked into. */
export interface KnownKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: KindSchema;
}

export interface KindFinder {
  ofResource(group: string, version: string, resource: string): KnownKind | undefined;
  ofParam(kind: ParamKind): KnownKind | undefined;
}

export interface ExpressionWarning {
  readonly fieldRef: string;
  readonly warning: string;
}

/** A policy is checked with so many of its kinds; upstream counts them for each rule. */
const KINDS_MAX = 10;

export function typeWarnings(spec: ValidatingPolicySpec, finder: KindFinder): ExpressionWarning[] {
  const kinds = kindsOf(spec, finder);
  const params = spec.paramKind === undefined ? undefined : finder.ofParam(spec.paramKind);
  const checks = kinds.map((kind) => ({ kind, check: checkerOf(spec, kind, params) }));
  const warningOf = (fieldRef: string, expression: string | undefined): ExpressionWarning[] => {
    if (expression === undefined || expression === '') return [];
    const issues = checks.flatMap(({ kind: { group, version, kind }, check }) => {
      const issue = check(expression);
      return issue === undefined ? [] : [`${group}/${version}, Kind=${kind}: ${issue}\n`];
    });
    return issues.length === 0 ? [] : [{ fieldRef, warning: issues.join('\n') }];
  };
  return (spec.validations ?? []).flatMap(({ expression, messageExpression }, i) => [
    ...warningOf(`spec.validations[${i}].expression`, expression),
    ...warningOf(`spec.validations[${i}].messageExpression`, messageExpression),
  ]);
}

/** Tells what is wrong with an expression about objects of a kind. */
function checkerOf(
  { variables = [] }: ValidatingPolicySpec,
  kind: KnownKind,
  params: KnownKind | undefined,
): (expression: string) => string | undefined {
  const environment = celEnvironment(['request', 'namespaceObject', 'authorizer']);
  const types = new DeclaredTypes(environment);
  const object = types.ofKind(kind.schema, `Object.${kind.kind}`);
  environment.registerVariable('object', object).registerVariable('oldObject', object);
  environment.registerVariable(
    'params',
    params === undefined ? 'dyn' : types.ofKind(params.schema, `Params.${params.kind}`),
  );
  // Variables see those before them.
  const fields: Record<string, string> = {};
  const withVariables = (): Environment => {
    const inner = environment.clone();
    const name = new DeclaredTypes(inner).ofFields('Variables', fields);
    return inner.registerVariable('variables', name);
  };
  for (const { name, expression } of variables) {
    const checked = checkTypes(withVariables(), expression);
    fields[name] = 'type' in checked ? namedType(environment, checked.type) : 'dyn';
  }
  const composed = withVariables();
  return (expression) => {
    const checked = checkTypes(composed, expression);
    return 'issue' in checked ? checked.issue : undefined;
  };
}

/** The type as it can be registered; that of some expressions cannot. */
function namedType(environment: Environment, type: string): string {
  // Lists and maps of anything have a short name when they are told of.
  const name = type === 'list' ? 'list<dyn>' : type === 'map' ? 'map<dyn, dyn>' : type;
  try {
    environment.clone().registerVariable('probe', name);
    return name;
  } catch {
    return 'dyn';
  }
}

/** The kinds that the policy names: none of a rule with a wildcard for groups or versions. */
function kindsOf({ matchConstraints }: ValidatingPolicySpec, finder: KindFinder): readonly KnownKind[] {
  const found = new Map<string, KnownKind>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of matchConstraints?.resourceRules ?? []) {
    if ([...apiGroups, ...apiVersions].some((each) => each.includes('*'))) continue;
    const kinds = apiGroups.toSorted().flatMap((group) =>
      apiVersions.toSorted().flatMap((version) =>
        resources
          .filter((each) => !/[*/]/u.test(each))
          .toSorted()
          .flatMap((resource) => finder.ofResource(group, version, resource) ?? []),
      ),
    );
    for (const kind of kinds) if (found.size < KINDS_MAX) found.set(`${kind.group} ${kind.version} ${kind.kind}`, kind);
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind);
}
