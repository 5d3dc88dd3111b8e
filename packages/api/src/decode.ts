/**
 * Decodes a JSON value as upstream's Go types would: wrong types are refused with encoding/json's messages, unknown
 * fields are dropped and named, null is absent, empty optional lists and maps are left out, quantities and times become
 * canonical. `required` is not checked here: a missing field is a matter of validation.
 *
 * Runs on every write: decoders are compiled per model at first use, and the value is changed in place.
 */
import { base64Error, timeError } from './decode-scalars.ts';
import { canonicalQuantity, QuantityError } from './quantity.ts';
import type { FieldSchema, FieldType, ModelSchema } from './schema.ts';
import { schemaOf } from './schemas.ts';
import { canonicalMicroTimeOf, canonicalTimeOf } from './time.ts';

/** What decoding found. */
export interface DecodeResult {
  /** Why the value cannot be decoded, in encoding/json's words; undefined if it can. */
  readonly error: string | undefined;
  /** Paths such as `spec.containers[0].foo` of the fields that the model does not have, in document order. They are dropped. */
  readonly unknownFields: readonly string[];
}

/** In place of a value that is to be left out. */
const absent = Symbol('absent');
/** Marks map keys in paths: they are part of strict errors' paths but not of encoding/json's. */
const MAP_KEY = '\u0000';
/** As upstream, no more unknown fields than these are told. */
const UNKNOWN_FIELDS_MAX = 100;

class Context {
  error: string | undefined;
  readonly unknownFields: string[] = [];
  /** Field names, list indexes and (marked) map keys from the root to the current value. */
  readonly path: (string | number)[] = [];

  fail(error: string): void {
    this.error ??= error;
  }

  /** A value of the wrong JSON type for `field` of `owner`; without `field` the path already ends with it. */
  failType(value: unknown, goType: string, owner: string, field?: string): void {
    if (this.error !== undefined) return;
    const fields = this.path.filter((each) => typeof each === 'string' && !each.startsWith(MAP_KEY));
    if (field !== undefined) fields.push(field);
    const where = fields.length === 0 ? 'Go value' : `Go struct field ${owner}.${fields.join('.')}`;
    this.error = `json: cannot unmarshal ${describe(value)} into ${where} of type ${goType}`;
  }

  unknownField(key: string): void {
    if (this.unknownFields.length >= UNKNOWN_FIELDS_MAX) return;
    let path = '';
    for (const each of [...this.path, key]) {
      if (typeof each === 'number') path += `[${each}]`;
      else path += `${path === '' ? '' : '.'}${each.startsWith(MAP_KEY) ? each.slice(1) : each}`;
    }
    this.unknownFields.push(path);
  }
}

type Decode = (value: unknown, context: Context) => unknown;

interface CompiledField {
  readonly decode: Decode;
  /** Whether the value has parts, so that the path has to name the field while they are decoded. */
  readonly composite: boolean;
}

interface CompiledModel {
  readonly goName: string;
  readonly fields: ReadonlyMap<string, CompiledField>;
}

/** How encoding/json calls the type of a value; numbers that do not fit an integer are shown. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}

/** `v1.PodSpec`: the Go type of a definition. */
const goTypeOfModel = (name: string): string => name.split('.').slice(-2).join('.');

function goTypeOf(type: FieldType, named: string | undefined): string {
  switch (type.type) {
    case 'string':
      return named ?? 'string';
    case 'boolean':
      return 'bool';
    case 'number':
      return 'float64';
    case 'integer':
      return type.format;
    case 'bytes':
      return '[]uint8';
    case 'any':
      return 'runtime.RawExtension';
    case 'IntOrString':
      return 'intstr.IntOrString';
    case 'Quantity':
      return 'resource.Quantity';
    case 'Time':
    case 'MicroTime':
      return `v1.${type.type}`;
    case 'array':
      return `[]${goTypeOf(type.items, named)}`;
    case 'map':
      if (named !== undefined && type.items.type === 'Quantity') return named;
      return `map[string]${type.items.type === 'array' && named !== undefined ? named : goTypeOf(type.items, named)}`;
    case 'ref':
      return goTypeOfModel(schemaOf(type.ref)?.name ?? type.ref);
    default:
      return type satisfies never;
  }
}

