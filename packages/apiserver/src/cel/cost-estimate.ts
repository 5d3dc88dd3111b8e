/**
 * The most that an expression can cost, before it is evaluated: its cost for the largest values that the types of its variables
 * admit (google/cel-go checker/cost.go).
 */
import { callOf, isLiteral, isNode, type Call, type CelNode, type CheckedType, type Comprehension } from './cel-ast.ts';
import {
  ACCESS_COST,
  APPEND_COST,
  callCost,
  charactersCost,
  COUNT_COST,
  joinedCharacters,
  LIST_COST,
  loopCosts,
  MAP_COST,
  mayBe,
  type LoopCost,
  type Operand,
} from './cost-model.ts';
import {
  dynType,
  keyType,
  scalarType,
  textOf,
  unboundedProduct,
  UNBOUNDED,
  undeclared,
  unionOf,
  unknownSize,
  type Size,
  type SizedType,
} from './sized-type.ts';

interface Estimate {
  readonly cost: number;
  readonly type: SizedType;
}

type Scope = ReadonlyMap<string, SizedType>;

/** UNBOUNDED, at most. */
export function estimateCost(root: CelNode, variables: Scope): number {
  return Math.min(estimate(root, variables).cost, UNBOUNDED);
}

const sum = (estimates: readonly Estimate[]): number => estimates.reduce((total, { cost }) => total + cost, 0);
const all = (nodes: readonly CelNode[], scope: Scope): readonly Estimate[] =>
  nodes.map((node) => estimate(node, scope));

function estimate(node: CelNode, scope: Scope): Estimate {
  const { macro, alternate } = node.meta;
  if (macro !== undefined) return estimateMacro(node, scope);
  if (alternate?.op === 'comprehension') return estimateLoop(node, alternate.args as Comprehension, scope);
  if (alternate !== undefined) return { cost: 0, type: scalarType };
  if (isLiteral(node)) return { cost: 0, type: literalType(node.args) };
  switch (node.op) {
    case 'id':
      return { cost: ACCESS_COST, type: scope.get(node.args as string) ?? dynType };
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return estimateAccess(node, scope);
    case '?:': {
      const [condition, first, second] = node.args as readonly [CelNode, CelNode, CelNode];
      const [a, b] = [estimate(first, scope), estimate(second, scope)];
      return { cost: estimate(condition, scope).cost + Math.max(a.cost, b.cost), type: unionOf(a.type, b.type) };
    }
    case 'list': {
      const items = all(node.args as readonly CelNode[], scope);
      return { cost: LIST_COST + sum(items), type: { kind: 'list', size: exactly(items.length), ...itemsOf(items) } };
    }
    case 'map': {
      const entries = node.args as readonly (readonly [CelNode, CelNode])[];
      const values = entries.map(([, value]) => estimate(value, scope));
      const keys = entries.map(([key]) => estimate(key, scope));
      const type: SizedType = { kind: 'map', size: exactly(entries.length), ...itemsOf(values) };
      return { cost: MAP_COST + sum(keys) + sum(values), type };
    }
    default: {
      const call = callOf(node);
      return call === undefined ? { cost: 0, type: dynType } : estimateCall(node, call, scope);
    }
  }
}

const exactly = (size: number): Size => ({ min: size, max: size });

function itemsOf(estimates: readonly Estimate[]): { readonly items?: SizedType } {
  const [first, ...others] = estimates.map(({ type }) => type);
  return first === undefined ? {} : { items: others.reduce(unionOf, first) };
}

function literalType(value: unknown): SizedType {
  if (typeof value === 'string') return textOf(exactly(Array.from(value).length));
  return value instanceof Uint8Array ? { kind: 'bytes', size: exactly(value.length) } : scalarType;
}

function estimateAccess(node: CelNode, scope: Scope): Estimate {
  const [operand, key] = node.args as readonly [CelNode, CelNode | string];
  const { cost, type } = estimate(operand, scope);
  if (isNode(key)) {
    const items = type.items ?? dynType;
    const found = node.op === '[]' ? items : undeclared(items);
    return { cost: cost + estimate(key, scope).cost + ACCESS_COST, type: found };
  }
  const field = type.fields?.get(key);
  if (field !== undefined) return { cost: cost + ACCESS_COST, type: node.op === '.' ? field : undeclared(field) };
  // By name, upstream loses sight of what the schema says of values in a map; of what has no type, names cost nothing.
  const isFree = node.op === '.' && type.kind === 'dyn';
  return { cost: cost + (isFree ? 0 : ACCESS_COST), type: type.items === undefined ? dynType : undeclared(type.items) };
}

function estimateMacro(node: CelNode, scope: Scope): Estimate {
  const { macro } = node.meta;
  const [select, parent] = macro?.macroHasProps ?? [];
  if (select !== undefined && parent !== undefined) return { cost: estimate(parent, scope).cost, type: scalarType };
  if (macro?.bindCtx !== undefined) {
    const value = estimate(macro['val'] as CelNode, scope);
    const inner = new Map(scope).set(macro['var'] as string, value.type);
    const result = estimate(macro['exp'] as CelNode, inner);
    return { cost: LIST_COST + value.cost + result.cost, type: result.type };
  }
  const parts = all(Object.values(macro ?? {}).filter((part) => isNode(part) && part !== node) as CelNode[], scope);
  const [first = { cost: 0, type: dynType }, ...others] = parts;
  return { cost: ACCESS_COST + sum(parts), type: others.map(({ type }) => type).reduce(unionOf, first.type) };
}

