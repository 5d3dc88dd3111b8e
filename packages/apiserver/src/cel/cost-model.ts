/**
 * What an evaluation costs, in upstream's units (google/cel-go interpreter/runtimecost.go, k8s.io/apiserver/pkg/cel/library/cost.go):
 * an access or a call is about 1, what traverses text or lists is more. The same formulas price values when they are
 * there (`cost-meter.ts`) and the largest values that a schema admits (`cost-estimate.ts`).
 */

/** One evaluation of an expression. */
export const PER_CALL_COST_MAX = 1_000_000;
/** All rules of a custom resource, or all validations of a policy and a binding. */
export const REQUEST_COST_MAX = 10_000_000;
/** All `matchConditions` of a webhook or a policy. */
export const MATCH_CONDITIONS_COST_MAX = 2_500_000;
/** The largest estimate of a rule in a CustomResourceDefinition. */
export const RULE_ESTIMATE_MAX = 10_000_000;
/** The largest estimate of all rules of a version of it. */
export const DEFINITION_ESTIMATE_MAX = 100_000_000;

export const ACCESS_COST = 1;
export const LIST_COST = 10;
export const MAP_COST = 30;
const CALL_COST = 1;
/** Per character of text. */
const TRAVERSAL_FACTOR = 0.1;
/** Per character of a regular expression. */
const PATTERN_FACTOR = 0.25;
/** A question to the authorizers: two of them fit in an evaluation. */
const AUTHORIZATION_COST = 350_000;
/** Length of the longest expression of a named format. */
const FORMAT_PATTERN_CHARACTERS = 128;

export type OperandKind = 'string' | 'bytes' | 'list' | 'map' | 'object' | 'scalar' | 'dyn';

/** A value that a call is applied to, or what is known of it beforehand. */
export interface Operand {
  /** `dyn`: it may be anything. */
  readonly kind: OperandKind;
  /** Characters, bytes, elements or entries; 1 for what has no size. */
  readonly size: number;
  /** Cost of looking at all that is in it. */
  traversal(): number;
  /** Characters of all strings in a list. */
  characters(): number;
  /** Characters of the pattern that it is; more, if it is short for a large one. */
  patternSize(): number;
}

export const mayBe = ({ kind }: Pick<Operand, 'kind'>, ...kinds: readonly OperandKind[]): boolean =>
  kind === 'dyn' || kinds.includes(kind);

export const charactersCost = (characters: number): number => Math.ceil(characters * TRAVERSAL_FACTOR);

/** `second` is the first where there is but one of `count`. */
type CallCost = (first: Operand, second: Operand, count: number) => number;

const fixed =
  (cost: number): CallCost =>
  () =>
    cost;
const perCharacter: CallCost = ({ size }) => charactersCost(size);
const perCharacterTwice: CallCost = ({ size }) => Math.ceil(size * 2 * TRAVERSAL_FACTOR);
const traversal: CallCost = (list) => (list.kind === 'string' ? charactersCost(list.size) : list.traversal());
const pairs =
  (factor: number): CallCost =>
  (a, b) =>
    CALL_COST + a.size * b.size * factor;
// A pattern of nothing is not free to look for, and neither is any pattern in an empty text.
const matching: CallCost = (text, pattern) =>
  charactersCost(text.size + 1) * Math.ceil(pattern.patternSize() * PATTERN_FACTOR);
const equality = (a: Operand, b: Operand): number => charactersCost(Math.min(a.size, b.size));
const isText = (operand: Operand): boolean => mayBe(operand, 'string', 'bytes');
/** Of what is text to be read first, where it is. */
const textCost = (operand: Operand): number => (operand.kind === 'string' ? charactersCost(operand.size) : 0);
const order: CallCost = (a, b) => (isText(a) && isText(b) ? equality(a, b) : CALL_COST);
/** Length of what `join` makes. */
export const joinedCharacters = (list: Operand, separator: Operand | undefined): number =>
  list.characters() + (separator?.size ?? 0) * Math.max(list.size - 1, 0);
const conversionFrom =
  (kind: OperandKind): CallCost =>
  (value) =>
    mayBe(value, kind) ? charactersCost(value.size) : CALL_COST;

const each = (names: string, cost: CallCost): readonly (readonly [string, CallCost])[] =>
  names.split(' ').map((name) => [name, cost] as const);

const callCosts: ReadonlyMap<string, CallCost> = new Map<string, CallCost>([
  ...each('&& ||', fixed(0)),
  ...each('== !=', equality),
  ...each('< <= > >=', order),
  ['+', (a, b) => (isText(a) && isText(b) ? charactersCost(a.size + b.size) : CALL_COST)],
  ['in', (_value, within) => (mayBe(within, 'list') ? within.size : CALL_COST)],
  ['string', conversionFrom('bytes')],
  ['bytes', conversionFrom('string')],
  ...each('startsWith endsWith', (_text, part) => charactersCost(part.size)),
  ['contains', (text, part) => charactersCost(text.size) * charactersCost(part.size)],
  ...each('matches find findAll', matching),
  ...each('isSorted sum max min indexOf lastIndexOf', traversal),
  ...each('url lowerAscii upperAscii substring trim ip cidr isIP isCIDR quantity isQuantity format', perCharacter),
  ['jsonpatch.escapeKey', perCharacter],
  ...each('ip.isCanonical replace split', perCharacterTwice),
  // It traverses what it makes.
  [
    'join',
    (list, separator, count) =>
      Math.ceil(joinedCharacters(list, count > 1 ? separator : undefined) * 2 * TRAVERSAL_FACTOR),
  ],
  ['containsIP', (_cidr, ip) => CALL_COST + textCost(ip)],
  ['containsCIDR', (_cidr, cidr) => 3 * CALL_COST + textCost(cidr)],
  ...each('sets.contains sets.intersects', pairs(1)),
  ['sets.equivalent', pairs(2)],
  ['validate', (_format, text) => charactersCost(text.size) * FORMAT_PATTERN_CHARACTERS * PATTERN_FACTOR],
  ['check', fixed(AUTHORIZATION_COST)],
]);

/** Whether calls cost what their operands say; all others cost 1. */
export const isPriced = (name: string): boolean => callCosts.has(name);

/** Of a call by its name (see `callOf`), without that of its operands. */
export function callCost(name: string, operands: readonly Operand[]): number {
  const cost = callCosts.get(name);
  const [first, second = first] = operands;
  if (cost === undefined || first === undefined || second === undefined) return CALL_COST;
  return cost(first, second, operands.length);
}

/** What a macro costs beside the values of its expressions. */
export interface LoopCost {
  /** Before each element: whether to go on. */
  readonly condition: number;
  /** For each element: what its value is added to. */
  readonly step: number;
  readonly result: number;
}

/** Lists grow by a list of one. */
export const APPEND_COST = ACCESS_COST + LIST_COST + CALL_COST;
/** A count grows by one. */
export const COUNT_COST = ACCESS_COST + CALL_COST;

export const loopCosts = {
  all: { condition: 2, step: ACCESS_COST, result: ACCESS_COST },
  exists: { condition: 3, step: ACCESS_COST, result: ACCESS_COST },
  exists_one: { condition: 0, step: 0, result: ACCESS_COST + CALL_COST },
  /** `map` and `filter`, whose steps are costs of their own. */
  list: { condition: 0, step: 0, result: ACCESS_COST },
} as const satisfies Record<string, LoopCost>;
