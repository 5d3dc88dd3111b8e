import { EvaluationError, ParseError, TypeError as CelTypeError, type Environment } from '@marcbachmann/cel-js';
import { useLinearMatches, type CelNode } from './cel-ast.ts';
import { estimateCost } from './cost-estimate.ts';
import { attachMeter, CostMeter, type CostBudget } from './cost-meter.ts';
import { PER_CALL_COST_MAX } from './cost-model.ts';
import type { SizedType } from './sized-type.ts';

/** An expression, compiled once. */
export interface CelProgram {
  readonly expression: string;
  /**
   * What it came to, as CEL's value. It may cost PER_CALL_COST_MAX, and no more than is left of the budget that it is given.
   * @throws CelError, and CelBudgetError where nothing is left.
   */
  evaluate(variables: Readonly<Record<string, unknown>>, budget?: CostBudget): unknown;
  /** The most that it can cost, by what is known of its variables. */
  estimate(variables: ReadonlyMap<string, SizedType>): number;
  /** What the last evaluation cost. */
  readonly cost: number;
}

/** Why an expression cannot be compiled or has no value. */
export class CelError extends Error {
  override readonly name: string = 'CelError';
}

/** What evaluations may cost together is spent: no others are to be tried. */
export class CelBudgetError extends CelError {
  override readonly name = 'CelBudgetError';
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run');
  }
}

/** One evaluation has reached its limit. */
export class CelLimitError extends CelError {
  override readonly name = 'CelLimitError';
  constructor() {
    super('operation cancelled: actual cost limit exceeded');
  }
}

/** @throws CelError with what is wrong. `resultType`: what it must come to, where that can be told. */
export function compileCel(environment: Environment, expression: string, resultType?: string): CelProgram {
  try {
    const parsed = environment.parse(expression);
    const root = parsed.ast as unknown as CelNode;
    useLinearMatches(root);
    const checked = parsed.check();
    if (!checked.valid) throw checked.error ?? new CelError('invalid expression');
    const { type } = checked;
    if (resultType !== undefined && type !== undefined && type !== 'dyn' && type !== resultType)
      throw new CelError(`must evaluate to ${resultType}`);
    const meter = new CostMeter();
    attachMeter(root, meter);
    return {
      expression,
      estimate: (variables) => estimateCost(root, variables),
      get cost() {
        return meter.cost;
      },
      evaluate(variables, budget) {
        meter.start(Math.min(PER_CALL_COST_MAX, budget?.remaining ?? PER_CALL_COST_MAX));
        let value: unknown;
        let failure: unknown;
        try {
          value = parsed(variables);
        } catch (error) {
          failure = error;
        }
        if (budget !== undefined && !budget.spend(meter.cost)) throw new CelBudgetError();
        if (meter.isExceeded) throw new CelLimitError();
        if (failure !== undefined) throw asCelError(failure);
        return value;
      },
    };
  } catch (error) {
    throw asCelError(error);
  }
}

function asCelError(error: unknown): CelError {
  if (error instanceof CelError) return error;
  if (error instanceof EvaluationError || error instanceof ParseError || error instanceof CelTypeError)
    return new CelError(error.code === 'no_such_key' ? `no such key: ${keyOf(error.summary)}` : error.summary);
  return new CelError(error instanceof Error ? error.message : String(error));
}

const keyOf = (summary: string): string => summary.replace(/^No such key: /u, '');