function estimateLoop(node: CelNode, loop: Comprehension, scope: Scope): Estimate {
  const [name, , args] = node.args as readonly [string, CelNode, readonly CelNode[]];
  const range = estimate(loop.iterable, scope);
  const element = range.type.kind === 'map' ? keyType : (range.type.items ?? dynType);
  const inner = new Map(scope).set(args[0]?.args as string, element);
  const bodies = all(args.slice(1), inner);
  const [body = { cost: 0, type: dynType }, transform = body] = bodies;
  const isList = name === 'map' || name === 'filter';
  const fixed: LoopCost = isList ? loopCosts.list : loopCosts[name as 'all' | 'exists' | 'exists_one'];
  const own: Readonly<Record<string, number>> = {
    exists_one: COUNT_COST,
    map: APPEND_COST,
    filter: APPEND_COST + ACCESS_COST,
  };
  const round = fixed.condition + fixed.step + sum(bodies) + (own[name] ?? 0);
  const { size } = range.type;
  const cost = range.cost + (isList ? LIST_COST : 0) + fixed.result + unboundedProduct(size.max, round);
  if (!isList) return { cost, type: scalarType };
  const items = name === 'map' ? transform.type : element;
  const isWhole = name === 'map' && bodies.length === 1;
  return { cost, type: { kind: 'list', size: isWhole ? size : { min: 0, max: size.max }, items } };
}

function estimateCall(node: CelNode, { name, operands }: Call, scope: Scope): Estimate {
  const estimates = all(operands, scope);
  const types = estimates.map(({ type }) => type);
  const sized = types.map(operandOf);
  const [first, second] = sized;
  const own =
    name === 'join' && first !== undefined
      ? // Upstream charges twice as much when the text is there.
        charactersCost(joinedCharacters(first, second))
      : callCost(name, sized);
  return { cost: sum(estimates) + Math.min(own, UNBOUNDED), type: resultType(node, name, types) };
}

/** The largest value of a type. */
function operandOf({ kind, size: { max }, items }: SizedType): Operand {
  const isText = items !== undefined && mayBe(items, 'string', 'bytes');
  const itemSize = isText ? items.size.max : 0;
  return {
    kind,
    size: max,
    traversal: () => unboundedProduct(max, 1 + charactersCost(itemSize)),
    characters: () => unboundedProduct(max, itemSize),
    patternSize: () => max,
  };
}

function resultType(node: CelNode, name: string, types: readonly SizedType[]): SizedType {
  const [first = dynType, second = dynType, third = dynType] = types;
  const upTo = (max: number): Size => ({ min: 0, max: Math.min(max, UNBOUNDED) });
  switch (name) {
    case '+': {
      if (first.kind === 'scalar' || second.kind === 'scalar') return scalarType;
      const size = { min: first.size.min + second.size.min, max: upTo(first.size.max + second.size.max).max };
      return { ...unionOf(first, second), size };
    }
    case 'lowerAscii':
    case 'upperAscii':
    case 'substring':
    case 'trim':
      return textOf(first.size);
    case 'replace':
      return textOf(upTo(replacedMax(first.size, second.size, third.size)));
    case 'join':
      return textOf(upTo(joinedCharacters(operandOf(first), types.length > 1 ? operandOf(second) : undefined)));
    case 'find':
      return textOf(upTo(first.size.max));
    case 'split':
    case 'findAll':
      return { kind: 'list', size: upTo(first.size.max), items: textOf(unknownSize) };
    case 'bytes':
      return { kind: 'bytes', size: upTo(first.size.max * 4) };
    case 'string':
      return textOf(first.kind === 'bytes' ? upTo(first.size.max) : unknownSize);
    case 'dyn':
      return first;
    default:
      return checkedType(node.checkedType);
  }
}

/** Length of the longest text that a replacement makes. */
function replacedMax(text: Size, from: Size, to: Size): number {
  if (from.min === 0) return unboundedProduct(text.max + 1, to.max) + text.max;
  if (to.max <= from.min) return text.max;
  return unboundedProduct(Math.ceil(text.max / from.min), to.max);
}

/** A type as the library has found it, of which no sizes are known. */
function checkedType(type: CheckedType | undefined): SizedType {
  if (type === undefined) return dynType;
  switch (type.kind) {
    case 'list':
      return { kind: 'list', size: unknownSize, items: checkedType(type.valueType) };
    case 'map':
      return { kind: 'map', size: unknownSize, items: checkedType(type.valueType) };
    case 'optional':
      return checkedType(type.valueType);
    case 'dyn':
      return dynType;
    default:
      if (type.name === 'string') return textOf(unknownSize);
      return type.name === 'bytes' ? { kind: 'bytes', size: unknownSize } : scalarType;
  }
}
