import {
  equalJson,
  findJsonPath,
  listUniquenessErrors,
  parseJsonPath,
  validateValue,
  type FieldError,
  type JsonSchema,
  type UnstructuredObject,
} from '@naru/api';
import { compileSchemaRules } from '../../cel/schema-rules.ts';
import type { Strategy } from '../strategy.ts';

export interface CustomStrategyOptions {
  readonly schema: JsonSchema;
  /** The version has the status subresource. */
  readonly hasStatus: boolean;
  /** JSON paths of `selectableFields`. */
  readonly selectablePaths: readonly string[];
}

/** The strategy of one version of a custom resource; decoding has pruned and defaulted its objects already. */
export function customResourceStrategy({ schema, hasStatus, selectablePaths }: CustomStrategyOptions): Strategy {
  const rules = compileSchemaRules(schema);
  const validate = (object: UnstructuredObject, old?: UnstructuredObject): FieldError[] => {
    const errors = validateValue(object, schema, '', old);
    // As with values, an object that was wrong in this before may be so still.
    if (old === undefined || listUniquenessErrors(old, schema).length === 0)
      errors.push(...listUniquenessErrors(object, schema));
    // Rules may take for granted what the schema says.
    return errors.length > 0 || rules === undefined ? errors : rules(object, old);
  };
  return {
    allowUnconditionalUpdate: false,
    validate: (object) => validate(object),
    validateUpdate: validate,
    resetFields: { status: ['spec', 'metadata'] },
    validateStatusUpdate: validate,
    ...(hasStatus ? {} : { specChanged: differsBeyondMetadata }),
    selectableFields: selectableFieldsOf(selectablePaths),
  };
}

function differsBeyondMetadata(object: UnstructuredObject, old: UnstructuredObject): boolean {
  const { metadata: _new, ...rest } = object;
  const { metadata: _old, ...oldRest } = old;
  return !equalJson(rest, oldRest);
}

/** `.spec.color` is selected by as `spec.color`. */
export function selectableFieldsOf(
  paths: readonly string[],
): Readonly<Record<string, (object: UnstructuredObject) => string>> {
  return Object.fromEntries(
    paths.map((text) => {
      const path = parseJsonPath(text);
      const valueOf = (object: UnstructuredObject): string => {
        const [value] = findJsonPath(object, path);
        if (typeof value === 'string') return value;
        return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
      };
      return [text.replace(/^\./u, ''), valueOf];
    }),
  );
}
