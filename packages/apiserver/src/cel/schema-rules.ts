/**
 * `x-kubernetes-validations`: rules of a custom resource's schema, in CEL (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel).
 * A rule that names `oldSelf` is about changes: it holds where there was an old value to compare with.
 */
import { Optional } from '@marcbachmann/cel-js';
import {
  additionalOf,
  equalJson,
  fieldInvalid,
  isJsonObject,
  listCorrelation,
  propertyOf,
  type FieldError,
  type FieldErrorType,
  type JsonSchema,
} from '@naru/api';
import { celEnvironment } from './cel-environment.ts';
import { CelBudgetError, CelError, CelLimitError, compileCel, type CelProgram } from './cel-program.ts';
import { CostBudget } from './cost-meter.ts';
import { REQUEST_COST_MAX } from './cost-model.ts';
import { celOfSchema } from './schema-values.ts';

export interface ValidationRule {
  readonly rule?: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

interface CompiledRule {
  readonly source: ValidationRule;
  readonly program: CelProgram | CelError;
  readonly message: CelProgram | undefined;
  readonly usesOldSelf: boolean;
}

/** The rules of a schema, and of what is in it; only parts with rules are there. */
interface RuleNode {
  readonly schema: JsonSchema;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly additional: RuleNode | undefined;
  readonly items: RuleNode | undefined;
}

/** Checks objects by all rules of a schema; undefined: it has none. */
export type RuleValidator = (value: unknown, old: unknown) => FieldError[];

const reasons: Readonly<Record<string, FieldErrorType>> = {
  FieldValueDuplicate: 'FieldValueDuplicate',
  FieldValueForbidden: 'FieldValueForbidden',
  FieldValueInvalid: 'FieldValueInvalid',
  FieldValueRequired: 'FieldValueRequired',
};

export function compileSchemaRules(schema: JsonSchema): RuleValidator | undefined {
  const node = compileNode(withMetadata(schema));
  if (node === undefined) return undefined;
  return (value, old) => {
    const errors: FieldError[] = [];
    try {
      validate(node, value, { old, path: '', errors, budget: new CostBudget(REQUEST_COST_MAX) });
    } catch (error) {
      if (!(error instanceof NoFurtherRules)) throw error;
    }
    return errors;
  };
}

/** At the root, expressions see the type and the names of the object, beside what the schema has. */
export function withMetadata(schema: JsonSchema): JsonSchema {
  const text: JsonSchema = { type: 'string' };
  const metadata: JsonSchema = { type: 'object', properties: { name: text, generateName: text } };
  return { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
}

function compileNode(schema: JsonSchema): RuleNode | undefined {
  const rules = rulesOf(schema).map((source): CompiledRule => {
    const { program, message } = tryRule(source);
    return {
      source,
      program,
      message: message instanceof CelError ? undefined : message,
      usesOldSelf: /\boldSelf\b/u.test(source.rule ?? ''),
    };
  });
  const properties = new Map<string, RuleNode>();
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const node = compileNode(each);
    if (node !== undefined) properties.set(name, node);
  }
  const additionalSchema = additionalOf(schema);
  const additional = additionalSchema === undefined ? undefined : compileNode(additionalSchema);
  const items = schema.items === undefined ? undefined : compileNode(schema.items);
  const isEmpty = rules.length === 0 && properties.size === 0 && additional === undefined && items === undefined;
  return isEmpty ? undefined : { schema, rules, properties, additional, items };
}

export const rulesOf = (schema: JsonSchema): readonly ValidationRule[] =>
  (schema['x-kubernetes-validations'] ?? []) as readonly ValidationRule[];

export function tryRule({ rule = '', messageExpression }: ValidationRule): {
  readonly program: CelProgram | CelError;
  readonly message: CelProgram | CelError | undefined;
} {
  const environment = celEnvironment(['self', 'oldSelf']);
  const compile = (expression: string, type: string): CelProgram | CelError => {
    try {
      return compileCel(environment, expression, type);
    } catch (error) {
      if (error instanceof CelError) return error;
      throw error;
    }
  };
  return {
    program: compile(rule, 'bool'),
    message: messageExpression === undefined ? undefined : compile(messageExpression, 'string'),
  };
}

/** What is left to be said of an object whose rules cost too much is said. */
class NoFurtherRules extends Error {}

interface Validation {
  readonly old: unknown;
  readonly path: string;
  /** What is found is added. */
  readonly errors: FieldError[];
  readonly budget: CostBudget;
}

/** @throws NoFurtherRules */
function validate(node: RuleNode, value: unknown, { old, path, errors, budget }: Validation): void {
  // What does not change need not be better than it was.
  if (value === null || value === undefined || (old !== undefined && equalJson(value, old))) return;
  if (node.rules.length > 0) {
    const self = celOfSchema(value, node.schema);
    const oldSelf = old === undefined || old === null ? undefined : celOfSchema(old, node.schema);
    const input: RuleInput = { self, oldSelf, path, type: node.schema.type, errors, budget };
    for (const rule of node.rules) checkRule(rule, input);
  }
  if (Array.isArray(value) && node.items !== undefined) {
    const { items } = node;
    const oldOf = listCorrelation(old, node.schema);
    for (const [i, item] of value.entries())
      validate(items, item, { old: oldOf(item), path: `${path}[${i}]`, errors, budget });
  } else if (isJsonObject(value)) {
    const oldFields = isJsonObject(old) ? old : {};
    for (const [name, each] of Object.entries(value)) {
      const isProperty = propertyOf(node.schema, name) !== undefined;
      const child = isProperty ? node.properties.get(name) : node.additional;
      if (child === undefined) continue;
      const at = isProperty ? (path === '' ? name : `${path}.${name}`) : `${path}[${name}]`;
      validate(child, each, { old: oldFields[name], path: at, errors, budget });
    }
  }
}

interface RuleInput extends Pick<Validation, 'path' | 'errors' | 'budget'> {
  readonly self: unknown;
  readonly oldSelf: unknown;
  readonly type: string | undefined;
}

/** @throws NoFurtherRules */
function checkRule({ source, program, message, usesOldSelf }: CompiledRule, input: RuleInput): void {
  const { self, oldSelf, path, type = 'object', errors, budget } = input;
  const isOptional = source.optionalOldSelf === true;
  if (usesOldSelf && oldSelf === undefined && !isOptional) return;
  const before = isOptional ? (oldSelf === undefined ? Optional.none() : Optional.of(oldSelf)) : (oldSelf ?? null);
  const variables = { self, oldSelf: before };
  const shown = source.message ?? `failed rule: ${(source.rule ?? '').trim()}`;
  const where = source.fieldPath === undefined || source.fieldPath === '' ? path : joined(path, source.fieldPath);
  // The path of the whole object, as upstream prints it.
  const at = where === '' ? '<nil>' : where;
  const add = (detail: string): void => void errors.push(fieldInvalid(at, type, detail));
  try {
    if (program instanceof CelError) throw program;
    if (program.evaluate(variables, budget) === true) return;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    if (error instanceof CelBudgetError) {
      add(error.message);
      throw new NoFurtherRules();
    }
    if (error instanceof CelLimitError) {
      add(
        `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${shown}`,
      );
      throw new NoFurtherRules();
    }
    add(`${error.message} evaluating rule: ${shown}`);
    return;
  }
  const kind = reasons[source.reason ?? ''] ?? 'FieldValueInvalid';
  errors.push({ ...fieldInvalid(at, type, messageOf(message, variables, budget) ?? shown), type: kind });
}

function joined(path: string, fieldPath: string): string {
  return path === '' ? fieldPath.replace(/^\./u, '') : `${path}${fieldPath}`;
}

/** Undefined: the expression says nothing that can be told. */
function messageOf(
  program: CelProgram | undefined,
  variables: Readonly<Record<string, unknown>>,
  budget: CostBudget,
): string | undefined {
  try {
    const text = program?.evaluate(variables, budget);
    return typeof text === 'string' && text.trim() !== '' ? text.trim() : undefined;
  } catch (error) {
    if (error instanceof CelError) return undefined;
    throw error;
  }
}
