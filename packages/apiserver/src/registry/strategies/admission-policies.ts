/** ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings. */
import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type FieldError,
  type LabelSelector,
  type UnstructuredObject,
} from '@naru/api';
import { celEnvironment } from '../../cel/cel-environment.ts';
import { CelError, compileCel } from '../../cel/cel-program.ts';
import { withoutMessages } from '../../cel/message-literals.ts';
import type { Strategy } from '../strategy.ts';
import { optionalOneOf, required } from './field-rules.ts';

interface MatchResources {
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  resourceRules?: { scope?: string }[];
  excludeResourceRules?: { scope?: string }[];
}

interface NamedExpression {
  name?: string;
  expression?: string;
}

interface PolicySpec {
  paramKind?: { apiVersion?: string; kind?: string };
  failurePolicy?: string;
  reinvocationPolicy?: string;
  matchConstraints?: MatchResources;
  matchConditions?: NamedExpression[];
  variables?: NamedExpression[];
  validations?: { expression?: string; messageExpression?: string; reason?: string }[];
  auditAnnotations?: { key?: string; valueExpression?: string }[];
  mutations?: {
    patchType?: string;
    applyConfiguration?: { expression?: string };
    jsonPatch?: { expression?: string };
  }[];
}

const reasons = ['Unauthorized', 'Forbidden', 'Invalid', 'RequestEntityTooLarge'];
const conditionVariables = ['object', 'oldObject', 'request', 'authorizer', 'namespaceObject', 'params'];

function setMatchDefaults(match: MatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= '*';
}

const specOf = (object: UnstructuredObject): unknown => object['spec'] ?? {};

function policyStrategy(isMutating: boolean): Strategy {
  return {
    ...(isMutating ? {} : { resetFields: { status: ['spec', 'metadata'] } }),
    applyDefaults(object) {
      const spec = specOf(object) as PolicySpec;
      spec.failurePolicy ??= 'Fail';
      if (isMutating) spec.reinvocationPolicy ??= 'Never';
      setMatchDefaults(spec.matchConstraints);
    },
    validate(object) {
      const spec = specOf(object) as PolicySpec;
      const errors: FieldError[] = optionalOneOf('spec.failurePolicy', spec.failurePolicy, ['Fail', 'Ignore']);
      if (spec.matchConstraints === undefined) errors.push(fieldRequired('spec.matchConstraints'));
      else if ((spec.matchConstraints.resourceRules ?? []).length === 0)
        errors.push(fieldRequired('spec.matchConstraints.resourceRules'));
      errors.push(...validateExpressions(spec), ...(isMutating ? mutationErrors(spec) : validationErrors(spec)));
      return errors;
    },
  };
}

/** `composed`: the expression may use the policy's variables. */
function expressionErrors(
  path: string,
  expression: string | undefined,
  { composed, type }: { readonly composed: boolean; readonly type?: string },
): FieldError[] {
  if (expression === undefined || expression.trim() === '')
    return [fieldRequired(path, `${path.split('.').at(-1) ?? ''} is not specified`)];
  try {
    const variables = composed ? [...conditionVariables, 'variables'] : conditionVariables;
    compileCel(celEnvironment(variables), withoutMessages(expression), type);
    return [];
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    return [fieldInvalid(path, expression, `compilation failed: ${error.message}`)];
  }
}

function validateExpressions({ matchConditions = [], variables = [] }: PolicySpec): FieldError[] {
  return [
    ...matchConditions.flatMap(({ name, expression }, i) => [
      ...required(`spec.matchConditions[${i}].name`, name ?? ''),
      ...expressionErrors(`spec.matchConditions[${i}].expression`, expression, { composed: false, type: 'bool' }),
    ]),
    ...variables.flatMap(({ name = '', expression }, i) => [
      ...(/^[A-Za-z_]\w*$/u.test(name)
        ? []
        : [fieldInvalid(`spec.variables[${i}].name`, name, 'name is not a valid CEL identifier')]),
      ...expressionErrors(`spec.variables[${i}].expression`, expression, { composed: true }),
    ]),
  ];
}

