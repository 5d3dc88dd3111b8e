import type { UnstructuredObject } from '@naru/api';
import type { TableColumn, TableConvertor } from '../strategy.ts';
import { ageOf } from './duration.ts';

/** A column together with how its cell comes about. */
export interface ColumnOf<T> extends TableColumn {
  cell(object: T): unknown;
}

/** A string column. */
export function column<T>(name: string, cell: (object: T) => unknown, options: Partial<TableColumn> = {}): ColumnOf<T> {
  return { name, type: 'string', cell, ...options };
}

/** A column that only `-o wide` shows. */
export function wide<T>(name: string, cell: (object: T) => unknown): ColumnOf<T> {
  return column(name, cell, { priority: 1 });
}

export function nameColumn<T extends { readonly metadata: { name?: string } }>(): ColumnOf<T> {
  return column<T>('Name', (object) => object.metadata.name ?? '', {
    format: 'name',
    description: 'Name must be unique within a namespace.',
  });
}

export function ageColumn<T extends { readonly metadata: { creationTimestamp?: string } }>(): ColumnOf<T> {
  return column<T>('Age', (object) => ageOf(object.metadata.creationTimestamp));
}

/** Makes a table of columns; the objects are of the kind `T` by registration. */
export function tableOf<T>(columns: readonly ColumnOf<T>[]): TableConvertor {
  return {
    columns: columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    cells: (object: UnstructuredObject) => columns.map((each) => each.cell(object as unknown as T)),
  };
}
