/**
 * Validation by the schema of a custom resource; errors and their wording are upstream's
 * (k8s.io/kube-openapi/pkg/validation, k8s.io/apiextensions-apiserver/pkg/apiserver/validation).
 */
import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTypeInvalid,
  type FieldError,
} from '../field-error.ts';
import { equalJson, isJsonObject, type JsonObject } from '../patch/json.ts';
import { hasFormat } from './formats.ts';
import { listCorrelation } from './list-correlation.ts';
import { compilePattern, isPattern } from './pattern.ts';
import { additionalOf, propertyOf, type JsonSchema } from './structural-schema.ts';

/**
 * What is wrong with a value; `path` is '' for the whole object. What is as it was in `old` need not be better than it was:
 * a definition may be stricter by now.
 */
export function validateValue(value: unknown, schema: JsonSchema, path = '', old?: unknown): FieldError[] {
  if (old !== undefined && equalJson(value, old)) return [];
  if (value === null && schema.nullable === true) return [];
  const wrongType = typeErrors(value, schema, path);
  if (wrongType.length > 0) return wrongType;
  return [
    ...enumErrors(value, schema, path),
    ...numberErrors(value, schema, path),
    ...stringErrors(value, schema, path),
    ...listErrors(value, schema, { path, old }),
    ...objectErrors(value, schema, { path, old }),
    ...compositionErrors(value, schema, path),
  ];
}

const inBody = (path: string): string => (path === '' ? 'in body' : `${path} in body`);

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function typeErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  const type = typeOf(value);
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (type === 'integer' || type === 'string') return [];
    return [fieldTypeInvalid(path, type, `${inBody(path)} must be of type integer,string: ${JSON.stringify(type)}`)];
  }
  const { type: wanted } = schema;
  if (wanted === undefined || wanted === '' || wanted === type || (wanted === 'number' && type === 'integer'))
    return [];
  return [fieldTypeInvalid(path, type, `${inBody(path)} must be of type ${wanted}: ${JSON.stringify(type)}`)];
}

function enumErrors(value: unknown, { enum: values }: JsonSchema, path: string): FieldError[] {
  if (values === undefined || values.some((each) => equalJson(each, value))) return [];
  return [
    fieldNotSupported(
      path,
      value,
      values.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))),
    ),
  ];
}

function numberErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  if (typeof value !== 'number') return [];
  const { maximum, minimum, multipleOf } = schema;
  const errors: FieldError[] = [];
  const refuse = (what: string): void =>
    void errors.push(fieldInvalid(path, value, `${inBody(path)} should be ${what}`));
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum === true) {
      if (value >= maximum) refuse(`less than ${maximum}`);
    } else if (value > maximum) refuse(`less than or equal to ${maximum}`);
  }
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum === true) {
      if (value <= minimum) refuse(`greater than ${minimum}`);
    } else if (value < minimum) refuse(`greater than or equal to ${minimum}`);
  }
  if (multipleOf !== undefined && multipleOf > 0 && !Number.isInteger(Number((value / multipleOf).toPrecision(15))))
    refuse(`a multiple of ${multipleOf}`);
  const { format } = schema;
  if (format === 'int32' && (value >= 2 ** 31 || value < -(2 ** 31)))
    errors.push(fieldInvalid(path, value, `${inBody(path)} must be of type int32: ${JSON.stringify(String(value))}`));
  return errors;
}

function stringErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  if (typeof value !== 'string') return [];
  const { maxLength, minLength, pattern, format } = schema;
  const errors: FieldError[] = [];
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
  if (maxLength !== undefined && length > maxLength) errors.push(fieldTooLong(path, maxLength));
  if (minLength !== undefined && length < minLength)
    errors.push(fieldInvalid(path, value, `${inBody(path)} should be at least ${minLength} chars long`));
  if (pattern !== undefined && pattern !== '' && isPattern(pattern) && !compilePattern(pattern).test(value))
    errors.push(fieldInvalid(path, value, `${inBody(path)} should match '${pattern}'`));
  if (format !== undefined && !hasFormat(format, value))
    errors.push(fieldInvalid(path, value, `${inBody(path)} must be of type ${format}: ${JSON.stringify(value)}`));
  return errors;
}

const tooMany = (field: string, value: number, max: number): FieldError => ({
  type: 'FieldValueTooMany',
  field,
  value,
  detail: `must have at most ${max} items`,
});

interface Place {
  readonly path: string;
  readonly old: unknown;
}

