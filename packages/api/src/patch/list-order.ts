/** Order of merged lists in strategic merge patch: the patch's order for what it names, the server's for the rest. */
import { formatGoValue, isJsonObject } from './json.ts';
import { newNoMergeKey, newPlainError } from './patch-errors.ts';

export type List = unknown[];

/**
 * What tells elements of a list apart: the value of their merge key, or the value itself in lists of scalars (merge key '').
 * Undefined for an object without the merge key.
 */
export function identityOf(element: unknown, mergeKey: string): string | undefined {
  if (mergeKey === '' || !isJsonObject(element)) return JSON.stringify(element);
  return Object.hasOwn(element, mergeKey) ? JSON.stringify(element[mergeKey]) : undefined;
}

/** First position of each element by its identity. */
export function positionsOf(list: readonly unknown[], mergeKey: string): Map<string, number> {
  const positions = new Map<string, number>();
  for (const [i, element] of list.entries()) {
    const identity = identityOf(element, mergeKey);
    if (identity === undefined) throw newNoMergeKey(element as Record<string, unknown>, mergeKey);
    if (!positions.has(identity)) positions.set(identity, i);
  }
  return positions;
}

interface Placed {
  readonly element: unknown;
  /** Position in the server's list; -1 where it was not there. */
  readonly server: number;
  readonly patch: number;
}

/** Elements of the server alone stay where they were relative to those of the patch that the server had too. */
export function enforceOrder(
  merged: List,
  orders: {
    readonly patchOrder: readonly unknown[];
    readonly serverOrder: readonly unknown[];
    readonly mergeKey: string;
  },
): List {
  const { mergeKey } = orders;
  const patch = positionsOf(orders.patchOrder, mergeKey);
  const server = positionsOf(orders.serverOrder, mergeKey);
  const placed = merged.map((element): Placed => {
    const identity = identityOf(element, mergeKey);
    if (identity === undefined) throw newNoMergeKey(element as Record<string, unknown>, mergeKey);
    return { element, server: server.get(identity) ?? -1, patch: patch.get(identity) ?? -1 };
  });
  const fromPatch = placed.filter((each) => each.patch !== -1).toSorted((a, b) => a.patch - b.patch);
  const serverOnly = placed.filter((each) => each.patch === -1).toSorted((a, b) => a.server - b.server);
  const ordered: List = [];
  let [i, j] = [0, 0];
  for (;;) {
    const left = serverOnly[i];
    const right = fromPatch[j];
    if (left === undefined && right === undefined) return ordered;
    if (right === undefined || (left !== undefined && right.server !== -1 && left.server < right.server)) {
      ordered.push(left?.element);
      i++;
    } else {
      ordered.push(right.element);
      j++;
    }
  }
}

/** `$setElementOrder` has to name every element that the patch sets, in the same order. */
export function checkSetElementOrder(patchList: List, order: readonly unknown[], mergeKey: string): void {
  const wanted = patchList
    .filter((each) => !isJsonObject(each) || !Object.hasOwn(each, '$patch'))
    .map((each) => identityOf(each, mergeKey));
  let at = 0;
  for (const element of order) if (at < wanted.length && identityOf(element, mergeKey) === wanted[at]) at++;
  if (at < wanted.length)
    throw newPlainError(
      `The order in patch list:\n${formatGoValue(patchList)}\n doesn't match $setElementOrder list:\n${formatGoValue(order)}\n`,
    );
}
