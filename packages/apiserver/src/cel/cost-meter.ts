/** Counts what an evaluation costs while it runs, and stops it at its limit. */
import { callOf, isAttribute, isLiteral, isNode, type CelNode, type Comprehension, type Evaluate } from './cel-ast.ts';
import {
  ACCESS_COST,
  APPEND_COST,
  callCost,
  charactersCost,
  COUNT_COST,
  LIST_COST,
  loopCosts,
  MAP_COST,
} from './cost-model.ts';
import { floorCost, ValueOperand } from './value-operand.ts';

/** What goes round in a loop for nothing upstream costs a little here, so that no loop is free. */
const ROUND_COST = 1 / 16;

export class CostMeter {
  #limit = 0;
  #cost = 0;

  /** Starts anew. */
  start(limit: number): void {
    this.#limit = limit;
    this.#cost = 0;
  }

  get cost(): number {
    return Math.floor(this.#cost);
  }

  /** Nothing that came of the evaluation is to be believed then: `||`, `exists` and the like pass over errors. */
  get isExceeded(): boolean {
    return this.#cost > this.#limit;
  }

  /** @throws Error beyond the limit, and from then on. */
  charge(cost: number): void {
    this.#cost += cost;
    if (this.#cost > this.#limit) throw new Error('operation cancelled: actual cost limit exceeded');
  }
}

/** What evaluations may cost together. */
export class CostBudget {
  #remaining: number;

  constructor(limit: number) {
    this.#remaining = limit;
  }

  get remaining(): number {
    return this.#remaining;
  }

  /** False: there was less, and nothing is left. */
  spend(cost: number): boolean {
    const isThere = cost <= this.#remaining;
    this.#remaining = isThere ? this.#remaining - cost : 0;
    return isThere;
  }
}

/** Lets a checked expression count its costs in a meter. */
export function attachMeter(root: CelNode, meter: CostMeter): void {
  new Attachment(meter).visit(root, { embedded: false });
}

class Attachment {
  readonly #meter: CostMeter;
  /** Macros share the nodes of their arguments. */
  readonly #seen = new Set<CelNode>();

  constructor(meter: CostMeter) {
    this.#meter = meter;
  }

  /** `embedded`: an attribute within another one, such as the index `i` in `list[i]`; its access is a part of that one's. */
  visit(node: CelNode, { embedded }: { readonly embedded: boolean }): void {
    if (this.#seen.has(node)) return;
    this.#seen.add(node);
    const { alternate, macro } = node.meta;
    if (alternate !== undefined) return this.visit(alternate, { embedded });
    if (macro !== undefined) return this.#visitMacro(node);
    if (isLiteral(node)) return undefined;
    switch (node.op) {
      case 'accuValue':
        return undefined;
      case 'id':
        return embedded ? undefined : this.#price(node, ACCESS_COST);
      case '.':
      case '.?':
      case '[]':
      case '[?]':
        return this.#visitAccess(node, embedded);
      case '?:': {
        const [condition, ...branches] = node.args as readonly [CelNode, CelNode, CelNode];
        this.#visitAll([condition]);
        for (const branch of branches) this.visit(branch, { embedded: true });
        return undefined;
      }
      case 'list':
        this.#visitAll(node.args as readonly CelNode[]);
        return this.#price(node, LIST_COST);
      case 'map':
        this.#visitAll((node.args as readonly (readonly CelNode[])[]).flat());
        return this.#price(node, MAP_COST);
      case 'comprehension':
        return this.#visitComprehension(node);
      case 'accuPush':
        this.#visitAll([node.args as CelNode]);
        return this.#price(node, APPEND_COST);
      case 'accuInc':
        return this.#price(node, COUNT_COST);
      default:
        return this.#visitCall(node);
    }
  }

  #visitAll(nodes: readonly CelNode[]): void {
    for (const node of nodes) this.visit(node, { embedded: false });
  }

  #visitAccess(node: CelNode, embedded: boolean): void {
    const [operand, key] = node.args as readonly [CelNode, unknown];
    const isOfAttribute = isAttribute(operand);
    this.visit(operand, { embedded: isOfAttribute && embedded });
    if (isNode(key)) this.visit(key, { embedded: isAttribute(key) });
    // What a call comes to is accessed as an attribute of its own.
    this.#price(node, ACCESS_COST + (isOfAttribute || embedded ? 0 : ACCESS_COST));
  }

  #visitMacro(node: CelNode): void {
    const { macro } = node.meta;
    const path = macro?.macroHasProps;
    if (path === undefined) {
      this.#visitAll(Object.values(macro ?? {}).filter((part) => isNode(part) && part !== node) as CelNode[]);
      if (macro?.bindCtx !== undefined) this.#price(node, LIST_COST);
      return;
    }
    // Whether a field is there is asked for nothing; the way to it is not.
    const root = path.at(-1);
    if (root !== undefined) this.visit(root, { embedded: false });
    this.#price(node, ACCESS_COST * (path.length - 2));
  }

