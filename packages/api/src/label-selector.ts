/**
 * Label selectors: the text form of `labelSelector=` (k8s.io/apimachinery/pkg/labels) and the object form
 * metav1.LabelSelector. Grammar, order and messages are upstream's.
 *
 *     selector    = [ requirement { "," requirement } ]
 *     requirement = [ "!" ] KEY | KEY ( "=" | "==" | "!=" | ">" | "<" ) VALUE | KEY ( "in" | "notin" ) "(" VALUES ")"
 */
import { type FieldError, fieldInvalid, fieldNotSupported, formatFieldError } from './field-error.ts';
import type { LabelSelector } from './object.ts';
import { newBadRequest } from './status.ts';
import { isQualifiedName, isValidLabelValue } from './validation.ts';

export type LabelOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

const binaryOperators: readonly LabelOperator[] = ['in', 'notin', '=', '==', '!=', 'gt', 'lt'];
const requirementOperators: readonly LabelOperator[] = [...binaryOperators, 'exists', '!'];

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

/** A parsed label selector. Immutable. */
export interface Selector {
  readonly requirements: readonly LabelRequirement[];
  /** Whether it selects everything. */
  readonly empty: boolean;
  matches(labels: Labels | undefined): boolean;
  /** Upstream's text form: requirements by key, values sorted. */
  toString(): string;
}

const integer = /^[+-]?[0-9]+$/u;

function matchesRequirement({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case '=':
    case '==':
      return value === values[0];
    case 'in':
      return value !== undefined && values.includes(value);
    case '!=':
      return value !== values[0];
    case 'notin':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    default: {
      if (value === undefined || !integer.test(value)) return false;
      const [left, right] = [BigInt(value), BigInt(values[0] ?? '0')];
      return operator === 'gt' ? left > right : left < right;
    }
  }
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  const list = values.toSorted().join(',');
  switch (operator) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${operator} (${list})`;
    case 'gt':
      return `${key}>${list}`;
    case 'lt':
      return `${key}<${list}`;
    default:
      return `${key}${operator}${list}`;
  }
}

const noLabels: Labels = {};

class Requirements implements Selector {
  readonly requirements: readonly LabelRequirement[];

  constructor(requirements: readonly LabelRequirement[]) {
    this.requirements = requirements;
  }

  get empty(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: Labels | undefined): boolean {
    for (const requirement of this.requirements) if (!matchesRequirement(requirement, labels ?? noLabels)) return false;
    return true;
  }

  toString(): string {
    return this.requirements.map(formatRequirement).join(',');
  }
}

/** Selects every object. */
export const everything: Selector = new Requirements([]);

/** Selects no object. */
export const nothing: Selector = {
  requirements: [],
  empty: false,
  matches: () => false,
  toString: () => '',
};

function valueErrors(operator: LabelOperator, values: readonly string[]): FieldError[] {
  const invalid = (detail: string): FieldError[] => [fieldInvalid('values', values, detail)];
  switch (operator) {
    case 'in':
    case 'notin':
      return values.length === 0 ? invalid("for 'in', 'notin' operators, values set can't be empty") : [];
    case '=':
    case '==':
    case '!=':
      return values.length === 1 ? [] : invalid('exact-match compatibility requires one single value');
    case 'exists':
    case '!':
      return values.length === 0 ? [] : invalid('values set must be empty for exists and does not exist');
    case 'gt':
    case 'lt': {
      const detail = "for 'Gt', 'Lt' operators, the value must be an integer";
      return [
        ...(values.length === 1 ? [] : invalid("for 'Gt', 'Lt' operators, exactly one value is required")),
        ...values.flatMap((value, i) => (integer.test(value) ? [] : [fieldInvalid(`values[${i}]`, value, detail)])),
      ];
    }
    default:
      return [fieldNotSupported('operator', operator, requirementOperators)];
  }
}

function requirementErrors({ key, operator, values }: LabelRequirement): FieldError[] {
  const keyErrors = isQualifiedName(key);
  const errors = keyErrors.length === 0 ? [] : [fieldInvalid('key', key, keyErrors.join('; '))];
  errors.push(...valueErrors(operator, values));
  for (const [i, value] of values.entries()) {
    const messages = isValidLabelValue(value);
    if (messages.length !== 0) errors.push(fieldInvalid(`values[${i}][${key}]`, value, messages.join('; ')));
  }
  return errors;
}

function aggregate(errors: readonly FieldError[]): string {
  const texts = [...new Set(errors.map(formatFieldError))];
  return texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`;
}

