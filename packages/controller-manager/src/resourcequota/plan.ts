/** What a ResourceQuota's status should say. */
import {
  countedResource,
  quotaEvaluator,
  zeroQuantity,
  parseQuantity,
  type Amounts,
  type Resource,
  type ResourceQuota,
} from '@naru/api';

type GroupResource = Pick<Resource, 'group' | 'resource'>;

/** Kinds with resources of their own; the others only count. */
const ownKinds: readonly GroupResource[] = ['pods', 'services', 'persistentvolumeclaims'].map((resource) => ({
  group: '',
  resource,
}));

/** The kinds whose objects use what the quota limits. */
export function countedKinds(quota: ResourceQuota): GroupResource[] {
  const names = Object.keys(quota.spec?.hard ?? {});
  const kinds = ownKinds.filter((each) => quotaEvaluator(each).matchingResources(names).length > 0);
  for (const name of names) {
    const counted = countedResource(name);
    if (counted === undefined) continue;
    if (!kinds.some((each) => each.group === counted.group && each.resource === counted.resource)) kinds.push(counted);
  }
  return kinds;
}

/** The status that the quota should have, where it has another. `usage` is by name of the resource. */
export function planStatus(quota: ResourceQuota, usage: Amounts): NonNullable<ResourceQuota['status']> | undefined {
  const hard = quota.spec?.hard ?? {};
  const used = Object.fromEntries(
    Object.keys(hard).map((name) => [name, (usage.get(name) ?? zeroQuantity).toString()]),
  );
  const { status } = quota;
  const isSame =
    status?.hard !== undefined &&
    status.used !== undefined &&
    sameAmounts(status.hard, hard) &&
    sameAmounts(status.used, used);
  return isSame ? undefined : { hard, used };
}

/** Whether something is used less than the status says: what a count may get wrong, as caches lag. */
export function lowers(quota: ResourceQuota, status: NonNullable<ResourceQuota['status']>): boolean {
  return Object.entries(status.used ?? {}).some(([name, text]) => {
    const before = quota.status?.used?.[name];
    return before !== undefined && parseQuantity(text).compare(parseQuantity(before)) < 0;
  });
}

function sameAmounts(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => {
      const [left, right] = [a[name], b[name]];
      return left !== undefined && right !== undefined && parseQuantity(left).equals(parseQuantity(right));
    })
  );
}