  #visitComprehension(node: CelNode): void {
    const loop = node.args as Comprehension;
    const cost = costOfLoop(loop);
    this.#visitAll([loop.iterable, loop.init, loop.step]);
    this.#price(node, cost.result);
    if (cost.step > 0) this.#price(loop.step, cost.step);
    const meter = this.#meter;
    const { condition } = loop;
    // Unlike what the step throws, what the condition throws ends the loop.
    loop.condition = (accumulated) => {
      meter.charge(cost.condition === 0 ? ROUND_COST : cost.condition);
      return condition === undefined || condition(accumulated);
    };
  }

  #visitCall(node: CelNode): void {
    const call = callOf(node);
    if (call === undefined) return;
    this.#visitAll(call.operands);
    const { handle } = node;
    // `&&` and `||` have none, and cost nothing.
    if (handle === undefined) return;
    const meter = this.#meter;
    const { name, operands } = call;
    // Values come one by one to operators, in a list to functions, with the name space of a function as its first.
    const count = operands.length;
    const isFunction = node.op === 'call' || node.op === 'rcall';
    node.handle = (...args) => {
      const values = isFunction ? (args[0] as readonly unknown[]).slice(-count) : args.slice(0, count);
      const cost = costOfCall(name, count === 0 ? [] : values);
      meter.charge(cost);
      const result = handle(...args);
      // Each match takes its time.
      if (name === 'findAll' && Array.isArray(result)) meter.charge(Math.max(0, result.length - cost));
      return result;
    };
  }

  /** The evaluation of the node costs this beside that of its parts. */
  #price(node: CelNode, cost: number): void {
    if (cost === 0) return;
    const meter = this.#meter;
    const { macro, evaluate } = node.meta;
    const ofMacro: Evaluate | undefined =
      macro && ((evaluator, _node, context) => macro.evaluate(evaluator, macro, context));
    const run = Object.hasOwn(node, 'evaluate') ? node.evaluate : (ofMacro ?? evaluate);
    node.evaluate = (evaluator, self, context) => {
      meter.charge(cost);
      return run(evaluator, self, context);
    };
  }
}

function costOfLoop({ kind, errorsAreFatal, init }: Comprehension): (typeof loopCosts)[keyof typeof loopCosts] {
  if (kind !== 'quantifier') return loopCosts.list;
  if (errorsAreFatal) return loopCosts.exists_one;
  return init.args === true ? loopCosts.all : loopCosts.exists;
}

function costOfCall(name: string, values: readonly unknown[]): number {
  const [first, second] = values;
  if (isPlain(first) && isPlain(second)) return ACCESS_COST;
  // By far the most frequent.
  if (typeof first === 'string' && typeof second === 'string' && (name === '==' || name === '!='))
    return charactersCost(Math.min(first.length, second.length));
  const operands = values.map((value) => new ValueOperand(value));
  return Math.max(callCost(name, operands), floorCost(name, operands));
}

/** Numbers and booleans, and what is not there: calls of nothing else all cost 1. */
const isPlain = (value: unknown): boolean => typeof value !== 'string' && typeof value !== 'object';
