import {
  aggregatedDiscoveryDocument,
  apiGroupDocument,
  apiGroupListDocument,
  apiGroupsOf,
  apiResourceListDocument,
  apiVersionsDocument,
  builtInResources,
  compareVersions,
  defineResource,
  findResource,
  findResourceByKind,
  openApiV2Document,
  openApiV3Document,
  openApiV3Index,
  openApiV3Path,
  type JsonSchema,
  type Resource,
} from '@naru/api';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

/** Paths and methods of upstream's API, as client-node's generated clients know them. */
function upstreamOperations(): Map<string, Set<string>> {
  const root = join(import.meta.dirname, '..', '..', '..');
  const folder = join(root, 'node_modules', '@kubernetes', 'client-node', 'dist', 'gen', 'apis');
  const operations = new Map<string, Set<string>>();
  for (const file of readdirSync(folder).filter((each) => /V\d+Api\.js$/.test(each)))
    for (const [, path = '', method = ''] of readFileSync(join(folder, file), 'utf8').matchAll(
      /localVarPath = '([^']+)'[\s\S]*?HttpMethod\.(\w+)/g,
    )) {
      if (path.endsWith('/') || path.includes('/watch/') || path.includes('{path}')) continue;
      const methods = operations.get(path) ?? new Set();
      operations.set(path, methods.add(method.toLowerCase()));
    }
  return operations;
}

type Paths = Record<string, Record<string, { parameters: { name: string }[]; operationId: string }>>;
interface DocumentV3 {
  paths: Paths;
  components: { schemas: Record<string, Schema> };
}
interface Schema {
  properties?: Record<string, Record<string, unknown>>;
  required?: string[];
  [key: string]: unknown;
}

const info = { version: 'v1.36.0' };
const groupVersion = (group: string, version: string): Resource[] =>
  builtInResources.filter((each) => each.group === group && each.version === version);

await t.test('the built-in resources are those that upstream serves', (t) => {
  const upstream = upstreamOperations();
  const documented = new Map<string, Set<string>>();
  const document = openApiV2Document(builtInResources, info) as unknown as { paths: Paths };
  for (const [path, methods] of Object.entries(document.paths)) documented.set(path, new Set(Object.keys(methods)));
  t.ok(upstream.size > 150);
  t.strictSame(
    [...upstream.keys()].filter((path) => !documented.has(path)),
    [],
    'nothing is missing',
  );
  t.strictSame(
    [...documented.keys()].filter((path) => !upstream.has(path)),
    [],
    'nothing is made up',
  );
  for (const [path, methods] of upstream) {
    const own = [...methods].filter((each) => each !== 'head' && each !== 'options').toSorted();
    t.strictSame([...(documented.get(path) ?? [])].toSorted(), own, path);
  }
  t.end();
});

await t.test('resources are found by name and by kind', (t) => {
  for (const each of builtInResources) {
    t.equal(findResource(each), each, each.resource);
    t.equal(findResourceByKind(each), each, each.kind);
  }
  t.equal(findResource({ group: '', version: 'v1', resource: 'deployments' }), undefined);
  t.end();
});

await t.test('legacy discovery', (t) => {
  t.match(apiVersionsDocument(builtInResources, '127.0.0.1:6443'), {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: '127.0.0.1:6443' }],
  });
  t.strictSame(apiGroupDocument(builtInResources, 'autoscaling'), {
    kind: 'APIGroup',
    apiVersion: 'v1',
    name: 'autoscaling',
    versions: [
      { groupVersion: 'autoscaling/v2', version: 'v2' },
      { groupVersion: 'autoscaling/v1', version: 'v1' },
    ],
    preferredVersion: { groupVersion: 'autoscaling/v2', version: 'v2' },
  });
  t.equal(apiGroupDocument(builtInResources, 'nope'), undefined);
  const { groups } = apiGroupListDocument(builtInResources) as { groups: { name: string }[] };
  t.strictSame(
    groups.slice(0, 3).map((each) => each.name),
    ['apiregistration.k8s.io', 'apps', 'events.k8s.io'],
  );
  t.equal(groups.length, apiGroupsOf(builtInResources).length - 1);
  const core = apiResourceListDocument(builtInResources, { group: '', version: 'v1' }) as { resources: object[] };
  t.match(core, { kind: 'APIResourceList', groupVersion: 'v1' });
  t.match(
    core.resources.find((each) => (each as { name: string }).name === 'pods/eviction'),
    { namespaced: true, group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
  );
  t.equal(apiResourceListDocument(builtInResources, { group: 'apps', version: 'v2' }), undefined);
  t.end();
});