interface Place {
  /** Go name of the struct that holds the field. */
  readonly owner: string;
  /** Its name, where the path does not end with it yet. */
  readonly field: string | undefined;
  /** Go name of the field's (or its elements') type. */
  readonly goType: string | undefined;
  readonly required: boolean;
}

const INTEGER_LIMITS = { int32: 2 ** 31, int64: 2 ** 63 } as const;

function decodeInteger(format: 'int32' | 'int64', { owner, field }: Place): Decode {
  const limit = INTEGER_LIMITS[format];
  return (value, context) => {
    if (typeof value !== 'number') context.failType(value, format, owner, field);
    else if (!Number.isInteger(value) || value >= limit || value < -limit) {
      context.failType(value, format, owner, field);
      context.error = context.error?.replace('unmarshal number into', `unmarshal number ${value} into`);
    }
    return value;
  };
}

function decodeQuantity(value: unknown, context: Context): unknown {
  try {
    return canonicalQuantity(typeof value === 'string' || typeof value === 'number' ? value : 'x');
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    context.fail(error.message);
    return value;
  }
}

function decodeTime(type: 'Time' | 'MicroTime'): Decode {
  const canonical = type === 'Time' ? canonicalTimeOf : canonicalMicroTimeOf;
  return (value, context) => {
    if (typeof value !== 'string') {
      context.fail(`json: cannot unmarshal ${describe(value)} into Go value of type string`);
      return value;
    }
    const error = timeError(value, type);
    if (error !== undefined) context.fail(error);
    return canonical(value) ?? value;
  };
}

function decodeIntOrString(value: unknown, context: Context): unknown {
  if (typeof value === 'string') return value;
  const text = typeof value === 'number' && !Number.isInteger(value) ? `number ${value}` : describe(value);
  if (typeof value !== 'number' || text !== 'number')
    context.fail(`json: cannot unmarshal ${text} into Go value of type int32`);
  return value;
}

function decodeBytes({ owner, field }: Place): Decode {
  return (value, context) => {
    if (typeof value !== 'string') {
      context.failType(value, '[]uint8', owner, field);
      return value;
    }
    const text = value.replaceAll(/[\r\n]/gu, '');
    const error = base64Error(text);
    if (error !== undefined) context.fail(error);
    return text;
  };
}

function decodeArray(type: Extract<FieldType, { type: 'array' }>, place: Place): Decode {
  const goType = goTypeOf(type, place.goType);
  const item = compileType(type.items, { ...place, field: undefined, required: true });
  const zero = zeroOf(type.items);
  return (value, context) => {
    if (!Array.isArray(value)) {
      context.failType(value, goType, place.owner);
      return value;
    }
    if (value.length === 0) return place.required ? value : absent;
    const { path } = context;
    const depth = path.length;
    for (let i = 0; i < value.length; i++) {
      path[depth] = i;
      const element: unknown = value[i] ?? zero();
      const decoded = item(element, context);
      if (decoded !== value[i]) value[i] = decoded;
    }
    path.length = depth;
    return value;
  };
}

function decodeMap(type: Extract<FieldType, { type: 'map' }>, place: Place): Decode {
  const goType = goTypeOf(type, place.goType);
  const item = compileType(type.items, { ...place, field: undefined, required: true });
  const zero = zeroOf(type.items);
  return (value, context) => {
    if (!isObject(value)) {
      context.failType(value, goType, place.owner);
      return value;
    }
    if (!place.required && isEmpty(value)) return absent;
    const { path } = context;
    const depth = path.length;
    for (const key of Object.keys(value)) {
      path[depth] = MAP_KEY + key;
      const before = value[key];
      const decoded = item(before ?? zero(), context);
      if (decoded !== before) value[key] = decoded;
    }
    path.length = depth;
    return value;
  };
}

/** Go's zero value, which a null in a list or map becomes. */
function zeroOf(type: FieldType): () => unknown {
  switch (type.type) {
    case 'string':
    case 'bytes':
      return () => '';
    case 'boolean':
      return () => false;
    case 'integer':
    case 'number':
      return () => 0;
    case 'Quantity':
      return () => '0';
    case 'ref':
    case 'map':
      return () => ({});
    case 'array':
      return () => [];
    default:
      return () => null;
  }
}

