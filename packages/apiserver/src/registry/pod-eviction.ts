/** pods/eviction: a deletion that asks the pod's PodDisruptionBudget first (k8s.io/kubernetes/pkg/registry/core/pod). */
import type { StatusError } from '@naru/api';
import {
  cloneJson,
  findCondition,
  formatTime,
  isConditionTrue,
  labelSelectorFrom,
  newForbidden,
  newInternalError,
  newStatusError,
  podDisruptionBudgets,
  setCondition,
  type ConditionLike,
  type DeleteOptions,
  type Pod,
  type PodDisruptionBudget,
} from '@naru/api';
import { deleteObject } from './deletion.ts';
import { checkPreconditions, type GenericRegistry } from './generic-registry.ts';
import { ownFieldManager, type RequestContext } from './request-context.ts';
import { trackFields } from './track-fields.ts';

/** Evictions that the disruption controller has not confirmed; more are refused until it has. */
const DISRUPTED_PODS_MAX = 2000;
const RETRY_SECONDS = 10;

export interface PodEvictionOptions {
  readonly pods: GenericRegistry;
  readonly budgets: GenericRegistry;
}

/** @throws StatusError TooManyRequests while the budget does not allow it, or whatever a deletion throws. */
export async function evictPod(
  { pods, budgets }: PodEvictionOptions,
  name: string,
  options: DeleteOptions,
  context: RequestContext,
): Promise<void> {
  const { namespace } = context;
  const pod = pods.cache.parsed(pods.get(namespace, name)) as Pod;
  if (isBeyondBudgets(pod)) {
    await deleteObject(pods, name, options, context);
    return;
  }
  const budget = budgetOf(pod, budgets);
  let deletion = options;
  if (budget !== undefined) {
    if (isDisruptedAlready(pod, budget)) {
      // Such a pod costs no budget, as long as it is what was decided about.
      const { uid, resourceVersion } = pod.metadata;
      deletion = { ...options, preconditions: { uid, resourceVersion, ...options.preconditions } as object };
    } else await takeFromBudget(budgets, budget.metadata.name ?? '', name, context);
  }
  const marked = await markDisrupted(pods, name, deletion, context);
  await deleteObject(pods, name, marked, context);
}

/** Pods that nobody counts on, or that go anyway. */
function isBeyondBudgets({ metadata, status }: Pod): boolean {
  const phase = status?.phase ?? '';
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending' || metadata.deletionTimestamp !== undefined;
}

function budgetOf(pod: Pod, budgets: GenericRegistry): PodDisruptionBudget | undefined {
  const { labels = {}, namespace = '' } = pod.metadata;
  if (Object.keys(labels).length === 0) return undefined;
  const found: PodDisruptionBudget[] = [];
  for (const object of budgets.cache.page({ namespace, limit: 0, matches: undefined }).objects) {
    const budget = budgets.cache.parsed(object) as PodDisruptionBudget;
    const selector = budget.spec?.selector;
    if (selector !== undefined && labelSelectorFrom(selector).matches(labels)) found.push(budget);
  }
  if (found.length > 1)
    throw newInternalError(
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  return found[0];
}

/** A pod that is not ready does not count for the budget; whether it may go is the budget's policy. */
function isDisruptedAlready({ status }: Pod, { spec, status: counts }: PodDisruptionBudget): boolean {
  if (isConditionTrue(status?.conditions, 'Ready')) return false;
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = counts ?? {};
  return currentHealthy >= desiredHealthy && desiredHealthy > 0;
}

/** Takes one disruption from the budget, so that evictions at the same time cannot both have the last one. */
async function takeFromBudget(
  budgets: GenericRegistry,
  budgetName: string,
  podName: string,
  context: RequestContext,
): Promise<void> {
  await budgets.guaranteedUpdate(context.namespace, budgetName, context, async (old) => {
    const object = cloneJson(old);
    const budget = object as PodDisruptionBudget;
    const status = checkBudget(budget);
    const now = formatTime(context.nowMs);
    status.disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
    if (status.disruptionsAllowed === 0) {
      const { generation } = budget.metadata;
      const condition = {
        type: 'DisruptionAllowed',
        status: 'False',
        reason: 'InsufficientPods',
        message: '',
        ...(generation === undefined ? {} : { observedGeneration: generation }),
      };
      status.conditions = [...setCondition(status.conditions as ConditionLike[] | undefined, condition, now)] as never;
    }
    status.disruptedPods = { ...status.disruptedPods, [podName]: now };
    const { versions } = budgets;
    const write = { ...context, fieldManager: ownFieldManager('status') };
    await trackFields(object, { old, versions, resetFields: ['spec'] }, write);
    return { object };
  });
}

type BudgetStatus = NonNullable<PodDisruptionBudget['status']>;

/** The status, if one more pod may go. @throws StatusError TooManyRequests or Forbidden. */
function checkBudget({ metadata, status }: PodDisruptionBudget): BudgetStatus {
  const { name = '', generation = 0 } = metadata;
  if (status === undefined || (status.observedGeneration ?? 0) < generation)
    throw newBudgetRefusal(`The disruption budget ${name} is still being processed by the server.`, RETRY_SECONDS);
  const { disruptionsAllowed = 0, desiredHealthy, currentHealthy, disruptedPods = {} } = status;
  if (disruptionsAllowed < 0) throw newForbidden(podDisruptionBudgets, name, 'pdb disruptions allowed is negative');
  if (Object.keys(disruptedPods).length > DISRUPTED_PODS_MAX)
    throw newForbidden(
      podDisruptionBudgets,
      name,
      'DisruptedPods map too big - too many evictions not confirmed by PDB controller',
    );
  if (disruptionsAllowed === 0) {
    const why = findCondition(status.conditions as ConditionLike[] | undefined, 'DisruptionAllowed');
    const needs = `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`;
    throw newBudgetRefusal(why?.reason === 'SyncFailed' ? `${needs}: ${why.message ?? ''}` : needs, undefined);
  }
  return status;
}

function newBudgetRefusal(message: string, retryAfterSeconds: number | undefined): StatusError {
  return newStatusError('TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: 'DisruptionBudget', message }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

/** The pod says why it goes. Returns the deletion's options, whose resourceVersion has moved on with that. */
async function markDisrupted(
  pods: GenericRegistry,
  name: string,
  options: DeleteOptions,
  context: RequestContext,
): Promise<DeleteOptions> {
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
  };
  const { preconditions } = options;
  const { object } = await pods.guaranteedUpdate(context.namespace, name, context, (old) => {
    const marked = cloneJson(old);
    checkPreconditions(pods.resource, old, preconditions?.uid, preconditions?.resourceVersion);
    const pod = marked as Pod;
    const conditions = setCondition(pod.status?.conditions, condition, formatTime(context.nowMs));
    pod.status = { ...pod.status, conditions: [...conditions] as never };
    return Promise.resolve({ object: marked });
  });
  const { resourceVersion } = object.metadata;
  if (preconditions?.resourceVersion === undefined || resourceVersion === undefined || context.dryRun) return options;
  return { ...options, preconditions: { ...preconditions, resourceVersion } };
}
