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
import type { AdmissionAttributes, AdmissionPlugin } from '../admission.ts';
import { refuse } from '../refusal.ts';
import { acceptObject } from '../webhooks/accept-object.ts';
import { acceptVersioned } from '../webhooks/versioned-attributes.ts';
import { isExempt } from '../webhooks/match-resources.ts';
import { applications, evaluate, type PolicyOptions } from './policy-evaluation.ts';
import { PolicySource, type PolicySpec } from './policy-source.ts';

interface Mutation {
  readonly patchType?: string;
  readonly applyConfiguration?: { readonly expression?: string };
  readonly jsonPatch?: { readonly expression?: string };
}

interface MutatingPolicySpec extends PolicySpec {
  readonly mutations?: readonly Mutation[];
}

/** Changes objects as MutatingAdmissionPolicies say. */
export function mutatingPolicies({ authorizer }: PolicyOptions): AdmissionPlugin {
  const source = new PolicySource<MutatingPolicySpec>(
    mutatingAdmissionPolicies,
    mutatingAdmissionPolicyBindings,
    withoutMessages,
  );
  return {
    name: 'MutatingAdmissionPolicy',
    handles: (operation, resource) => operation !== 'DELETE' && !isExempt(resource),
    async admit(attributes, store) {
      if (attributes.object === undefined) return;
      for (const policy of source.list(store))
        for await (const application of applications(policy, attributes, { store, authorizer })) {
          const { binding } = application;
          try {
            if ('failure' in application) throw application.failure;
            const { versioned, budget } = application;
            for (const mutation of policy.spec.mutations ?? []) {
              const expression = mutation.applyConfiguration?.expression ?? mutation.jsonPatch?.expression ?? '';
              // Earlier mutations are seen by later ones.
              const variables = { ...application.variables, object: currentObject(versioned) };
              mutate(versioned, mutation, fromCel(evaluate(policy.program(expression), { variables, budget })));
            }
            await acceptVersioned(attributes, versioned);
          } catch (error) {
            if (policy.spec.failurePolicy === 'Ignore') continue;
            const why = error instanceof Error ? error.message : String(error);
            throw refuse(attributes, `policy '${policy.name}' with binding '${binding.name}' denied request: ${why}`);
          }
        }
    },
  };
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