function decodeRef(model: string, { owner }: Place): Decode {
  let target: CompiledModel | undefined;
  return (value, context) => {
    if (!isObject(value)) {
      context.failType(value, goTypeOfModel(schemaOf(model)?.name ?? model), owner);
      return value;
    }
    target ??= compiledModel(model);
    decodeFields(target, value, context);
    return value;
  };
}

function compileType(type: FieldType, place: Place): Decode {
  const { owner, field } = place;
  switch (type.type) {
    case 'string':
    case 'boolean':
    case 'number': {
      const expected = type.type;
      const goType = goTypeOf(type, place.goType);
      return (value, context) => {
        if (typeof value !== expected) context.failType(value, goType, owner, field);
        return value;
      };
    }
    case 'integer':
      return decodeInteger(type.format, place);
    case 'bytes':
      return decodeBytes(place);
    case 'any':
      return (value) => value;
    case 'IntOrString':
      return decodeIntOrString;
    case 'Quantity':
      return decodeQuantity;
    case 'Time':
    case 'MicroTime':
      return decodeTime(type.type);
    case 'array':
      return decodeArray(type, place);
    case 'map':
      return decodeMap(type, place);
    case 'ref':
      return decodeRef(type.ref, place);
    default:
      return type satisfies never;
  }
}

const composites: ReadonlySet<string> = new Set(['array', 'map', 'ref']);

/** ObjectMeta's strings are left out when empty; elsewhere an empty string can mean something. */
function leavesOutEmptyStrings(name: string, field: FieldSchema): boolean {
  return name.endsWith('.meta.v1.ObjectMeta') && field.type === 'string';
}

function compileModel({ name, fields }: ModelSchema): CompiledModel {
  const goName = name.slice(name.lastIndexOf('.') + 1);
  const compiled = new Map<string, CompiledField>();
  for (const [key, field] of Object.entries(fields)) {
    const composite = composites.has(field.type);
    const decode = compileType(field, {
      owner: goName,
      field: composite ? undefined : key,
      goType: field.goType,
      // An empty list of managedFields takes them away, where none leaves them.
      required: field.required === true || key === 'managedFields',
    });
    compiled.set(key, {
      composite,
      decode: leavesOutEmptyStrings(name, field)
        ? (value, context) => (value === '' ? absent : decode(value, context))
        : decode,
    });
  }
  return { goName, fields: compiled };
}

/** Filled as models are first decoded; what it holds depends on nothing but the generated schemas. */
const compiledModels = new Map<string, CompiledModel>();

function compiledModel(model: string): CompiledModel {
  const known = compiledModels.get(model);
  if (known !== undefined) return known;
  const schema = schemaOf(model);
  if (schema === undefined) throw new Error(`no schema of model ${model}`);
  const compiled = compileModel(schema);
  compiledModels.set(model, compiled);
  return compiled;
}

function decodeFields({ fields }: CompiledModel, object: Record<string, unknown>, context: Context): void {
  const { path } = context;
  const depth = path.length;
  for (const key in object) {
    const field = fields.get(key);
    const value = object[key];
    if (field === undefined) {
      context.unknownField(key);
      delete object[key];
    } else if (value === null || value === undefined) {
      delete object[key];
    } else {
      if (field.composite) path[depth] = key;
      const decoded = field.decode(value, context);
      if (field.composite) path.length = depth;
      if (decoded === absent) delete object[key];
      else if (decoded !== value) object[key] = decoded;
    }
  }
}

/**
 * Decodes `value` as the model (such as `V1Pod`), changing it in place; what is left of it is meaningless after an error.
 * Throws an Error where there is no such model.
 */
export function validateSchema(model: string, value: unknown): DecodeResult {
  const compiled = compiledModel(model);
  const context = new Context();
  if (isObject(value)) decodeFields(compiled, value, context);
  else context.failType(value, goTypeOfModel(schemaOf(model)?.name ?? model), compiled.goName);
  return context;
}