function validationErrors({ validations = [], auditAnnotations = [] }: PolicySpec): FieldError[] {
  if (validations.length === 0 && auditAnnotations.length === 0)
    return [
      fieldRequired('spec.validations', 'validations or auditAnnotations must contain at least one item'),
      fieldRequired('spec.auditAnnotations', 'validations or auditAnnotations must contain at least one item'),
    ];
  return [
    ...validations.flatMap(({ expression, messageExpression, reason }, i) => {
      const path = `spec.validations[${i}]`;
      return [
        ...expressionErrors(`${path}.expression`, expression, { composed: true, type: 'bool' }),
        ...(messageExpression === undefined
          ? []
          : expressionErrors(`${path}.messageExpression`, messageExpression, { composed: true, type: 'string' })),
        ...(reason === undefined || reasons.includes(reason)
          ? []
          : [fieldNotSupported(`${path}.reason`, reason, reasons)]),
      ];
    }),
    ...auditAnnotations.flatMap(({ key, valueExpression }, i) => [
      ...required(`spec.auditAnnotations[${i}].key`, key ?? ''),
      ...expressionErrors(`spec.auditAnnotations[${i}].valueExpression`, valueExpression, { composed: true }),
    ]),
  ];
}

function mutationErrors({ mutations = [] }: PolicySpec): FieldError[] {
  if (mutations.length === 0) return [fieldRequired('spec.mutations', 'mutations must contain at least one item')];
  return mutations.flatMap(({ patchType = '', applyConfiguration, jsonPatch }, i) => {
    const path = `spec.mutations[${i}]`;
    switch (patchType) {
      case 'ApplyConfiguration':
        return expressionErrors(`${path}.applyConfiguration.expression`, applyConfiguration?.expression, {
          composed: true,
        });
      case 'JSONPatch':
        return expressionErrors(`${path}.jsonPatch.expression`, jsonPatch?.expression, { composed: true });
      case '':
        return [fieldRequired(`${path}.patchType`)];
      default:
        return [fieldNotSupported(`${path}.patchType`, patchType, ['ApplyConfiguration', 'JSONPatch'])];
    }
  });
}

interface BindingSpec {
  policyName?: string;
  validationActions?: string[];
  matchResources?: MatchResources;
  paramRef?: { name?: string; selector?: unknown; parameterNotFoundAction?: string };
}

function bindingStrategy(isMutating: boolean): Strategy {
  return {
    applyDefaults: (object) => setMatchDefaults((specOf(object) as BindingSpec).matchResources),
    validate(object) {
      const { policyName, validationActions = [], paramRef } = specOf(object) as BindingSpec;
      const errors = required('spec.policyName', policyName ?? '');
      if (!isMutating) {
        if (validationActions.length === 0)
          errors.push(fieldRequired('spec.validationActions', 'at least one validation action is required'));
        for (const [i, action] of validationActions.entries())
          errors.push(...optionalOneOf(`spec.validationActions[${i}]`, action, ['Audit', 'Deny', 'Warn']));
        if (validationActions.includes('Deny') && validationActions.includes('Warn'))
          errors.push(
            fieldInvalid(
              'spec.validationActions',
              validationActions,
              'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
            ),
          );
      }
      if (paramRef !== undefined && (paramRef.name ?? '') === '' && paramRef.selector === undefined)
        errors.push(fieldRequired('spec.paramRef', 'one of name or selector must be specified'));
      return errors;
    },
  };
}

export const validatingAdmissionPolicyStrategy = policyStrategy(false);
export const mutatingAdmissionPolicyStrategy = policyStrategy(true);
export const validatingAdmissionPolicyBindingStrategy = bindingStrategy(false);
export const mutatingAdmissionPolicyBindingStrategy = bindingStrategy(true);
