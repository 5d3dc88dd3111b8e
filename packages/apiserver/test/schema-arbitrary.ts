/** Random values by the schemas of the built-in kinds. */
import fc from 'fast-check';
import { formatMicroTime, formatTime, schemaOf, type FieldSchema, type FieldType, type ModelSchema } from '@naru/api';

export interface SchemaArbitraryOptions {
  /** Objects in objects; what would be deeper is left out. */
  readonly depthMax: number;
  /** The fields that objects of a model may have; undefined: none is made. Default all. */
  readonly keysOf?: (schema: ModelSchema) => ReadonlySet<string> | undefined;
  /** Optional fields that an object has at most; required ones it has then, too, nearly always. Default: about half of all. */
  readonly optionalMax?: number;
  /** A field's values; undefined: any of its type. */
  readonly field?: (name: string, field: FieldSchema) => fc.Arbitrary<unknown> | undefined;
}

// Without backslashes: once V8 has seen a key that begins with one, it takes keys with escapes for it (nodejs/node#63785).
const character = fc.string({ minLength: 1, maxLength: 1 }).filter((each) => each !== '\\');
export const word = fc.string({ unit: character, minLength: 1, maxLength: 8 }).filter((each) => each !== '__proto__');
// Through JSON, which has no -0.
const anyJson = fc
  .jsonValue({ maxDepth: 1, stringUnit: character })
  .map((each): unknown => JSON.parse(JSON.stringify(each)));
const timeMs = fc.integer({ min: 1, max: 4_000_000_000_000 });

export class SchemaArbitrary {
  readonly #options: SchemaArbitraryOptions;

  constructor(options: SchemaArbitraryOptions) {
    this.#options = options;
  }

  /** Objects of a model; undefined: there can be none. */
  objectOf(schema: ModelSchema, depth = this.#options.depthMax): fc.Arbitrary<Record<string, unknown>> | undefined {
    const { keysOf, optionalMax } = this.#options;
    const keys = keysOf === undefined ? new Set(Object.keys(schema.fields)) : keysOf(schema);
    if (keys === undefined || depth === 0) return undefined;
    const names = [...keys].filter((each) => each in schema.fields);
    if (optionalMax === undefined)
      return fc.record(this.#fields(schema, names, depth), { requiredKeys: [], noNullPrototype: true });
    const isRequired = (name: string): boolean => schema.fields[name]?.required === true;
    const required = names.filter(isRequired);
    const optional = names.filter((each) => !isRequired(each));
    const picked = fc.record({
      // Now and then something is missing.
      required: fc.oneof(
        { weight: 19, arbitrary: fc.constant(required) },
        { weight: 1, arbitrary: fc.subarray(required) },
      ),
      optional: fc.subarray(optional, { maxLength: Math.min(optionalMax, optional.length) }),
    });
    // Only what was picked is looked into: models are recursive.
    return picked.chain((each) =>
      fc.record(this.#fields(schema, [...each.required, ...each.optional], depth), { noNullPrototype: true }),
    );
  }

  #fields(schema: ModelSchema, names: readonly string[], depth: number): Record<string, fc.Arbitrary<unknown>> {
    const fields: Record<string, fc.Arbitrary<unknown>> = {};
    for (const name of names) {
      const field = schema.fields[name];
      const value =
        field === undefined ? undefined : (this.#options.field?.(name, field) ?? this.#valueOf(field, depth));
      if (value !== undefined) fields[name] = value;
    }
    return fields;
  }

  /** A value of a type; never a zero, which absence would be. Undefined: there is none that is worth its depth. */
  #valueOf(type: FieldType, depth: number): fc.Arbitrary<unknown> | undefined {
    switch (type.type) {
      case 'string':
        return word;
      case 'boolean':
        return fc.constant(true);
      case 'number':
        return fc.integer({ min: 1 });
      case 'integer':
        return type.format === 'int32'
          ? fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).filter((each) => each !== 0)
          : fc.maxSafeInteger().filter((each) => each !== 0);
      case 'bytes':
        return fc.uint8Array({ minLength: 1, maxLength: 9 }).map((each) => Buffer.from(each).toString('base64'));
      case 'any':
        return fc.dictionary(word, anyJson, { minKeys: 1, maxKeys: 2, noNullPrototype: true });
      case 'IntOrString':
        return fc.oneof(fc.integer({ min: 0, max: 2 ** 31 - 1 }), word);
      case 'Quantity':
        return fc.integer({ min: 0, max: 1000 }).map((each) => `${each}Mi`);
      case 'Time':
        return timeMs.map(formatTime);
      case 'MicroTime':
        return fc.tuple(timeMs, fc.integer({ min: 0, max: 999 })).map(([ms, micros]) => {
          const text = formatMicroTime(ms);
          return `${text.slice(0, -4)}${String(micros).padStart(3, '0')}Z`;
        });
      case 'array': {
        const items = this.#valueOf(type.items, depth);
        return items === undefined ? undefined : fc.array(items, { minLength: 1, maxLength: 2 });
      }
      case 'map': {
        const items = this.#valueOf(type.items, depth);
        const options = { minKeys: 1, maxKeys: 2, noNullPrototype: true };
        return items === undefined ? undefined : fc.dictionary(word, items, options);
      }
      default: {
        const schema = schemaOf(type.ref);
        return schema === undefined ? undefined : this.objectOf(schema, depth - 1);
      }
    }
  }
}