/** A requirement that upstream would accept; throws BadRequest with its message otherwise. */
export function newLabelRequirement(requirement: LabelRequirement): LabelRequirement {
  const errors = requirementErrors(requirement);
  if (errors.length !== 0) throw newBadRequest(aggregate(errors));
  return requirement;
}

/** A selector of all these requirements. */
export function newSelector(requirements: readonly LabelRequirement[]): Selector {
  return requirements.length === 0 ? everything : new Requirements(requirements);
}

type Token = 'identifier' | 'in' | 'notin' | 'end' | 'error' | '(' | ')' | ',' | '!' | '=' | '==' | '!=' | '>' | '<';

interface Lexeme {
  readonly token: Token;
  readonly literal: string;
}

const specialTokens: ReadonlySet<string> = new Set(['(', ')', ',', '!', '=', '==', '!=', '>', '<']);
const end: Lexeme = { token: 'end', literal: '' };

/** Longest special symbol at the start of `run`, as upstream's lexer finds it. */
function scanSpecialSymbol(run: string): Lexeme {
  let found = '';
  for (let length = 1; length <= run.length; length++) {
    const text = run.slice(0, length);
    if (specialTokens.has(text)) found = text;
    else if (found !== '') break;
  }
  return found === ''
    ? { token: 'error', literal: `error expected: keyword found '${run}'` }
    : { token: found as Token, literal: found };
}

function scan(text: string): Lexeme[] {
  const lexemes: Lexeme[] = [];
  const pattern = /[ \t\r\n]+|([=!(),><]+)|([^=!(),>< \t\r\n]+)/uy;
  while (pattern.lastIndex < text.length) {
    const start = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) break;
    const [, special, word] = match;
    if (special !== undefined) {
      const lexeme = scanSpecialSymbol(special);
      lexemes.push(lexeme);
      if (lexeme.token !== 'error') pattern.lastIndex = start + lexeme.literal.length;
    } else if (word !== undefined) {
      lexemes.push({ token: word === 'in' || word === 'notin' ? word : 'identifier', literal: word });
    }
  }
  return lexemes;
}

const asValue = (lexeme: Lexeme): Lexeme =>
  lexeme.token === 'in' || lexeme.token === 'notin' ? { ...lexeme, token: 'identifier' } : lexeme;

class ParseError extends Error {}

class Parser {
  readonly #lexemes: readonly Lexeme[];
  #position = 0;

  constructor(text: string) {
    this.#lexemes = scan(text);
  }

  #peek(): Lexeme {
    return asValue(this.#lexemes[this.#position] ?? end);
  }

  #next(): Lexeme {
    return asValue(this.#nextRaw());
  }

  #nextRaw(): Lexeme {
    return this.#lexemes[this.#position++] ?? end;
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    for (;;) {
      const { token, literal } = this.#peek();
      if (token === 'end') return requirements;
      if (token !== 'identifier' && token !== '!')
        throw new ParseError(`found '${literal}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      const after = this.#next();
      if (after.token === 'end') return requirements;
      if (after.token !== ',') throw new ParseError(`found '${after.literal}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.token !== 'identifier' && following.token !== '!')
        throw new ParseError(`found '${following.literal}', expected: identifier after ','`);
    }
  }

