/** What a write of an object, or by one of its subresources, cannot set. PURE. */
import type { ObjectMeta, Resource, UnstructuredObject } from '@naru/api';
import { keepFields } from './strategies/keep-fields.ts';
import type { Strategy } from './strategy.ts';

/** Fields that keep their values whatever is written: nobody owns them by it. */
export function resetFieldsOf(
  { subresources = [] }: Partial<Pick<Resource, 'subresources'>>,
  strategy: Strategy,
  subresource: string,
): readonly string[] {
  const own = strategy.resetFields?.[subresource];
  if (own !== undefined) return own;
  if (subresource === 'status') return ['spec'];
  return subresources.some(({ name }) => name === 'status') ? ['status'] : [];
}

const ofStatus: ReadonlySet<string> = new Set(['metadata', 'status']);

/** In an update of the status: all that is not the status, and of metadata what such an update resets. */
export function keepAllButStatus(object: UnstructuredObject, old: UnstructuredObject, strategy: Strategy): void {
  keepFields(object, old, ...Object.keys({ ...object, ...old }).filter((field) => !ofStatus.has(field)));
  for (const path of strategy.resetFields?.['status'] ?? [])
    if (path === 'metadata') object.metadata = withEntriesOf(object.metadata, old.metadata);
    else if (path.startsWith('metadata.')) keepMeta(object.metadata, old.metadata, path.slice('metadata.'.length));
}

/** Who owns what has been noted already. */
function withEntriesOf({ managedFields }: ObjectMeta, { managedFields: _old, ...metadata }: ObjectMeta): ObjectMeta {
  return managedFields === undefined ? metadata : { ...metadata, managedFields };
}

function keepMeta(metadata: Record<string, unknown>, old: Readonly<Record<string, unknown>>, field: string): void {
  if (old[field] === undefined) delete metadata[field];
  else metadata[field] = old[field];
}
