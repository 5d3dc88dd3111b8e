/** The part of kubectl's JSONPath that columns, selectable fields and scale paths of custom resources use. */
import { isJsonObject } from './patch/json.ts';

type Step =
  | { readonly type: 'field'; readonly name: string }
  | { readonly type: 'index'; readonly index: number }
  | { readonly type: 'all' }
  | { readonly type: 'filter'; readonly path: JsonPath; readonly operator: string; readonly value: unknown };

export interface JsonPath {
  readonly steps: readonly Step[];
}

export class JsonPathError extends Error {}

const field = /^\.((?:\\.|[^.[\]\\])+)/u;
const quoted = /^\[(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")\]/u;
const index = /^\[(-?\d+)\]/u;
const wildcard = /^(?:\[\*\]|\.\*)/u;
const filter =
  /^\[\?\(@((?:\.[^=!<>\s()]+|\[[^\]]*\])*)\s*(?:(==|!=|<=|>=|<|>)\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s)]+)\s*)?\)\]/u;

/** Parses `.spec.list[0].name`, `['a']`, `[*]`, `[?(@.type=="Ready")]`. @throws JsonPathError. */
export function parseJsonPath(text: string): JsonPath {
  const steps: Step[] = [];
  let rest = text.replace(/^\{(.*)\}$/u, '$1').replace(/^\$/u, '');
  const take = (match: RegExpExecArray, step: Step): void => {
    steps.push(step);
    rest = rest.slice(match[0].length);
  };
  if (rest === '.') return { steps };
  while (rest !== '') {
    let match: RegExpExecArray | null;
    if ((match = wildcard.exec(rest)) !== null) take(match, { type: 'all' });
    else if ((match = field.exec(rest)) !== null) take(match, { type: 'field', name: unescape(match[1] ?? '') });
    else if ((match = index.exec(rest)) !== null) take(match, { type: 'index', index: Number(match[1]) });
    else if ((match = quoted.exec(rest)) !== null)
      take(match, { type: 'field', name: unescape(match[1] ?? match[2] ?? '') });
    else if ((match = filter.exec(rest)) !== null) {
      const [, path = '', operator = '', value = ''] = match;
      take(match, { type: 'filter', path: parseJsonPath(path), operator, value: literal(value) });
    } else throw new JsonPathError(`unexpected ${JSON.stringify(rest)} in path ${JSON.stringify(text)}`);
  }
  return { steps };
}

const unescape = (text: string): string => text.replaceAll(/\\(.)/gu, '$1');

function literal(text: string): unknown {
  if (/^['"]/u.test(text)) return unescape(text.slice(1, -1));
  if (text === 'true' || text === 'false') return text === 'true';
  return text === '' || Number.isNaN(Number(text)) ? text : Number(text);
}

/** Every value at the path, in the order of the document. */
export function findJsonPath(root: unknown, path: JsonPath): unknown[] {
  let found: unknown[] = [root];
  for (const step of path.steps) found = found.flatMap((each) => apply(each, step));
  return found;
}

function apply(value: unknown, step: Step): unknown[] {
  switch (step.type) {
    case 'field':
      return isJsonObject(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'index': {
      const each: unknown = Array.isArray(value) ? value.at(step.index) : undefined;
      return each === undefined ? [] : [each];
    }
    case 'all':
      return elementsOf(value);
    case 'filter':
      return elementsOf(value).filter((each) => passes(findJsonPath(each, step.path)[0], step.operator, step.value));
    default:
      return step satisfies never;
  }
}

function elementsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  return isJsonObject(value) ? Object.values(value) : [];
}

function passes(left: unknown, operator: string, right: unknown): boolean {
  if (left === undefined) return false;
  const less = (left as number) < (right as number);
  switch (operator) {
    case '':
      return true;
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return less;
    case '<=':
      return less || left === right;
    case '>':
      return (left as number) > (right as number);
    default:
      return !less;
  }
}

/** Sets the value at a path of plain fields, in place, with the objects on the way. */
export function setAtJsonPath(root: Record<string, unknown>, path: JsonPath, value: unknown): void {
  let at = root;
  for (const [i, step] of path.steps.entries()) {
    if (step.type !== 'field') return;
    if (i === path.steps.length - 1) at[step.name] = value;
    else {
      const next = at[step.name];
      at = isJsonObject(next) ? next : (at[step.name] = {});
    }
  }
}
