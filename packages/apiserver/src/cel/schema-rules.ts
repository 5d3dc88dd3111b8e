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
import { CelError, compileCel, type CelProgram } from './cel-program.ts';
import { celOfSchema } from './schema-values.ts';

interface ValidationRule {
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
  return (value, old) => validate(node, value, { old, path: '' });
}

/** What is wrong with the rules themselves; paths are those of the definition. */
export function schemaRuleErrors(schema: JsonSchema, path: string): FieldError[] {
  const own = ((schema['x-kubernetes-validations'] ?? []) as readonly ValidationRule[]).flatMap((source, i) => {
    const at = `${path}.x-kubernetes-validations[${i}]`;
    const { program, message } = tryRule(source);
    const errors: FieldError[] = [];
    if (program instanceof CelError)
      errors.push(fieldInvalid(`${at}.rule`, source.rule ?? '', `compilation failed: ${program.message}`));
    if (message instanceof CelError)
      errors.push(
        fieldInvalid(
          `${at}.messageExpression`,
          source.messageExpression ?? '',
          `compilation failed: ${message.message}`,
        ),
      );
    return errors;
  });
  const additional = additionalOf(schema);
  return [
    ...own,
    ...Object.entries(schema.properties ?? {}).flatMap(([name, each]) =>
      schemaRuleErrors(each, `${path}.properties[${name}]`),
    ),
    ...(additional === undefined ? [] : schemaRuleErrors(additional, `${path}.additionalProperties`)),
    ...(schema.items === undefined ? [] : schemaRuleErrors(schema.items, `${path}.items`)),
  ];
}

/** At the root, expressions see the type and the names of the object, beside what the schema has. */
function withMetadata(schema: JsonSchema): JsonSchema {
  const text: JsonSchema = { type: 'string' };
  const metadata: JsonSchema = { type: 'object', properties: { name: text, generateName: text } };
  return { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
}

function compileNode(schema: JsonSchema): RuleNode | undefined {
  const rules = ((schema['x-kubernetes-validations'] ?? []) as readonly ValidationRule[]).map(
    (source): CompiledRule => {
      const { program, message } = tryRule(source);
      return {
        source,
        program,
        message: message instanceof CelError ? undefined : message,
        usesOldSelf: /\boldSelf\b/u.test(source.rule ?? ''),
      };
    },
  );
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

function tryRule({ rule = '', messageExpression }: ValidationRule): {
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

function validate(
  node: RuleNode,
  value: unknown,
  { old, path }: { readonly old: unknown; readonly path: string },
): FieldError[] {
  // What does not change need not be better than it was.
  if (value === null || value === undefined || (old !== undefined && equalJson(value, old))) return [];
  const errors: FieldError[] = [];
  if (node.rules.length > 0) {
    const self = celOfSchema(value, node.schema);
    const oldSelf = old === undefined || old === null ? undefined : celOfSchema(old, node.schema);
    for (const rule of node.rules) errors.push(...ruleErrors(rule, { self, oldSelf, path, type: node.schema.type }));
  }
  if (Array.isArray(value) && node.items !== undefined) {
    const { items } = node;
    const oldOf = listCorrelation(old, node.schema);
    for (const [i, item] of value.entries())
      errors.push(...validate(items, item, { old: oldOf(item), path: `${path}[${i}]` }));
  } else if (isJsonObject(value)) {
    const oldFields = isJsonObject(old) ? old : {};
    for (const [name, each] of Object.entries(value)) {
      const isProperty = propertyOf(node.schema, name) !== undefined;
      const child = isProperty ? node.properties.get(name) : node.additional;
      if (child === undefined) continue;
      const at = isProperty ? (path === '' ? name : `${path}.${name}`) : `${path}[${name}]`;
      errors.push(...validate(child, each, { old: oldFields[name], path: at }));
    }
  }
  return errors;
}

interface RuleInput {
  readonly self: unknown;
  readonly oldSelf: unknown;
  readonly path: string;
  readonly type: string | undefined;
}

function ruleErrors({ source, program, message, usesOldSelf }: CompiledRule, input: RuleInput): FieldError[] {
  const { self, oldSelf, path, type = 'object' } = input;
  const isOptional = source.optionalOldSelf === true;
  if (usesOldSelf && oldSelf === undefined && !isOptional) return [];
  const before = isOptional ? (oldSelf === undefined ? Optional.none() : Optional.of(oldSelf)) : (oldSelf ?? null);
  const variables = { self, oldSelf: before };
  const shown = source.message ?? `failed rule: ${(source.rule ?? '').trim()}`;
  const where = source.fieldPath === undefined || source.fieldPath === '' ? path : joined(path, source.fieldPath);
  // The path of the whole object, as upstream prints it.
  const at = where === '' ? '<nil>' : where;
  try {
    if (program instanceof CelError) throw program;
    if (program.evaluate(variables) === true) return [];
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    return [fieldInvalid(at, type, `${error.message} evaluating rule: ${shown}`)];
  }
  const kind = reasons[source.reason ?? ''] ?? 'FieldValueInvalid';
  return [{ ...fieldInvalid(at, type, messageOf(message, variables) ?? shown), type: kind }];
}

function joined(path: string, fieldPath: string): string {
  return path === '' ? fieldPath.replace(/^\./u, '') : `${path}${fieldPath}`;
}

function messageOf(program: CelProgram | undefined, variables: Readonly<Record<string, unknown>>): string | undefined {
  try {
    const text = program?.evaluate(variables);
    return typeof text === 'string' && text.trim() !== '' ? text.trim() : undefined;
  } catch (error) {
    if (error instanceof CelError) return undefined;
    throw error;
  }
}
