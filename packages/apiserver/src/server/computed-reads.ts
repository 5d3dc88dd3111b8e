/** GET and LIST of resources that are computed, such as componentstatuses. */
import { apiVersionOf, newNotFound, parseLabelSelector, type Resource, type UnstructuredObject } from '@naru/api';
import { tableFor } from '../registry/tables/tables.ts';
import type { VirtualResource } from '../registry/virtual-resource.ts';
import type { ApiRequest, ApiResponse } from './api-request.ts';
import { verbNotAllowed } from './refusals.ts';
import { includeObjectOf, tableHead, tableRow, tableTail } from './table.ts';

/** @throws StatusError NotFound or MethodNotAllowed. */
export async function readComputed(
  request: ApiRequest,
  resource: Resource,
  virtual: VirtualResource,
): Promise<ApiResponse> {
  const { info, query } = request;
  if (virtual.list === undefined || (info.verb !== 'get' && info.verb !== 'list')) throw verbNotAllowed();
  const selector = parseLabelSelector(query.get('labelSelector') ?? '');
  const all = await virtual.list();
  const found = all.filter(
    ({ metadata }) => (info.name === '' || metadata.name === info.name) && selector.matches(metadata.labels ?? {}),
  );
  if (info.verb === 'get' && found.length === 0) throw newNotFound(resource, info.name);
  if (request.mediaType.as === 'table') return { type: 'value', code: 200, value: tableOf(found, resource, request) };
  const [first] = found;
  if (info.verb === 'get') return { type: 'value', code: 200, value: first };
  const typeMeta = { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource) };
  return { type: 'value', code: 200, value: { ...typeMeta, metadata: {}, items: found } };
}

function tableOf(objects: readonly UnstructuredObject[], resource: Resource, { query, nowMs }: ApiRequest): unknown {
  const table = tableFor(resource);
  const include = includeObjectOf(query);
  const rows = objects.map((each) => tableRow(each, table, include, nowMs));
  return JSON.parse(`${tableHead(table, {})}${rows.join(',')}${tableTail}`);
}
