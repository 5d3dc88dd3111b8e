import type { GroupResource, KubeObject } from '@naru/api';
import type { TableConvertor } from '../strategy.ts';
import { column, nameColumn, tableOf } from './column.ts';

/** Name and creation time, for kinds without columns of their own. */
const genericTable: TableConvertor = tableOf<KubeObject>([
  nameColumn(),
  column('Created At', (object) => object.metadata.creationTimestamp ?? '', { type: 'date' }),
]);

const tables: Readonly<Record<string, TableConvertor>> = {};

/** The table of a resource, by group and plural name. */
export function tableFor({ group, resource }: GroupResource): TableConvertor {
  const key = group === '' ? resource : `${resource}.${group}`;
  return tables[key] ?? genericTable;
}
