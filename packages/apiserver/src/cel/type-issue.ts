/** What is wrong with an expression by the types of its variables, as cel-go says it. */
import { ParseError, TypeError as CelTypeError, type Environment } from '@marcbachmann/cel-js';

/** The type of an expression, or what is wrong with it. */
export type TypeCheck = { readonly type: string } | { readonly issue: string };

export function checkTypes(environment: Environment, expression: string): TypeCheck {
  const { valid, type = 'dyn', error } = environment.check(expression);
  if (valid) return { type };
  const message = error instanceof CelTypeError ? messageOf(error) : (error?.message.split('\n')[0] ?? 'invalid');
  const at = error instanceof CelTypeError || error instanceof ParseError ? placeOf(error, expression) : 0;
  return { issue: pointedAt(expression, at, message) };
}

interface Problem {
  readonly code: string;
  readonly summary: string;
  readonly node?: { readonly op?: string; readonly args?: unknown };
  readonly range?: { readonly start: number };
}

/** `list<string>` is `list(string)`. */
const named = (type: string): string => type.replaceAll('<', '(').replaceAll('>', ')');

function messageOf({ code, summary }: Problem): string {
  const [, key] = /^No such key: (.+)$/u.exec(summary) ?? [];
  if (code === 'no_such_key' && key !== undefined) return `undefined field '${key}'`;
  const [, left, operator, right] = /^no such overload: (.+?) (==|!=|<=|>=|[<>+\-*/%]|in) (.+)$/u.exec(summary) ?? [];
  if (left !== undefined && operator !== undefined && right !== undefined) {
    const symbol = operator === 'in' ? '@in' : `_${operator}_`;
    return `found no matching overload for '${symbol}' applied to '(${named(left)}, ${named(right)})'`;
  }
  const [, unary, operand] = /^no such overload: ([!-])(.+)$/u.exec(summary) ?? [];
  if (unary !== undefined && operand !== undefined)
    return `found no matching overload for '${unary}_' applied to '(${named(operand)})'`;
  const [, receiver, name, args] = /^found no matching overload for '(?:(.+)\.)?(\w+)\((.*)\)'$/u.exec(summary) ?? [];
  if (name !== undefined && args !== undefined)
    return `found no matching overload for '${name}' applied to '${receiver === undefined ? '' : `${named(receiver)}.`}(${named(args)})'`;
  return summary;
}

/** Where cel-go would point: at the operator, the parenthesis, or the dot. */
function placeOf({ node, range }: Problem, expression: string): number {
  const start = range?.start ?? 0;
  const [first] = Array.isArray(node?.args) ? (node.args as readonly unknown[]) : [];
  const end = endOf(first);
  if (node?.op === '.') return Math.max(start - 1, 0);
  const sign = node?.op === 'call' || node?.op === 'rcall' ? '(' : node?.op;
  if (sign === undefined) return start;
  const from = sign === '(' ? Math.max(endOf((node?.args as readonly unknown[] | undefined)?.[1]), start) : end;
  return Math.max(expression.indexOf(sign, from), start);
}

const endOf = (node: unknown): number =>
  typeof node === 'object' && node !== null && 'end' in node && typeof node.end === 'number' ? node.end : 0;

function pointedAt(expression: string, at: number, message: string): string {
  const before = expression.slice(0, at).split('\n');
  const column = before.at(-1)?.length ?? 0;
  const line = expression.split('\n')[before.length - 1] ?? '';
  return `ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${'.'.repeat(column)}^`;
}
