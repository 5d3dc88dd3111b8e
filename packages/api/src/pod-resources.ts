/** What a pod asks for and may use as a whole (k8s.io/component-helpers/resource; KEP-753 sidecars, KEP-2837 pod level). */
import type { PodSpec } from './object.ts';
import { parseQuantity, QuantityError, zeroQuantity, type Quantity } from './quantity.ts';

/** Amounts by name of the resource, exact. */
export type Amounts = ReadonlyMap<string, Quantity>;
export type ResourceList = Readonly<Record<string, string | number>>;

/** Resources that a pod can ask for as a whole. */
const podLevelResources: ReadonlySet<string> = new Set(['cpu', 'memory']);

/** The quantity; zero for what is none (validation admits no such thing). */
function quantityOf(text: string | number): Quantity {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) return zeroQuantity;
    throw error;
  }
}

export function amountsOf(list: ResourceList | undefined): Map<string, Quantity> {
  return new Map(Object.entries(list ?? {}).map(([name, text]) => [name, quantityOf(text)]));
}

/** Adds `delta` to `total`. */
export function addAmounts(total: Map<string, Quantity>, delta: Amounts): void {
  for (const [name, amount] of delta) total.set(name, total.get(name)?.add(amount) ?? amount);
}

function raiseAmounts(total: Map<string, Quantity>, floor: Amounts): void {
  for (const [name, amount] of floor) {
    const present = total.get(name);
    if (present === undefined || present.compare(amount) < 0) total.set(name, amount);
  }
}

/**
 * Requests of the pod: the larger of all its containers with the sidecars, and of each init container with the sidecars
 * started before it; what the pod asks for as a whole takes precedence; plus overhead. `defaults` are the requests of
 * containers that do not say theirs.
 */
export function podRequests(
  spec: PodSpec | undefined,
  options: { readonly defaults?: Amounts } = {},
): Map<string, Quantity> {
  const total = aggregate(spec, (container) => {
    const own = amountsOf(container.resources?.requests);
    for (const [name, amount] of options.defaults ?? []) if (!own.has(name)) own.set(name, amount);
    return own;
  });
  setPodLevel(total, spec?.resources?.requests);
  addAmounts(total, amountsOf(spec?.overhead));
  return total;
}

/** Limits of the pod, summed as its requests; overhead counts where there is a limit. */
export function podLimits(spec: PodSpec | undefined): Map<string, Quantity> {
  const total = aggregate(spec, (container) => amountsOf(container.resources?.limits));
  setPodLevel(total, spec?.resources?.limits);
  for (const [name, amount] of amountsOf(spec?.overhead)) {
    const limit = total.get(name);
    if (limit !== undefined && !limit.isZero) total.set(name, limit.add(amount));
  }
  return total;
}

type Container = PodSpec['containers'][number];

function aggregate(spec: PodSpec | undefined, of: (container: Container) => Amounts): Map<string, Quantity> {
  const total = new Map<string, Quantity>();
  for (const container of spec?.containers ?? []) addAmounts(total, of(container));
  const sidecars = new Map<string, Quantity>();
  const initPeak = new Map<string, Quantity>();
  for (const container of spec?.initContainers ?? []) {
    const needs = of(container);
    if (container.restartPolicy === 'Always') {
      addAmounts(total, needs);
      addAmounts(sidecars, needs);
      raiseAmounts(initPeak, sidecars);
    } else {
      const running = new Map(needs);
      addAmounts(running, sidecars);
      raiseAmounts(initPeak, running);
    }
  }
  raiseAmounts(total, initPeak);
  return total;
}

function setPodLevel(total: Map<string, Quantity>, list: ResourceList | undefined): void {
  for (const [name, amount] of amountsOf(list))
    if (podLevelResources.has(name) || name.startsWith('hugepages-')) total.set(name, amount);
}
