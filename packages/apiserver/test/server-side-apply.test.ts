/** Server-side apply and managedFields over HTTP. */
import t, { type Test } from 'tap';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const applyType = 'application/apply-patch+yaml';

interface Entry {
  readonly manager: string;
  readonly operation: string;
  readonly subresource?: string;
  readonly time?: string;
  readonly fieldsV1: unknown;
}
const entriesOf = (answer: Answer): readonly Entry[] => (answer.body.metadata['managedFields'] ?? []) as Entry[];
const managersOf = (answer: Answer): string[] =>
  entriesOf(answer).map(({ manager, operation, subresource }) => [manager, operation, subresource ?? ''].join('/'));

const deployment = (name: string, spec: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    selector: { matchLabels: { a: name } },
    template: {
      metadata: { labels: { a: name } },
      spec: { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }] },
    },
    ...spec,
  },
});

await t.test('server-side apply', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);
  const apply = async (path: string, body: unknown, query = 'fieldManager=m', token = 'admin'): Promise<Answer> =>
    await api.request('PATCH', `${path}?${query}`, { body, type: applyType, token });
  const suites: Readonly<Record<string, (t: Test) => Promise<void>>> = {
    'takes whole configurations of the kind only': async (t) => {
      const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } };
      const at = `${configMaps}/x`;
      t.match(await apply(at, { kind: 'ConfigMap', metadata: { name: 'x' } }), {
        status: 400,
        body: { message: 'Incorrect version specified in apply patch. Specified patch version: , expected: v1' },
      });
      t.match(await apply(at, { ...config, metadata: { name: 'x', managedFields: [] } }), {
        status: 400,
        body: { message: 'metadata.managedFields must be nil' },
      });
      for (const fieldValidation of ['Ignore', 'Strict'])
        t.match(await apply(at, { ...config, dta: {} }, `fieldManager=m&fieldValidation=${fieldValidation}`), {
          status: 500,
          body: {
            message:
              'failed to create typed patch object (/x; /v1, Kind=ConfigMap): .dta: field not declared in schema',
          },
        });
      t.equal((await api.request('GET', at)).status, 404);
    },
    'creates, changes nothing twice, takes away': async (t) => {
      const created = await apply(`${deployments}/d`, deployment('d', { replicas: 2 }));
      t.match(created, { status: 201, body: { spec: { replicas: 2, revisionHistoryLimit: 10 } } });
      t.strictSame(managersOf(created), ['m/Apply/']);
      t.notMatch(
        entriesOf(created)[0]?.fieldsV1,
        { 'f:spec': { 'f:revisionHistoryLimit': {} } },
        'defaults are nobody’s',
      );
      const again = await apply(`${deployments}/d`, deployment('d', { replicas: 2 }));
      t.equal(again.status, 200);
      t.strictSame(again.body, created.body, 'nothing is written');
      const without = await apply(`${deployments}/d`, deployment('d'));
      t.match(without.body.spec, { replicas: 1 }, 'what is no longer applied has its default again');
      const yaml = await api.request('PATCH', `${configMaps}/y?fieldManager=m`, {
        raw: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: "1"\n',
        type: applyType,
      });
      t.match(yaml, { status: 201, body: { data: { a: '1' } } });
      t.strictSame((await api.request('GET', `${configMaps}/y`)).body, yaml.body, 'the entries are stored');
    },
    'conflicts are refused unless forced': async (t) => {
      await apply(`${deployments}/e`, deployment('e', { replicas: 2 }));
      const scaled = await api.request('PATCH', `${deployments}/e/scale?fieldManager=scaler`, {
        body: { spec: { replicas: 5 } },
        type: 'application/merge-patch+json',
      });
      t.equal(scaled.status, 200);
      const refused = await apply(`${deployments}/e`, deployment('e', { replicas: 2 }));
      t.match(refused, {
        status: 409,
        body: {
          reason: 'Conflict',
          message:
            'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas',
          details: { causes: [{ reason: 'FieldManagerConflict', field: '.spec.replicas' }] },
        },
      });
      const dry = await apply(
        `${deployments}/e`,
        deployment('e', { replicas: 2 }),
        'fieldManager=m&force=true&dryRun=All',
      );
      t.match(dry, { status: 200, body: { spec: { replicas: 2 } } });
      t.match((await api.request('GET', `${deployments}/e`)).body.spec, { replicas: 5 });
      const forced = await apply(`${deployments}/e`, deployment('e', { replicas: 2 }), 'fieldManager=m&force=true');
      t.match(forced, { status: 200, body: { spec: { replicas: 2 } } });
      t.strictSame(managersOf(forced), ['m/Apply/'], 'who owns nothing any more is gone');
    },
    'status has entries of its own': async (t) => {
      await apply(`${deployments}/f`, deployment('f'));
      const status = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'f' }, status: { replicas: 1 } };
      const applied = await apply(`${deployments}/f/status`, status, 'fieldManager=s');
      t.match(applied, { status: 200, body: { status: { replicas: 1 } } });
      t.strictSame(managersOf(applied).toSorted(), ['m/Apply/', 's/Apply/status']);
      const main = await apply(`${deployments}/f`, { ...deployment('f'), status: { replicas: 9 } });
      t.match(main.body['status'], { replicas: 1 });
    },
    'every verb is tracked, by fieldManager or User-Agent': async (t) => {
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'u' }, data: { a: '1', b: '1' } };
      const created = await api.request('POST', configMaps, {
        body,
        headers: { 'user-agent': 'kubectl/v1.36 (linux)' },
      });
      t.strictSame(managersOf(created), ['kubectl/Update/']);
      const patched = await api.request('PATCH', `${configMaps}/u?fieldManager=p`, {
        body: { data: { b: '2' } },
        type: 'application/merge-patch+json',
      });
      t.strictSame(managersOf(patched).toSorted(), ['kubectl/Update/', 'p/Update/']);
      const same = await api.request('PUT', `${configMaps}/u?fieldManager=q`, {
        body: { ...body, data: { a: '1', b: '2' } },
      });
      t.strictSame(same.body, patched.body, 'an update without a change is none');
      const metadata = { ...patched.body.metadata, managedFields: [{}] };
      const reset = await api.request('PUT', `${configMaps}/u?fieldManager=q`, { body: { ...patched.body, metadata } });
      t.strictSame(entriesOf(reset), []);
      const conflict = await apply(`${configMaps}/u`, { ...body, data: { a: '3' } });
      t.match(conflict.body.message, /conflict with "before-first-apply" using v1: .data.a$/u);
    },
    'custom resources are applied field by field': async (t) => {
      const spec = {
        type: 'object',
        properties: { seats: { type: 'integer' }, colour: { type: 'string', default: 'white' } },
      };
      const definition = {
        metadata: { name: 'boats.e.io' },
        spec: {
          group: 'e.io',
          scope: 'Namespaced',
          names: { plural: 'boats', kind: 'Boat' },
          versions: [
            {
              name: 'v1',
              served: true,
              storage: true,
              schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
            },
          ],
        },
      };
      await api.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { body: definition });
      const boats = '/apis/e.io/v1/namespaces/default/boats';
      const boat = (fields: object): object => ({
        apiVersion: 'e.io/v1',
        kind: 'Boat',
        metadata: { name: 'b' },
        spec: fields,
      });
      const created = await apply(`${boats}/b`, boat({ seats: 2 }));
      t.match(created, { status: 201, body: { spec: { seats: 2, colour: 'white' } } });
      t.strictSame(entriesOf(created)[0]?.fieldsV1, { 'f:spec': { 'f:seats': {} } }, 'defaults are nobody’s');
      t.strictSame((await apply(`${boats}/b`, boat({ seats: 2 }))).body, created.body);
      const painted = await apply(`${boats}/b`, boat({ colour: 'red' }), 'fieldManager=n');
      t.match(painted, { status: 200, body: { spec: { seats: 2, colour: 'red' } } });
      t.match(await apply(`${boats}/b`, boat({ seats: 2, colour: 'blue' })), {
        status: 409,
        body: { message: 'Apply failed with 1 conflict: conflict with "n": .spec.colour' },
      });
    },
    'a configuration is what was sent: neither written otherwise nor as it is stored': async (t) => {
      const quotas = '/api/v1/namespaces/default/resourcequotas';
      const quota = (cpu: string): object => ({
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'q' },
        spec: { hard: { cpu } },
      });
      t.match((await apply(`${quotas}/q`, quota('1000m'))).body['spec'], { hard: { cpu: '1' } });
      t.match(await apply(`${quotas}/q`, quota('1000m'), 'fieldManager=n'), {
        status: 409,
        body: { message: 'Apply failed with 1 conflict: conflict with "m": .spec.hard.cpu' },
      });
      const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'sent', labels: null }, data: {} };
      t.strictSame(entriesOf(await apply(`${configMaps}/sent`, config))[0]?.fieldsV1, {
        'f:metadata': { 'f:labels': {} },
        'f:data': {},
      });
      const versioned = { ...config, metadata: { name: 'versioned', resourceVersion: '7' } };
      t.equal((await apply(`${configMaps}/versioned`, versioned)).status, 201, 'a new object has no version');
      const renamed = { ...config, metadata: { name: 'sent', uid: '11111111-2222-3333-4444-555555555555' } };
      t.match(await apply(`${configMaps}/sent`, renamed), {
        status: 422,
        body: { message: /metadata\.uid: Invalid value: .*: field is immutable$/u },
      });
    },
    'writes own what they can set': async (t) => {
      await api.request('POST', `${deployments}?fieldManager=m`, { body: deployment('status') });
      const status = await api.request('PATCH', `${deployments}/status/status?fieldManager=s`, {
        body: { metadata: { labels: { of: 'status' }, annotations: { of: 'status' } }, status: { replicas: 1 } },
        type: 'application/merge-patch+json',
      });
      t.equal(status.body.metadata.labels, undefined, 'a status has no labels');
      t.strictSame(entriesOf(status).find(({ manager }) => manager === 's')?.fieldsV1, {
        'f:metadata': { 'f:annotations': { '.': {}, 'f:of': {} } },
        'f:status': { 'f:replicas': {} },
      });
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' };
      const asked = await api.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?fieldManager=m', {
        body: { ...review, spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } },
      });
      t.match(entriesOf(asked), [
        { manager: 'm', fieldsV1: { 'f:spec': { 'f:resourceAttributes': { 'f:verb': {} } } } },
      ]);
      t.strictSame(managersOf(await api.request('GET', '/api/v1/namespaces/kube-system')), ['kube-apiserver/Update/']);
    },
    'what cannot be applied is refused': async (t) => {
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'r' }, data: { a: '1' } };
      t.match(await apply(`${configMaps}/r`, body, ''), {
        status: 422,
        body: {
          message: 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        },
      });
      const forced = await api.request('PATCH', `${configMaps}/r?force=true`, {
        body: {},
        type: 'application/merge-patch+json',
      });
      t.match(forced.body.message, /force: Forbidden: may not be specified for non-apply patch$/u);
      const managed = { ...body, metadata: { name: 'r', managedFields: [{ manager: 'x' }] } };
      t.match(await apply(`${configMaps}/r`, managed), {
        status: 400,
        body: { message: 'metadata.managedFields must be nil' },
      });
      t.equal((await apply(`${configMaps}/r`, { ...body, metadata: { name: 's' } })).status, 400);
      t.equal((await api.request('GET', `${configMaps}/r`)).status, 404);
      const role = {
        metadata: { name: 'patcher', namespace: 'default' },
        rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['patch'] }],
      };
      const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
      await api.request('POST', `${rbac}/roles`, { body: role });
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'patcher' };
      const subjects = [{ kind: 'User', name: 'joe', apiGroup: 'rbac.authorization.k8s.io' }];
      await api.request('POST', `${rbac}/rolebindings`, { body: { metadata: { name: 'patcher' }, roleRef, subjects } });
      const joe = await apply(`${configMaps}/r`, body, 'fieldManager=m', 'joe');
      t.match(joe, { status: 403, body: { message: /cannot create resource "configmaps"/u } }, 'patch is not create');
    },
  };
  for (const [name, run] of Object.entries(suites)) await t.test(name, run);
});
