/** Tables of custom resources: the name, then their additionalPrinterColumns. */
import { findJsonPath, JsonPathError, parseJsonPath, type JsonPath, type UnstructuredObject } from '@naru/api';
import type { TableColumn, TableConvertor } from '../strategy.ts';
import { column, nameColumn, tableOf, type ColumnOf } from './column.ts';
import { ageOf, type Elapsed } from './duration.ts';

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
}

const age: PrinterColumn = {
  name: 'Age',
  type: 'date',
  description: 'Time since the object was created.',
  jsonPath: '.metadata.creationTimestamp',
};

export function customTable(columns: readonly PrinterColumn[] | undefined): TableConvertor {
  const shown = columns === undefined || columns.length === 0 ? [age] : columns;
  return tableOf<UnstructuredObject>([nameColumn(), ...shown.map(customColumn)]);
}

function customColumn(definition: PrinterColumn): ColumnOf<UnstructuredObject> {
  const { name, type, jsonPath, format, priority } = definition;
  const path = pathOf(jsonPath);
  const cell = (object: UnstructuredObject): unknown => cellOf(findJsonPath(object, path), type);
  return column(name, cell, {
    type: type as TableColumn['type'],
    description: definition.description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    ...(format === undefined ? {} : { format }),
    ...(priority === undefined ? {} : { priority }),
  });
}

/** A path that cannot be read has no values: the definition was accepted by another version of this server. */
function pathOf(text: string): JsonPath {
  try {
    return parseJsonPath(text);
  } catch (error) {
    if (error instanceof JsonPathError) return { steps: [{ type: 'index', index: 0 }] };
    throw error;
  }
}

/** Null where there is no value, or one of another type. */
function cellOf(found: readonly unknown[], type: string): unknown {
  const [value] = found;
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? dateCell(value) : null;
    default:
      return found.map(textOf).join(' ');
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function dateCell(value: string): Elapsed | string {
  return Number.isNaN(Date.parse(value)) ? '<invalid>' : ageOf(value);
}
