/** Types of kinds, for expressions that are checked beforehand; they are never evaluated with them. */
import type { Environment } from '@marcbachmann/cel-js';
import { additionalOf, schemaOf, type FieldType, type JsonSchema } from '@naru/api';
import { escapedName } from './schema-values.ts';

/** What the objects of a kind are: a built-in model, or the schema of a custom resource. */
export type KindSchema = { readonly model: string } | { readonly schema: JsonSchema };

/** Registers types with an environment; a type's name is what variables are registered with. */
export class DeclaredTypes {
  readonly #environment: Environment;
  readonly #known = new Set<string>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** `name`: of a custom kind. */
  ofKind(kind: KindSchema, name: string): string {
    if ('model' in kind) return this.#ofModel(kind.model);
    const { schema } = kind;
    const base = { apiVersion: 'string', kind: 'string', metadata: this.#ofModel('V1ObjectMeta') };
    return this.ofFields(name, { ...this.#fieldsOf(schema, name), ...base });
  }

  ofFields(name: string, fields: Readonly<Record<string, string>>): string {
    this.#environment
      .registerType(name, { fields: { ...fields } })
      // Objects may not be there: nothing else is comparable with null.
      .registerOperator(`${name} == null`, () => false);
    return name;
  }

  #ofModel(model: string): string {
    const schema = schemaOf(model);
    if (schema === undefined) return 'dyn';
    if (this.#known.has(model)) return model;
    this.#known.add(model);
    const fields: Record<string, string> = {};
    for (const [field, type] of Object.entries(schema.fields)) {
      const escaped = escapedName(field);
      if (escaped !== undefined) fields[escaped] = this.#ofField(type);
    }
    return this.ofFields(model, fields);
  }

  #ofField(type: FieldType): string {
    switch (type.type) {
      case 'string':
      case 'bytes':
        return type.type;
      case 'boolean':
        return 'bool';
      case 'integer':
        return 'int';
      case 'number':
        return 'double';
      case 'array':
        return `list<${this.#ofField(type.items)}>`;
      case 'map':
        return `map<string, ${this.#ofField(type.items)}>`;
      case 'ref':
        return this.#ofModel(type.ref);
      default:
        // Quantities and times are strings of some form; to say so would warn of what works.
        return 'dyn';
    }
  }

  #ofSchema(schema: JsonSchema, name: string): string {
    if (schema['x-kubernetes-int-or-string'] === true) return 'dyn';
    switch (schema.type) {
      case 'boolean':
        return 'bool';
      case 'integer':
        return 'int';
      case 'number':
        return 'double';
      case 'string':
        return schema.format === undefined ? 'string' : 'dyn';
      case 'array':
        return schema.items === undefined ? 'dyn' : `list<${this.#ofSchema(schema.items, `${name}.items`)}>`;
      case 'object': {
        const additional = additionalOf(schema);
        if (additional !== undefined) return `map<string, ${this.#ofSchema(additional, `${name}.values`)}>`;
        if (schema.properties === undefined || schema['x-kubernetes-preserve-unknown-fields'] === true) return 'dyn';
        return this.ofFields(name, this.#fieldsOf(schema, name));
      }
      default:
        return 'dyn';
    }
  }

  #fieldsOf({ properties = {} }: JsonSchema, name: string): Record<string, string> {
    const fields: Record<string, string> = {};
    for (const [property, each] of Object.entries(properties)) {
      const escaped = escapedName(property);
      if (escaped !== undefined) fields[escaped] = this.#ofSchema(each, `${name}.${escaped}`);
    }
    return fields;
  }
}