await t.test('aggregated discovery', (t) => {
  const apis = aggregatedDiscoveryDocument(builtInResources, '/apis') as { items: object[] };
  const apps = apis.items.find((each) => (each as { metadata: { name: string } }).metadata.name === 'apps');
  t.match(apps, {
    versions: [
      {
        version: 'v1',
        freshness: 'Current',
        resources: [
          { resource: 'controllerrevisions', scope: 'Namespaced' },
          {},
          {
            resource: 'deployments',
            responseKind: { group: '', version: '', kind: 'Deployment' },
            shortNames: ['deploy'],
            categories: ['all'],
            singularResource: 'deployment',
            subresources: [
              { subresource: 'scale', responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
              { subresource: 'status', responseKind: { group: '', version: '', kind: 'Deployment' } },
            ],
          },
        ],
      },
    ],
  });
  const core = aggregatedDiscoveryDocument(builtInResources, '/api') as { items: object[] };
  t.equal(core.items.length, 1);
  t.end();
});

await t.test('versions are ranked as upstream', (t) => {
  const ranked = ['v10', 'v2', 'v1', 'v11beta2', 'v10beta3', 'v3beta1', 'v12alpha1', 'v11alpha2', 'foo1', 'foo10'];
  t.strictSame(ranked.toReversed().toSorted(compareVersions), ranked);
  t.end();
});

await t.test('OpenAPI v3 documents resolve all their references and say what clients ask them', (t) => {
  const groups = Map.groupBy(builtInResources, openApiV3Path);
  for (const [path, resources] of groups) {
    const document = openApiV3Document(resources, info) as unknown as DocumentV3;
    const { schemas } = document.components;
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name = '']) => name,
    );
    t.strictSame(
      references.filter((name) => schemas[name] === undefined),
      [],
      path,
    );
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map((each) => each.operationId),
    );
    t.equal(new Set(ids).size, ids.length, `${path}: operation ids are unique`);
  }
  const { paths, components } = openApiV3Document(groupVersion('apps', 'v1'), info) as unknown as DocumentV3;
  const patch = paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']?.['patch'];
  t.match(patch, {
    operationId: 'patchAppsV1NamespacedDeployment',
    'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
    'x-kubernetes-action': 'patch',
    tags: ['apps_v1'],
  });
  t.ok(
    patch?.parameters.some(({ name }) => name === 'fieldValidation'),
    'kubectl asks whether the server validates',
  );
  t.match(paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale']?.['get'], {
    operationId: 'readAppsV1NamespacedDeploymentScale',
    'x-kubernetes-group-version-kind': { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  });
  const podSpec = components.schemas['io.k8s.api.core.v1.PodSpec'];
  t.strictSame(podSpec?.required, ['containers']);
  t.match(podSpec?.properties?.['containers'], {
    type: 'array',
    items: { $ref: '#/components/schemas/io.k8s.api.core.v1.Container' },
    description: /^List of containers belonging to the pod/,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-patch-merge-key': 'name',
  });
  t.match(components.schemas['io.k8s.api.apps.v1.RollingUpdateDeployment']?.properties?.['maxSurge'], {
    allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString' }],
  });
  t.strictSame(components.schemas['io.k8s.api.apps.v1.Deployment']?.['x-kubernetes-group-version-kind'], [
    { group: 'apps', version: 'v1', kind: 'Deployment' },
  ]);
  t.end();
});

