/** OpenAPI documents: v3 by group version, and v2 in one. */
import { patchTypes } from '../patch/patch-types.ts';
import type { Resource } from '../resource.ts';
import { listModelOf, newDefinitions, PATCH, type Definitions, type OpenApiSchema } from './definitions.ts';
import { operationsOf, type Body, type Operation, type Parameter } from './operations.ts';

export interface OpenApiInfo {
  /** Version of Kubernetes, such as `v1.36.0`. */
  readonly version: string;
}

const bodyTypes = ['application/json', 'application/yaml'] as const;

/** `api/v1`, `apis/apps/v1`: how `/openapi/v3` names a group version's document. */
export function openApiV3Path({ group, version }: Pick<Resource, 'group' | 'version'>): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

/** The document at `/openapi/v3`: where each group version's is, with a hash of its content so that it can be kept. */
export function openApiV3Index(documents: readonly { readonly path: string; readonly hash: string }[]): OpenApiSchema {
  return {
    paths: Object.fromEntries(
      documents.map(({ path, hash }) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]),
    ),
  };
}

function byPath(operations: readonly Operation[], render: (operation: Operation) => OpenApiSchema): OpenApiSchema {
  const paths: Record<string, Record<string, OpenApiSchema>> = {};
  for (const operation of operations.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)))
    (paths[operation.path] ??= {})[operation.method] = render(operation);
  return paths;
}

function schemaOfBody(body: Body, definitions: Definitions): OpenApiSchema {
  if (body === 'text') return { type: 'string' };
  return body === 'patch' ? definitions.scalar(PATCH) : definitions.model(body.model);
}

function headOf({ description, id, tag, gvk, action }: Operation): OpenApiSchema {
  return {
    description,
    operationId: id,
    tags: [tag],
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
  };
}

const patchTypesOf = (operation: Operation): readonly string[] => operation.patchTypes ?? Object.values(patchTypes);

/** The operation writes an object, so that 201 can be its answer too. */
const creates = ({ method, request }: Operation): boolean =>
  request !== undefined && (method === 'post' || method === 'put' || method === 'patch');

function operationV3(operation: Operation, definitions: Definitions): OpenApiSchema {
  const { request, response, parameters } = operation;
  const content = (types: readonly string[], body: Body): OpenApiSchema =>
    Object.fromEntries(types.map((type) => [type, { schema: schemaOfBody(body, definitions) }]));
  const ok = { content: content(response === 'text' ? ['text/plain'] : bodyTypes, response) };
  return {
    ...headOf(operation),
    parameters: parameters.map(({ type, in: place, ...rest }) => ({
      ...rest,
      in: place,
      ...(place === 'path' ? { required: true } : {}),
      schema: { type, uniqueItems: true },
    })),
    ...(request === undefined
      ? {}
      : {
          requestBody: {
            content: content(request === 'patch' ? patchTypesOf(operation) : bodyTypes, request),
            ...(operation.method === 'delete' ? {} : { required: true }),
          },
        }),
    responses: {
      '200': { description: 'OK', ...ok },
      ...(creates(operation) ? { '201': { description: 'Created', ...ok } } : {}),
      '401': { description: 'Unauthorized' },
    },
  };
}

/** The OpenAPI v3 document of a group version's resources. */
export function openApiV3Document(resources: readonly Resource[], info: OpenApiInfo): OpenApiSchema {
  const definitions = newDefinitions('v3', resources);
  const operations = resources.flatMap((each) => operationsOf(each, listModelOf(each)));
  const paths = byPath(operations, (each) => operationV3(each, definitions));
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: info.version },
    paths,
    components: { schemas: definitions.all() },
  };
}

function operationV2(operation: Operation, definitions: Definitions): OpenApiSchema {
  const { request, response, parameters } = operation;
  const schema = schemaOfBody(response, definitions);
  const parameter = ({ type, in: place, ...rest }: Parameter): OpenApiSchema => ({
    ...rest,
    in: place,
    type,
    uniqueItems: true,
    ...(place === 'path' ? { required: true } : {}),
  });
  return {
    ...headOf(operation),
    consumes: request === 'patch' ? patchTypesOf(operation) : ['*/*'],
    produces: response === 'text' ? ['text/plain'] : bodyTypes,
    schemes: ['https'],
    parameters: [
      ...parameters.map(parameter),
      ...(request === undefined
        ? []
        : [
            {
              name: 'body',
              in: 'body',
              schema: schemaOfBody(request, definitions),
              ...(operation.method === 'delete' ? {} : { required: true }),
            },
          ]),
    ],
    responses: {
      '200': { description: 'OK', schema },
      ...(creates(operation) ? { '201': { description: 'Created', schema } } : {}),
      '401': { description: 'Unauthorized' },
    },
  };
}

/** The OpenAPI v2 document of all resources. */
export function openApiV2Document(resources: readonly Resource[], info: OpenApiInfo): OpenApiSchema {
  const definitions = newDefinitions('v2', resources);
  const operations = resources.flatMap((each) => operationsOf(each, listModelOf(each)));
  const paths = byPath(operations, (each) => operationV2(each, definitions));
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: info.version },
    paths,
    definitions: definitions.all(),
  };
}
