import { fieldRequired, schemaOf, type FieldError, type FieldType } from '@naru/api';

/** What the server writes, and what other rules look after. */
const skippedFields: ReadonlySet<string> = new Set(['status', 'metadata', 'apiVersion', 'kind']);

/**
 * The fields of a model that its schema marks as required and that are missing: texts, and parts of the object. Numbers,
 * booleans and lists are not among them, as their absence is the zero value, which is a good one for most.
 */
export function requiredFieldErrors(model: string, object: unknown): FieldError[] {
  const errors: FieldError[] = [];
  checkModel(model, object as Readonly<Record<string, unknown>>, '', errors);
  return errors;
}

function checkModel(
  model: string,
  object: Readonly<Record<string, unknown>>,
  path: string,
  errors: FieldError[],
): void {
  for (const [name, schema] of Object.entries(schemaOf(model)?.fields ?? {})) {
    if (path === '' && skippedFields.has(name)) continue;
    const at = path === '' ? name : `${path}.${name}`;
    const value = object[name];
    const isMissing = value === undefined || value === null || (schema.type === 'string' && value === '');
    if (!isMissing) checkValue(schema, value, at, errors);
    else if (schema.required === true && (schema.type === 'string' || schema.type === 'ref'))
      errors.push(fieldRequired(at));
  }
}

function checkValue(type: FieldType, value: unknown, path: string, errors: FieldError[]): void {
  switch (type.type) {
    case 'ref':
      if (typeof value === 'object' && value !== null)
        checkModel(type.ref, value as Readonly<Record<string, unknown>>, path, errors);
      break;
    case 'array':
      if (Array.isArray(value))
        for (const [i, each] of value.entries()) checkValue(type.items, each, `${path}[${i}]`, errors);
      break;
    case 'map':
      if (typeof value === 'object' && value !== null)
        for (const [key, each] of Object.entries(value)) checkValue(type.items, each, `${path}[${key}]`, errors);
      break;
    default:
  }
}
