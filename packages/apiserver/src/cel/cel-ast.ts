/**
 * The library's syntax tree, as far as its types leave it out: it has no hook for the cost of an evaluation and does not say
 * what a macro becomes. All that depends on its inside is here and in `cost-meter.ts`; its version is pinned for that.
 */

/** Runs a node (or what its macro has made of it) in an evaluator and a context, which are the library's. */
export type Evaluate = (evaluator: unknown, node: unknown, context: unknown) => unknown;

export interface CelNode {
  readonly op: string;
  readonly args: unknown;
  readonly checkedType?: CheckedType;
  readonly meta: {
    readonly evaluate: Evaluate;
    /** What is evaluated in its place: a comprehension, or a constant. */
    readonly alternate?: CelNode;
    readonly macro?: Macro;
  };
  evaluate: Evaluate;
  /** How calls and operators are applied to the values of their operands. */
  handle?: (...args: readonly unknown[]) => unknown;
}

export interface Macro {
  readonly evaluate: Evaluate;
  /** Of `has(a.b.c)`: c, b and a. */
  readonly macroHasProps?: readonly CelNode[];
  /** Of `cel.bind(name, value, expression)`. */
  readonly bindCtx?: unknown;
  readonly [part: string]: unknown;
}

export interface CheckedType {
  readonly kind: string;
  readonly name: string;
  readonly valueType?: CheckedType;
}

/** What `all`, `exists`, `exists_one`, `map` and `filter` are. */
export interface Comprehension {
  readonly kind?: 'quantifier';
  /** Of quantifiers only `exists_one` has it. */
  readonly errorsAreFatal: boolean;
  readonly iterable: CelNode;
  readonly init: CelNode;
  readonly step: CelNode;
  /** Whether to go on; asked before each element. */
  condition?: (accumulated: unknown) => unknown;
}

export function isNode(value: unknown): value is CelNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value && 'meta' in value;
}

/** Names of variables, fields and elements; what cel-go calls an attribute. */
export function isAttribute({ op, meta }: CelNode): boolean {
  return meta.alternate === undefined && meta.macro === undefined && attributeOps.has(op);
}

const attributeOps: ReadonlySet<string> = new Set(['id', '.', '.?', '[]', '[?]', '?:']);

/** Constants; the minus before a number is a part of it. */
export function isLiteral({ op, args }: CelNode): boolean {
  return op === 'value' || (op === '-_' && isNode(args) && args.op === 'value');
}

export interface Call {
  /** As upstream names functions and operators: `sets.contains`, `_+_` is `+`. */
  readonly name: string;
  /** The receiver first. */
  readonly operands: readonly CelNode[];
}

const binaryOps: ReadonlySet<string> = new Set('!= == in + - * / % < <= > >= && ||'.split(' '));

/** A function's or an operator's call; undefined: the node is none. */
export function callOf({ op, args }: CelNode): Call | undefined {
  switch (op) {
    case 'call': {
      const [name, operands] = args as readonly [string, readonly CelNode[]];
      return { name, operands };
    }
    case 'rcall': {
      const [name, receiver, operands] = args as readonly [string, CelNode, readonly CelNode[]];
      const space = spaceOf(receiver);
      if (space !== undefined) return { name: `${space}.${name}`, operands };
      return { name: name === LINEAR_MATCHES ? 'matches' : name, operands: [receiver, ...operands] };
    }
    case '!_':
    case '-_':
      return { name: op, operands: [args as CelNode] };
    default:
      return binaryOps.has(op) ? { name: op, operands: args as readonly CelNode[] } : undefined;
  }
}

/** The name of a name space of functions, which is a constant to the library. */
function spaceOf({ op, args, meta }: CelNode): string | undefined {
  return op === 'id' && meta.alternate !== undefined ? (args as string) : undefined;
}

/** The name of `matches()` that takes linear time, as the library's own cannot be replaced. */
export const LINEAR_MATCHES = 'matchesInLinearTime';

/** Lets calls of `string.matches(string)` be of ours; before the expression is checked. */
export function useLinearMatches(node: unknown, seen: Set<object> = new Set()): void {
  if (typeof node !== 'object' || node === null || seen.has(node)) return;
  seen.add(node);
  const { op, args } = node as { readonly op?: unknown; readonly args?: unknown };
  if (op === 'rcall' && Array.isArray(args) && args[0] === 'matches') args[0] = LINEAR_MATCHES;
  for (const each of Object.values(node)) useLinearMatches(each, seen);
}
