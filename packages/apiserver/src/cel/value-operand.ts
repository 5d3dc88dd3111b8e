/** Values as the cost model sees them, and what they cost here that is free upstream. */
import { compilePattern } from '@naru/api';
import { isPriced, type Operand, type OperandKind } from './cost-model.ts';

type Container = readonly unknown[] | ReadonlySet<unknown> | ReadonlyMap<unknown, unknown> | object;

/** Longest pattern whose program is looked at. */
const COMPILED_PATTERN_CHARACTERS_MAX = 1000;
/** What a repetition such as `x{1000}` can make of each of its characters. */
const REPETITION_FACTOR = 143;
/** More is dearer than any limit admits. */
const WEIGHT_MAX = 10_000_000;

export class ValueOperand implements Operand {
  readonly value: unknown;
  readonly kind: OperandKind;

  constructor(value: unknown) {
    this.value = value;
    this.kind = kindOf(value);
  }

  get size(): number {
    const { value } = this;
    if (typeof value === 'string' || value instanceof Uint8Array || Array.isArray(value)) return value.length;
    if (this.kind === 'scalar') return 1;
    return value instanceof Set || value instanceof Map ? value.size : Object.keys(value as object).length;
  }

  traversal(): number {
    return traversalCost(this.value, { left: WEIGHT_MAX });
  }

  characters(): number {
    if (!Array.isArray(this.value)) return 0;
    return this.value.reduce((sum: number, each) => sum + (typeof each === 'string' ? each.length : 0), 0);
  }

  patternSize(): number {
    const { value } = this;
    if (typeof value !== 'string') return 1;
    if (value.length > COMPILED_PATTERN_CHARACTERS_MAX)
      return value.includes('{') ? value.length * REPETITION_FACTOR : value.length;
    try {
      return Math.max(value.length, compilePattern(value).programSize() / 2);
    } catch {
      return value.length;
    }
  }
}

function kindOf(value: unknown): OperandKind {
  if (typeof value === 'string') return 'string';
  if (typeof value !== 'object' || value === null) return 'scalar';
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value) || value instanceof Set) return 'list';
  const prototype: unknown = Object.getPrototypeOf(value);
  return value instanceof Map || prototype === Object.prototype || prototype === null ? 'map' : 'scalar';
}

function* partsOf(value: Container): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) yield* value;
  else
    for (const [key, each] of value instanceof Map ? value : Object.entries(value)) {
      yield key;
      yield each;
    }
}

/** Upstream's traversalCost. Lists may hold the same list many times: `left` bounds how much is looked at. */
function traversalCost(value: unknown, bound: { left: number }): number {
  if (bound.left-- <= 0) return 1;
  if (typeof value === 'string' || value instanceof Uint8Array) return Math.floor(value.length / 10);
  if (kindOf(value) === 'scalar') return 1;
  let cost = 0;
  for (const part of partsOf(value as Container)) cost += traversalCost(part, bound);
  return cost;
}

/** Values in a value, long strings for several. */
function weightOf(value: unknown, bound = { left: WEIGHT_MAX }): number {
  if (bound.left-- <= 0) return WEIGHT_MAX;
  if (typeof value === 'string' || value instanceof Uint8Array) return 1 + value.length / 16;
  if (kindOf(value) === 'scalar') return 1;
  let weight = 1;
  for (const part of partsOf(value as Container)) weight += weightOf(part, bound);
  return weight;
}

/** Values, or entries, that one unit pays for where each is looked at. */
const VALUES_PER_UNIT = 8;
/** Characters and elements that one unit pays for where they are copied or counted. */
const CELLS_PER_UNIT = 64;

/**
 * What a call takes at least: upstream has some for 1 whose time depends on the size of what they are given. Ordinary
 * values are too small to make a difference.
 */
export function floorCost(name: string, operands: readonly ValueOperand[]): number {
  const entries = operands.reduce((sum, { value }) => sum + enumeratedEntries(value), 0);
  return Math.max(workOf(name, operands), entries / VALUES_PER_UNIT);
}

function workOf(name: string, operands: readonly ValueOperand[]): number {
  const [first, second] = operands;
  if (first === undefined) return 0;
  switch (name) {
    case '==':
    case '!=':
      return isContainer(first) && isContainer(second) ? weightOf(first.value) / VALUES_PER_UNIT : 0;
    case 'in':
      return second?.kind === 'list' ? weightOf(second.value) / VALUES_PER_UNIT : 0;
    case 'indexOf':
    case 'lastIndexOf':
    case 'isSorted':
    case 'min':
    case 'max':
    case 'sum':
      return first.kind === 'list' ? weightOf(first.value) / VALUES_PER_UNIT : 0;
    case 'format':
      return weightOf(second?.value) / VALUES_PER_UNIT;
    case 'sets.contains':
    case 'sets.intersects':
    case 'sets.equivalent':
      return (weightOf(first.value) * (second?.size ?? 0)) / VALUES_PER_UNIT;
    case 'reverse':
      return first.size / VALUES_PER_UNIT;
    case 'size':
      return first.kind === 'list' ? 0 : cells(operands);
    case 'replace':
      return replacedCharacters(operands) / CELLS_PER_UNIT;
    case '+':
      return first.kind === 'list' ? cells(operands) : 0;
    default:
      return isPriced(name) ? 0 : cells(operands);
  }
}

const isContainer = (operand: ValueOperand | undefined): boolean => operand?.kind === 'list' || operand?.kind === 'map';

const cells = (operands: readonly ValueOperand[]): number =>
  operands.reduce((sum, each) => sum + (each.kind === 'map' ? 0 : each.size), 0) / CELLS_PER_UNIT;

/** The library tells the type of a value by enumerating it, and what is first in it. */
function enumeratedEntries(value: unknown): number {
  let entries = 0;
  let each = value;
  for (;;) {
    if (Array.isArray(each)) each = each[0];
    else if (kindOf(each) === 'map' && !(each instanceof Map)) {
      const values = each as Readonly<Record<string, unknown>>;
      const keys = Object.keys(values);
      const [first] = keys;
      entries += keys.length;
      if (first === undefined) return entries;
      each = values[first];
    } else return entries;
  }
}

/** The most that can come of it. */
function replacedCharacters([text, from, to]: readonly ValueOperand[]): number {
  const [size, length] = [text?.size ?? 0, from?.size ?? 0];
  return (length === 0 ? size + 1 : size / length) * (to?.size ?? 0);
}
