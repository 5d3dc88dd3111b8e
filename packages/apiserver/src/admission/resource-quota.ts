import {
  addAmounts,
  amountsOf,
  quotaEvaluator,
  quotaMatches,
  resourceQuotas,
  type Amounts,
  type Quantity,
  type QuotaEvaluator,
  type ResourceQuota,
} from '@naru/api';
import type { Clock } from '@naru/component';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { QuotaLedger } from './quota-ledger.ts';
import { refuse } from './refusal.ts';

/** Kinds that no quota counts. */
const ignored: ReadonlySet<string> = new Set(['events.', 'events.events.k8s.io']);

/**
 * Keeps a namespace to its ResourceQuotas: what a write would use is added to the quotas' status before it happens, or it is
 * refused. What is deleted is given back by the controller, which counts anew.
 */
export function resourceQuotaPlugin(clock: Clock): AdmissionPlugin {
  const ledger = new QuotaLedger();
  return {
    name: 'ResourceQuota',
    handles: (operation, { group, resource, namespaced }, subresource) =>
      namespaced &&
      !ignored.has(`${resource}.${group}`) &&
      quotaEvaluator({ group, resource }).handles(operation, subresource),
    async validate(attributes, store) {
      const { namespace, object } = attributes;
      if (object === undefined) return;
      const evaluator = quotaEvaluator(attributes.resource);
      const quotas = store.list(resourceQuotas, namespace).filter((quota) => quotaMatches(quota, evaluator, object));
      if (quotas.length === 0) return;
      const delta = deltaOf(attributes, evaluator, clock.now());
      // All are asked before any is charged.
      for (const quota of quotas) checkQuota(quota, { attributes, evaluator, delta });
      if (delta.size === 0 || attributes.dryRun) return;
      for (const { metadata } of quotas)
        await ledger.charge(store, namespace, metadata.name ?? '', (quota) =>
          quotaMatches(quota, evaluator, object) ? checkQuota(quota, { attributes, evaluator, delta }) : quota,
        );
    },
  };
}

/** What the write adds to what is used; an update may take away. Without zeros. */
function deltaOf(attributes: AdmissionAttributes, evaluator: QuotaEvaluator, nowMs: number): Amounts {
  const { operation, object, oldObject } = attributes;
  if (object === undefined) return new Map();
  const delta = evaluator.usage(object, nowMs);
  if (operation === 'UPDATE' && oldObject !== undefined)
    addAmounts(delta, new Map([...evaluator.usage(oldObject, nowMs)].map(([name, amount]) => [name, amount.negate()])));
  for (const [name, amount] of delta) if (amount.isZero) delta.delete(name);
  return delta;
}

interface Request {
  readonly attributes: AdmissionAttributes;
  readonly evaluator: QuotaEvaluator;
  readonly delta: Amounts;
}

/** The quota with what the request uses. @throws StatusError Forbidden. */
function checkQuota(quota: ResourceQuota, { attributes, evaluator, delta }: Request): ResourceQuota {
  const name = quota.metadata.name ?? '';
  const hard = amountsOf(quota.status?.hard ?? {});
  const used = amountsOf(quota.status?.used ?? {});
  const restricted = evaluator.matchingResources(hard.keys());
  const { object } = attributes;
  if (object === undefined) return quota;
  const problem = evaluator.constraintProblem?.(restricted, object);
  if (problem !== undefined) throw refuse(attributes, `failed quota: ${name}: ${problem}`);
  const unknown = restricted.filter((each) => !used.has(each));
  if (unknown.length > 0)
    throw refuse(attributes, `status unknown for quota: ${name}, resources: ${restricted.toSorted().join(',')}`);
  const requested = new Map([...delta].filter(([each]) => hard.has(each)));
  if (requested.size === 0) return quota;
  const next = new Map(used);
  addAmounts(next, requested);
  const exceeded = [...requested.keys()].filter((each) => exceeds(next.get(each), hard.get(each)));
  if (exceeded.length > 0)
    throw refuse(
      attributes,
      `exceeded quota: ${name}, requested: ${print(requested, exceeded)}, used: ${print(used, exceeded)}, limited: ${print(hard, exceeded)}`,
    );
  const texts = Object.fromEntries([...next].map(([each, amount]) => [each, amount.toString()]));
  return { ...quota, status: { ...quota.status, used: texts } };
}

function exceeds(amount: Quantity | undefined, limit: Quantity | undefined): boolean {
  return amount !== undefined && limit !== undefined && amount.compare(limit) > 0;
}

function print(amounts: Amounts, names: readonly string[]): string {
  return names
    .toSorted()
    .filter((name) => amounts.has(name))
    .map((name) => `${name}=${amounts.get(name)?.toString() ?? ''}`)
    .join(',');
}
