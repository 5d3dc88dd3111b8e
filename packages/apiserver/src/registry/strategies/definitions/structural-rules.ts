/** What makes a schema structural (k8s.io/apiextensions-apiserver/pkg/apiserver/schema, apis/apiextensions/validation). */
import {
  isPattern,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  validateValue,
  type FieldError,
  type JsonSchema,
} from '@naru/api';

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const unsupported = ['$ref', '$schema', 'id', 'additionalItems', 'definitions', 'dependencies', 'patternProperties'];
/** Keywords that belong to the structure: they may not stand below allOf, anyOf, oneOf and not. */
const structural = [
  'title',
  'description',
  'type',
  'default',
  'additionalProperties',
  'nullable',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
] as const;

/** Errors of the schema of a whole resource. */
export function structuralErrors(schema: JsonSchema, path: string): FieldError[] {
  if (schema.type === undefined || schema.type === '')
    return [fieldRequired(`${path}.type`, 'must not be empty at the root'), ...keywordErrors(schema, path)];
  if (schema.type !== 'object')
    return [fieldInvalid(`${path}.type`, schema.type, 'must be object at the root'), ...keywordErrors(schema, path)];
  return nodeErrors(schema, path);
}

function nodeErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors = [...keywordErrors(schema, path), ...extensionErrors(schema, path), ...junctorErrors(schema, path)];
  const { items, properties, additionalProperties } = schema;
  if (schema.type === 'array' && items === undefined) errors.push(fieldRequired(`${path}.items`, 'must be specified'));
  if (items !== undefined) {
    if (Array.isArray(items))
      errors.push(fieldForbidden(`${path}.items`, 'items must be a schema object and not an array'));
    else errors.push(...childErrors(items, `${path}.items`, 'array items'));
  }
  for (const [name, each] of Object.entries(properties ?? {}))
    errors.push(...childErrors(each, `${path}.properties[${name}]`, 'object fields'));
  if (additionalProperties === undefined) return errors;
  if (properties !== undefined && Object.keys(properties).length > 0)
    errors.push(
      fieldForbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'),
    );
  if (additionalProperties === false)
    errors.push(fieldForbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false'));
  else if (additionalProperties !== true)
    errors.push(...childErrors(additionalProperties, `${path}.additionalProperties`, 'object fields'));
  return errors;
}

function childErrors(schema: JsonSchema, path: string, what: string): FieldError[] {
  const errors = nodeErrors(schema, path);
  const mayBeUntyped =
    schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  if ((schema.type ?? '') === '' && !mayBeUntyped)
    errors.unshift(fieldRequired(`${path}.type`, `must not be empty for specified ${what}`));
  return errors;
}

function keywordErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const keyword of unsupported)
    if (Object.hasOwn(schema, keyword))
      errors.push(fieldForbidden(`${path}.${keyword}`, `${keyword} is not supported`));
  const { type, pattern, default: value } = schema;
  if (type !== undefined && type !== '' && !types.includes(type))
    errors.push(fieldNotSupported(`${path}.type`, type, types));
  if (schema.uniqueItems === true)
    errors.push(
      fieldForbidden(
        `${path}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  if (pattern !== undefined && !isPattern(pattern))
    errors.push(fieldInvalid(`${path}.pattern`, pattern, 'must be a valid regular expression'));
  if (value !== undefined)
    errors.push(...validateValue(value, schema, `${path}.default`).map((error) => ({ ...error })));
  return errors;
}

function extensionErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type } = schema;
  if (schema['x-kubernetes-embedded-resource'] === true && type !== 'object')
    errors.push(fieldInvalid(`${path}.type`, type ?? '', 'must be object if x-kubernetes-embedded-resource is true'));
  if (schema['x-kubernetes-int-or-string'] === true && type !== undefined && type !== '')
    errors.push(fieldForbidden(`${path}.type`, 'must be empty if x-kubernetes-int-or-string is true'));
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  if (listType !== undefined) {
    if (!['atomic', 'set', 'map'].includes(listType))
      errors.push(fieldNotSupported(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']));
    if (type !== 'array')
      errors.push(fieldInvalid(`${path}.type`, type ?? '', 'must be array if x-kubernetes-list-type is specified'));
    if (listType === 'map' && keys.length === 0)
      errors.push(
        fieldRequired(`${path}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map'),
      );
  }
  const mapType = schema['x-kubernetes-map-type'];
  if (mapType !== undefined && !['atomic', 'granular'].includes(mapType))
    errors.push(fieldNotSupported(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']));
  return errors;
}

/** Schemas below allOf, anyOf, oneOf and not only narrow what the structure outside of them names. */
function junctorErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const)
    for (const [i, each] of (schema[name] ?? []).entries())
      errors.push(...narrowingErrors(each, schema, { path: `${path}.${name}[${i}]`, outside: path }));
  if (schema.not !== undefined)
    errors.push(...narrowingErrors(schema.not, schema, { path: `${path}.not`, outside: path }));
  return errors;
}

function narrowingErrors(
  inner: JsonSchema,
  outer: JsonSchema,
  { path, outside }: { readonly path: string; readonly outside: string },
): FieldError[] {
  const errors: FieldError[] = [];
  const mayHaveType = outer['x-kubernetes-int-or-string'] === true;
  for (const keyword of structural)
    if (inner[keyword] !== undefined && inner[keyword] !== '' && inner[keyword] !== false)
      if (keyword !== 'type' || !mayHaveType)
        errors.push(fieldForbidden(`${path}.${keyword}`, 'must be empty to be structural'));
  for (const [name, each] of Object.entries(inner.properties ?? {})) {
    const property = outer.properties?.[name];
    const at = { path: `${path}.properties[${name}]`, outside: `${outside}.properties[${name}]` };
    if (property === undefined) errors.push(fieldRequired(at.outside, `because it is defined in ${at.path}`));
    else errors.push(...narrowingErrors(each, property, at));
  }
  if (inner.items !== undefined) {
    const at = { path: `${path}.items`, outside: `${outside}.items` };
    if (outer.items === undefined) errors.push(fieldRequired(at.outside, `because it is defined in ${at.path}`));
    else errors.push(...narrowingErrors(inner.items, outer.items, at));
  }
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const)
    for (const [i, each] of (inner[name] ?? []).entries())
      errors.push(...narrowingErrors(each, outer, { path: `${path}.${name}[${i}]`, outside }));
  if (inner.not !== undefined) errors.push(...narrowingErrors(inner.not, outer, { path: `${path}.not`, outside }));
  return errors;
}