await t.test('OpenAPI v3 index and v2', (t) => {
  t.equal(openApiV3Path({ group: '', version: 'v1' }), 'api/v1');
  t.strictSame(openApiV3Index([{ path: 'apis/apps/v1', hash: 'ABC' }]), {
    paths: { 'apis/apps/v1': { serverRelativeURL: '/openapi/v3/apis/apps/v1?hash=ABC' } },
  });
  const document = openApiV2Document(builtInResources, info) as unknown as { definitions: Record<string, Schema> };
  const references = [...JSON.stringify(document).matchAll(/"#\/definitions\/([^"]+)"/g)].map(([, name = '']) => name);
  t.strictSame(
    references.filter((name) => document.definitions[name] === undefined),
    [],
  );
  t.match(document.definitions['io.k8s.apimachinery.pkg.api.resource.Quantity'], { type: 'string' });
  t.end();
});

await t.test('OpenAPI of custom resources', (t) => {
  const definitionsOf = (schema: JsonSchema): Record<'v2' | 'v3', Schema | undefined> => {
    const resource = defineResource({
      group: 'example.com',
      version: 'v1',
      resource: 'widgets',
      singular: 'widget',
      kind: 'Widget',
      model: 'com.example.v1.Widget',
      namespaced: true,
      schema,
    });
    const v2 = openApiV2Document([resource], info) as unknown as { definitions: Record<string, Schema> };
    const v3 = openApiV3Document([resource], info) as unknown as DocumentV3;
    return { v2: v2.definitions[resource.model], v3: v3.components.schemas[resource.model] };
  };
  const gvk = [{ group: 'example.com', version: 'v1', kind: 'Widget' }];
  const text = { type: 'string' };
  const open = { 'x-kubernetes-preserve-unknown-fields': true } as const;
  const embedded = { type: 'object', 'x-kubernetes-embedded-resource': true } as const;

  const any = definitionsOf({ type: 'object', ...open });
  t.strictSame(any.v2, { type: 'object', 'x-kubernetes-group-version-kind': gvk }, 'kubectl is told of no field');
  const objectFields = {
    apiVersion: { description: /^APIVersion defines/u, type: 'string' },
    kind: { description: /^Kind is/u, type: 'string' },
    metadata: {
      description: /^Standard object's metadata/u,
      allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }],
    },
  };
  t.match(any.v3, { ...open, properties: objectFields });

  const { v2, v3 } = definitionsOf({
    type: 'object',
    required: ['maybe', 'name'],
    properties: {
      name: text,
      maybe: { type: 'object', nullable: true, required: ['a'], properties: { a: text } },
      either: { anyOf: [{ minLength: 1 }], ...text },
      rest: { type: 'object', properties: { a: text }, ...open },
      pod: { ...embedded, required: ['apiVersion'], properties: { spec: { type: 'object' } } },
      openPod: { ...embedded, ...open },
    },
  });
  t.strictSame(v2?.required, ['name'], 'what may be null is not required in v2');
  const { pod, openPod, ...others } = v2?.properties ?? {};
  t.match(others, { name: text, maybe: { required: ['a'] }, either: text, rest: open });
  t.strictSame(Object.keys(others), ['name', 'maybe', 'either', 'rest', 'apiVersion', 'kind', 'metadata']);
  t.strictSame([others['maybe'], others['either'], others['rest']], [{ required: ['a'] }, text, open]);
  t.strictSame(openPod, { 'x-kubernetes-embedded-resource': true, ...open });
  t.match(others['metadata'], { description: /^Standard/u, $ref: /ObjectMeta$/u });
  t.match(pod, { required: ['apiVersion', 'kind'], properties: { spec: {}, apiVersion: text, kind: text } });
  t.strictSame(v3?.required, ['maybe', 'name']);
  t.match(v3?.properties?.['openPod'], { ...open, required: ['kind', 'apiVersion'], properties: objectFields });
  t.end();
});