function listErrors(value: unknown, schema: JsonSchema, { path, old }: Place): FieldError[] {
  if (!Array.isArray(value)) return [];
  const { maxItems, minItems, items } = schema;
  const errors: FieldError[] = [];
  if (items !== undefined) {
    const oldOf = listCorrelation(old, schema);
    for (const [i, each] of value.entries()) errors.push(...validateValue(each, items, `${path}[${i}]`, oldOf(each)));
  }
  if (minItems !== undefined && value.length < minItems)
    errors.push(fieldInvalid(path, value.length, `${inBody(path)} should have at least ${minItems} items`));
  if (maxItems !== undefined && value.length > maxItems) errors.push(tooMany(path, value.length, maxItems));
  if (schema.uniqueItems === true && hasDuplicates(value))
    errors.push(fieldInvalid(path, value, `${inBody(path)} shouldn't contain duplicates`));
  return errors;
}

function hasDuplicates(list: readonly unknown[]): boolean {
  return list.some((each, i) => list.slice(0, i).some((other) => equalJson(each, other)));
}

function objectErrors(value: unknown, schema: JsonSchema, { path, old }: Place): FieldError[] {
  if (!isJsonObject(value)) return [];
  const { maxProperties, minProperties } = schema;
  const errors: FieldError[] = [];
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  for (const name of schema.required ?? []) if (!Object.hasOwn(value, name)) errors.push(fieldRequired(at(name)));
  errors.push(...propertyErrors(value, schema, { at, old: isJsonObject(old) ? old : {} }));
  const count = Object.keys(value).length;
  if (minProperties !== undefined && count < minProperties)
    errors.push(fieldInvalid(path, count, `${inBody(path)} should have at least ${minProperties} properties`));
  if (maxProperties !== undefined && count > maxProperties) errors.push(tooMany(path, count, maxProperties));
  if (schema['x-kubernetes-embedded-resource'] === true) errors.push(...embeddedErrors(value, at));
  return errors;
}

function propertyErrors(
  value: JsonObject,
  schema: JsonSchema,
  { at, old }: { readonly at: (key: string) => string; readonly old: JsonObject },
): FieldError[] {
  const additional = additionalOf(schema);
  return Object.entries(value).flatMap(([key, each]) => {
    const field = propertyOf(schema, key) ?? additional;
    return field === undefined
      ? []
      : validateValue(each, field, at(key), Object.hasOwn(old, key) ? old[key] : undefined);
  });
}

/** An object within an object must say what it is. */
function embeddedErrors(value: JsonObject, at: (key: string) => string): FieldError[] {
  return ['apiVersion', 'kind'].flatMap((name) => {
    const text = value[name];
    if (text === undefined || text === '') return [fieldRequired(at(name), 'must not be empty')];
    return [];
  });
}

/** Upstream tells these without a path of their own. */
const composition = (detail: string): FieldError => fieldInvalid('<nil>', '', detail);

function compositionErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  const { allOf = [], anyOf = [], oneOf = [], not } = schema;
  if (allOf.length + anyOf.length + oneOf.length === 0 && not === undefined) return [];
  const errors: FieldError[] = [];
  const quoted = JSON.stringify(path);
  if (anyOf.length > 0) {
    const all = anyOf.map((each) => validateValue(value, each, path));
    if (all.every((each) => each.length > 0))
      errors.push(composition(`${quoted} must validate at least one schema (anyOf)`), ...fewest(all));
  }
  if (oneOf.length > 0) {
    const all = oneOf.map((each) => validateValue(value, each, path));
    const valid = all.filter((each) => each.length === 0).length;
    if (valid !== 1) {
      const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
      errors.push(composition(`${quoted} must validate one and only one schema (oneOf). ${found}`));
      if (valid === 0) errors.push(...fewest(all));
    }
  }
  const failed = allOf.map((each) => validateValue(value, each, path)).filter((each) => each.length > 0);
  if (failed.length > 0) {
    const none = failed.length === allOf.length ? '. None validated' : '';
    errors.push(composition(`${quoted} must validate all the schemas (allOf)${none}`), ...failed.flat());
  }
  if (not !== undefined && validateValue(value, not, path).length === 0)
    errors.push(composition(`${quoted} must not validate the schema (not)`));
  return errors;
}

function fewest(all: readonly FieldError[][]): FieldError[] {
  return all.reduce((best, each) => (each.length < best.length ? each : best), all[0] ?? []);
}
