import { EvaluationError, ParseError, TypeError as CelTypeError, type Environment } from '@marcbachmann/cel-js';

/** An expression, compiled once. */
export interface CelProgram {
  readonly expression: string;
  /** What it came to, as CEL's value. @throws CelError. */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown;
}

/** Why an expression cannot be compiled or has no value. */
export class CelError extends Error {
  override readonly name = 'CelError';
}

/** @throws CelError with what is wrong. `resultType`: what it must come to, where that can be told. */
export function compileCel(environment: Environment, expression: string, resultType?: string): CelProgram {
  try {
    const parsed = environment.parse(expression);
    useLinearMatches(parsed.ast, new Set());
    const checked = parsed.check();
    if (!checked.valid) throw checked.error ?? new CelError('invalid expression');
    const { type } = checked;
    if (resultType !== undefined && type !== undefined && type !== 'dyn' && type !== resultType)
      throw new CelError(`must evaluate to ${resultType}`);
    return {
      expression,
      evaluate(variables) {
        try {
          return parsed(variables) as unknown;
        } catch (error) {
          throw asCelError(error);
        }
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

/** The name of `matches()` that takes linear time, as the library's own cannot be replaced. */
export const LINEAR_MATCHES = 'matchesInLinearTime';

/** Lets calls of `string.matches(string)` be of ours. */
function useLinearMatches(node: unknown, seen: Set<object>): void {
  if (typeof node !== 'object' || node === null || seen.has(node)) return;
  seen.add(node);
  const { op, args } = node as { readonly op?: unknown; readonly args?: unknown };
  if (op === 'rcall' && Array.isArray(args) && args[0] === 'matches') args[0] = LINEAR_MATCHES;
  for (const each of Object.values(node)) useLinearMatches(each, seen);
}