  #requirement(): LabelRequirement {
    try {
      const first = this.#next();
      const negated = first.token === '!';
      const { token, literal: key } = negated ? this.#next() : first;
      if (token !== 'identifier') throw new ParseError(`found '${key}', expected: identifier`);
      const keyErrors = isQualifiedName(key);
      if (keyErrors.length !== 0)
        throw new ParseError(formatFieldError(fieldInvalid('<nil>', key, keyErrors.join('; '))));
      if (negated) return checked({ key, operator: '!', values: [] });
      const next = this.#peek().token;
      if (next === 'end' || next === ',') return checked({ key, operator: 'exists', values: [] });
      const operator = this.#operator();
      const values = operator === 'in' || operator === 'notin' ? this.#values() : [this.#exactValue()];
      return checked({ key, operator, values });
    } catch (error) {
      if (error instanceof ParseError)
        throw new ParseError(`unable to parse requirement: ${error.message}`, { cause: error });
      throw error;
    }
  }

  #operator(): LabelOperator {
    const { token, literal } = this.#nextRaw();
    if (token === '>') return 'gt';
    if (token === '<') return 'lt';
    if (token === 'in' || token === 'notin' || token === '=' || token === '==' || token === '!=') return token;
    throw new ParseError(`found '${literal}', expected: ${binaryOperators.join(', ')}`);
  }

  #exactValue(): string {
    const { token } = this.#peek();
    if (token === 'end' || token === ',') return '';
    const { token: taken, literal } = this.#next();
    if (taken !== 'identifier') throw new ParseError(`found '${literal}', expected: identifier`);
    return literal;
  }

  #values(): string[] {
    const open = this.#next();
    if (open.token !== '(') throw new ParseError(`found '${open.literal}' expected: '('`);
    const first = this.#peek();
    if (first.token === ')') {
      this.#next();
      return [''];
    }
    if (first.token !== 'identifier' && first.token !== ',')
      throw new ParseError(`found '${first.literal}', expected: ',', ')' or identifier`);
    const values = this.#identifiers();
    if (this.#next().token !== ')') throw new ParseError(`found '${first.literal}', expected: ')'`);
    return values;
  }

  #identifiers(): string[] {
    const values = new Set<string>();
    for (;;) {
      const { token, literal } = this.#next();
      const after = this.#peek();
      if (token === 'identifier') {
        values.add(literal);
        if (after.token === ')') return [...values].toSorted();
        if (after.token !== ',') throw new ParseError(`found '${after.literal}', expected: ',' or ')'`);
      } else if (token === ',') {
        if (values.size === 0) values.add('');
        if (after.token === ')') {
          values.add('');
          return [...values].toSorted();
        }
        if (after.token === ',') {
          this.#next();
          values.add('');
        }
      } else {
        throw new ParseError(`found '${literal}', expected: ',', or identifier`);
      }
    }
  }
}

function checked(requirement: LabelRequirement): LabelRequirement {
  const errors = requirementErrors(requirement);
  if (errors.length !== 0) throw new ParseError(aggregate(errors));
  return requirement;
}

const byKey = (a: LabelRequirement, b: LabelRequirement): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Parses `app=web,tier in (a,b),!canary`; throws BadRequest with upstream's message. */
export function parseLabelSelector(text: string): Selector {
  try {
    return newSelector(new Parser(text).parse().toSorted(byKey));
  } catch (error) {
    if (error instanceof ParseError) throw newBadRequest(error.message);
    throw error;
  }
}

const objectOperators: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/**
 * The selector of a metav1.LabelSelector: undefined selects nothing, an empty one everything; throws BadRequest with
 * upstream's message where it is invalid.
 */
export function labelSelectorFrom(selector: LabelSelector | undefined): Selector {
  if (selector === undefined) return nothing;
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([key, value]) =>
    newLabelRequirement({ key, operator: '=', values: [value] }),
  );
  for (const { key, operator: name, values } of selector.matchExpressions ?? []) {
    const operator = objectOperators[name];
    if (operator === undefined) throw newBadRequest(`${JSON.stringify(name)} is not a valid label selector operator`);
    requirements.push(newLabelRequirement({ key, operator, values: values ?? [] }));
  }
  return newSelector(requirements.toSorted(byKey));
}

/** The selector of a plain map, such as Service's `spec.selector`: equality of each, not validated. */
export function selectorFromSet(labels: Labels | undefined): Selector {
  const entries = Object.entries(labels ?? {});
  return newSelector(
    entries.map(([key, value]): LabelRequirement => ({ key, operator: '=', values: [value] })).toSorted(byKey),
  );
}

/** How kubectl shows a metav1.LabelSelector. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  try {
    const text = labelSelectorFrom(selector).toString();
    return text === '' ? '<none>' : text;
  } catch {
    return '<error>';
  }
}
