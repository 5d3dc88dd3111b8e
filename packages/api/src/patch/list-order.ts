/** Order of merged lists in strategic merge patch: the patch's order for what it names, the server's for the rest. */
import { newPlainError, newNoMergeKey } from './patch-errors.ts';
import { equalJson, formatGoValue, isJsonObject } from './json.ts';

export type List = unknown[];

/** Whether two elements are the same one: by merge key, or by value in lists of scalars. */
export function sameElement(a: unknown, b: unknown, mergeKey: string): boolean {
  if (mergeKey === '' || !isJsonObject(a) || !isJsonObject(b)) return equalJson(a, b);
  return Object.hasOwn(a, mergeKey) && equalJson(a[mergeKey], b[mergeKey]);
}

const indexIn = (order: readonly unknown[], element: unknown, mergeKey: string): number =>
  order.findIndex((each) => sameElement(each, element, mergeKey));

/** Sorts by the position in `order`; what stands not in it keeps its place before. */
function normalize(list: List, order: readonly unknown[], mergeKey: string): List {
  return list
    .map((element) => ({ element, at: indexIn(order, element, mergeKey) }))
    .toSorted((a, b) => (a.at === -1 || b.at === -1 ? 0 : a.at - b.at))
    .map(({ element }) => element);
}

/** Elements of the server alone stay where they were relative to those of the patch that the server had too. */
export function enforceOrder(
  merged: List,
  {
    patchOrder,
    serverOrder,
    mergeKey,
  }: {
    readonly patchOrder: readonly unknown[];
    readonly serverOrder: readonly unknown[];
    readonly mergeKey: string;
  },
): List {
  if (mergeKey !== '')
    for (const each of [...merged, ...patchOrder])
      if (isJsonObject(each) && !Object.hasOwn(each, mergeKey)) throw newNoMergeKey(each, mergeKey);
  const inPatch = (element: unknown): boolean => indexIn(patchOrder, element, mergeKey) !== -1;
  const fromPatch = normalize(merged.filter(inPatch), patchOrder, mergeKey);
  const serverOnly = normalize(
    merged.filter((each) => !inPatch(each)),
    serverOrder,
    mergeKey,
  );
  const ordered: List = [];
  let [i, j] = [0, 0];
  while (i < serverOnly.length || j < fromPatch.length) {
    const left = i < serverOnly.length ? indexIn(serverOrder, serverOnly[i], mergeKey) : -1;
    const right = j < fromPatch.length ? indexIn(serverOrder, fromPatch[j], mergeKey) : -1;
    const takeLeft = j >= fromPatch.length || (i < serverOnly.length && left !== -1 && right !== -1 && left < right);
    ordered.push(takeLeft ? serverOnly[i++] : fromPatch[j++]);
  }
  return ordered;
}

/** `$setElementOrder` has to name every element that the patch sets, in the same order. */
export function checkSetElementOrder(patchList: List, order: readonly unknown[], mergeKey: string): void {
  const wanted = patchList.filter((each) => !isJsonObject(each) || !Object.hasOwn(each, '$patch'));
  let at = 0;
  for (const element of order) if (at < wanted.length && sameElement(element, wanted[at], mergeKey)) at++;
  if (at < wanted.length)
    throw newPlainError(
      `The order in patch list:\n${formatGoValue(patchList)}\n doesn't match $setElementOrder list:\n${formatGoValue(order)}\n`,
    );
}
