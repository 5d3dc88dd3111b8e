/** `matchConditions` of webhooks and policies. */
import { celEnvironment } from '../../cel/cel-environment.ts';
import { CelBudgetError, CelError, compileCel, type CelProgram } from '../../cel/cel-program.ts';
import { CostBudget } from '../../cel/cost-meter.ts';
import { MATCH_CONDITIONS_COST_MAX } from '../../cel/cost-model.ts';

export interface MatchCondition {
  readonly name: string;
  readonly expression: string;
}

export interface CompiledCondition {
  readonly name: string;
  readonly program: CelProgram | CelError;
}

/** Variables of a match condition; policies have `params` too. */
export const conditionVariables = [
  'object',
  'oldObject',
  'request',
  'authorizer',
  'namespaceObject',
  'params',
] as const;

export function compileConditions(conditions: readonly MatchCondition[] | undefined): readonly CompiledCondition[] {
  if (conditions === undefined || conditions.length === 0) return [];
  const environment = celEnvironment(conditionVariables);
  return conditions.map(({ name, expression }) => {
    try {
      return { name, program: compileCel(environment, expression, 'bool') };
    } catch (error) {
      if (error instanceof CelError) return { name, program: error };
      throw error;
    }
  });
}

/**
 * Whether all hold. One that is false decides even where others fail, unless they have cost too much by then.
 * @throws CelError where that is not to be told.
 */
export function conditionsHold(
  conditions: readonly CompiledCondition[],
  variables: () => Readonly<Record<string, unknown>>,
): boolean {
  if (conditions.length === 0) return true;
  const values = variables();
  const budget = new CostBudget(MATCH_CONDITIONS_COST_MAX);
  let failure: CelError | undefined;
  for (const { name, program } of conditions) {
    try {
      if (program instanceof CelError) throw program;
      if (program.evaluate(values, budget) === false) return false;
    } catch (error) {
      if (!(error instanceof CelError) || error instanceof CelBudgetError) throw error;
      failure ??= new CelError(`error in matchCondition ${JSON.stringify(name)}: ${error.message}`);
    }
  }
  if (failure !== undefined) throw failure;
  return true;
}
