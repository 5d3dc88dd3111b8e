import {
  StatusError,
  statusReasons,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  type StatusReason,
} from '@naru/api';
import { CelBudgetError, CelError } from '../../cel/cel-program.ts';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from '../admission.ts';
import { refuse } from '../refusal.ts';
import { isExempt } from '../webhooks/match-resources.ts';
import { applications, evaluate, type Application, type PolicyOptions } from './policy-evaluation.ts';
import { PolicySource, type CompiledBinding, type CompiledPolicy, type PolicySpec } from './policy-source.ts';

interface Validation {
  readonly expression: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
}

export interface ValidatingPolicySpec extends PolicySpec {
  readonly validations?: readonly Validation[];
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[];
}

interface Failure {
  readonly policy: string;
  readonly binding: CompiledBinding;
  readonly message: string;
  readonly reason: string;
  /** Place in the policy's validations. */
  readonly index: number;
}

/** Holds requests to ValidatingAdmissionPolicies. */
export function validatingPolicies({ authorizer }: PolicyOptions): AdmissionPlugin {
  const source = new PolicySource<ValidatingPolicySpec>(validatingAdmissionPolicies, validatingAdmissionPolicyBindings);
  return {
    name: 'ValidatingAdmissionPolicy',
    handles: (_operation, resource) => !isExempt(resource),
    async validate(attributes, store) {
      const denials: Failure[] = [];
      for (const policy of source.list(store))
        for (const failure of await failuresOf(policy, attributes, { store, authorizer })) {
          const actions = failure.binding.spec.validationActions ?? ['Deny'];
          if (actions.includes('Deny')) denials.push(failure);
          if (actions.includes('Warn'))
            attributes.warn(
              `Validation failed for ValidatingAdmissionPolicy '${failure.policy}' with binding '${failure.binding.name}': ${failure.message}`,
            );
          if (actions.includes('Audit')) annotate(attributes, failure, actions);
        }
      const [first] = denials;
      if (first !== undefined) throw denied(attributes, first);
    },
  };
}

async function failuresOf(
  policy: CompiledPolicy<ValidatingPolicySpec>,
  attributes: AdmissionAttributes,
  options: PolicyOptions & { readonly store: AdmissionStore },
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  for await (const application of applications(policy, attributes, options)) {
    const { binding } = application;
    const fail = (message: string): void => {
      if (policy.spec.failurePolicy !== 'Ignore')
        failures.push({ policy: policy.name, binding, message, reason: '', index: 0 });
    };
    if ('failure' in application) {
      fail(application.failure.message);
      continue;
    }
    try {
      failures.push(...failuresByValidation(policy, application));
      auditAnnotations(policy, application, attributes);
    } catch (error) {
      // Then nothing else is known of the policy.
      if (!(error instanceof CelBudgetError)) throw error;
      fail(error.message);
    }
  }
  return failures;
}

/** @throws CelBudgetError */
function failuresByValidation(policy: CompiledPolicy<ValidatingPolicySpec>, application: Application): Failure[] {
  return (policy.spec.validations ?? []).flatMap((validation, index) => {
    const message = problemOf(policy, validation, application);
    if (message === undefined) return [];
    const { binding } = application;
    return [{ policy: policy.name, binding, message, reason: validation.reason ?? '', index }];
  });
}

/** What is to be said of a validation that does not hold. @throws CelBudgetError */
function problemOf(
  policy: CompiledPolicy<ValidatingPolicySpec>,
  { expression, message, messageExpression }: Validation,
  application: Application,
): string | undefined {
  try {
    if (evaluate(policy.program(expression), application) === true) return undefined;
  } catch (error) {
    if (!(error instanceof CelError) || error instanceof CelBudgetError) throw error;
    if (policy.spec.failurePolicy === 'Ignore') return undefined;
    return `expression '${expression.trim()}' resulted in error: ${error.message}`;
  }
  const computed = messageExpression === undefined ? undefined : messageOf(policy, messageExpression, application);
  if (computed !== undefined) return computed;
  if (message !== undefined && message !== '') return message.trim();
  return `failed expression: ${expression.trim()}`;
}

/** Longest message that an expression may make. */
const MESSAGE_CHARACTERS_MAX = 5 * 1024;

/** @throws CelBudgetError */
function messageOf(
  policy: CompiledPolicy<ValidatingPolicySpec>,
  expression: string,
  application: Application,
): string | undefined {
  try {
    const value = evaluate(policy.program(expression), application);
    if (typeof value !== 'string') return undefined;
    const text = value.trim();
    return text === '' || text.length > MESSAGE_CHARACTERS_MAX || /[\n\r]/u.test(text) ? undefined : text;
  } catch (error) {
    if (!(error instanceof CelError) || error instanceof CelBudgetError) throw error;
    return undefined;
  }
}

/** @throws CelBudgetError */
function auditAnnotations(
  policy: CompiledPolicy<ValidatingPolicySpec>,
  application: Application,
  attributes: AdmissionAttributes,
): void {
  for (const { key, valueExpression } of policy.spec.auditAnnotations ?? []) {
    try {
      const value = evaluate(policy.program(valueExpression), application);
      if (typeof value === 'string' && value !== '') attributes.annotate?.(`${policy.name}/${key}`, value);
    } catch (error) {
      if (!(error instanceof CelError) || error instanceof CelBudgetError) throw error;
    }
  }
}

function annotate(
  attributes: AdmissionAttributes,
  { policy, binding, message, index }: Failure,
  actions: readonly string[],
): void {
  const entry = { message, policy, binding: binding.name, expressionIndex: index, validationActions: actions };
  attributes.annotate?.('validation.policy.admission.k8s.io/validation_failure', JSON.stringify([entry]));
}

function denied(attributes: AdmissionAttributes, { policy, binding, message, reason }: Failure): StatusError {
  const text = `ValidatingAdmissionPolicy '${policy}' with binding '${binding.name}' denied request: ${message}`;
  const { status } = refuse(attributes, text);
  const shown: StatusReason = reason in statusReasons ? (reason as StatusReason) : 'Invalid';
  return new StatusError({
    ...status,
    reason: shown,
    code: statusReasons[shown],
    details: { ...status.details, causes: [{ message: text }] },
  });
}
