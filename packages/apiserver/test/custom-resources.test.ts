/** CustomResourceDefinitions and what they define, over HTTP and with real kubectl. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually, runProgram } from '@naru/testkit';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';
import { startProxy } from './kubectl-proxy.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const widgets = '/apis/example.com/v1/namespaces/default/widgets';

const schema = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10, description: 'How large it is.' },
        color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
        port: { 'x-kubernetes-int-or-string': true },
        extra: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        replicas: { type: 'integer' },
      },
    },
    status: {
      type: 'object',
      properties: { replicas: { type: 'integer' }, selector: { type: 'string' }, phase: { type: 'string' } },
    },
  },
};

function definition(changes: object = {}, version: object = {}): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'], categories: ['all'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schema },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: '.spec.replicas',
              statusReplicasPath: '.status.replicas',
              labelSelectorPath: '.status.selector',
            },
          },
          additionalPrinterColumns: [
            { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
            { name: 'Color', type: 'string', jsonPath: '.spec.color' },
          ],
          selectableFields: [{ jsonPath: '.spec.color' }],
          ...version,
        },
      ],
      ...changes,
    },
  };
}

const widget = (name: string, spec: object, rest: object = {}): object => ({
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  metadata: { name },
  spec,
  ...rest,
});

async function established(api: ApiFixture, name: string): Promise<Answer> {
  return await eventually(async () => {
    const answer = await api.request('GET', `${definitions}/${name}`);
    const status = answer.body.status as { conditions?: { type: string; status: string }[] } | undefined;
    if (status?.conditions?.some((each) => each.type === 'Established' && each.status === 'True') !== true)
      throw new Error(answer.text);
    return answer;
  });
}

await t.test('custom resources are served like others', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);
  await using other = await ApiFixture.start(store);
  t.equal((await api.request('GET', widgets)).status, 404, 'nothing is there before');
  t.equal((await api.request('POST', definitions, { body: definition() })).status, 201);

  await t.test('as soon as they are defined, on every server', async (t) => {
    await established(api, 'widgets.example.com');
    const made = await other.request('POST', widgets, { body: widget('a', { size: 3, bogus: 1, extra: { x: 1 } }) });
    t.equal(made.status, 201, made.text);
    t.match(made.headers.get('warning'), /unknown field \\"spec.bogus\\"/u);
    t.strictSame(made.body.spec, { size: 3, extra: { x: 1 }, color: 'red' }, 'pruned and defaulted');
    t.equal(made.body.metadata['generation'], 1);
    const read = await api.request('GET', `${widgets}/a`);
    t.strictSame(read.body, made.body);
    const list = await api.request('GET', widgets);
    t.match(list.body, { kind: 'WidgetList', apiVersion: 'example.com/v1', items: [{ kind: 'Widget' }] });
    t.ok(list.body.metadata.resourceVersion);
  });

  await t.test('objects are validated in upstream words', async (t) => {
    const refused = async (spec: object): Promise<string> => {
      const answer = await api.request('POST', widgets, { body: widget('bad', spec) });
      t.equal(answer.status, 422, answer.text);
      return answer.body.message ?? '';
    };
    t.match(await refused({}), 'Widget.example.com "bad" is invalid: spec.size: Required value');
    t.match(
      await refused({ size: 'x' }),
      'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    );
    t.match(
      await refused({ size: 11 }),
      'spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10',
    );
    t.match(
      await refused({ size: 1, color: 'green' }),
      'spec.color: Unsupported value: "green": supported values: "red", "blue"',
    );
    const strict = await api.request('POST', `${widgets}?fieldValidation=Strict`, {
      body: widget('bad', { size: 1, bogus: 1 }),
    });
    t.equal(strict.status, 400);
    t.match(strict.body.message, 'strict decoding error: unknown field "spec.bogus"');
  });

  await t.test('patches, status and scale', async (t) => {
    const patch = async (path: string, body: unknown, type = 'merge-patch'): Promise<Answer> =>
      await api.request('PATCH', path, { body, type: `application/${type}+json` });
    t.match((await patch(`${widgets}/a`, { spec: { size: 4 } })).body, { metadata: { generation: 2 } });
    const json = await patch(`${widgets}/a`, [{ op: 'replace', path: '/spec/size', value: 5 }], 'json-patch');
    t.match(json.body.spec, { size: 5 });
    t.equal((await patch(`${widgets}/a`, { spec: { size: 6 } }, 'strategic-merge-patch')).status, 415);
    const status = await patch(`${widgets}/a/status`, { spec: { size: 9 }, status: { phase: 'Ready', replicas: 2 } });
    t.match(status.body, { spec: { size: 5 }, status: { phase: 'Ready' }, metadata: { generation: 3 } });
    t.match((await patch(`${widgets}/a`, { status: { phase: 'x' } })).body.status, { phase: 'Ready' });
    t.equal((await api.request('GET', `${widgets}/a/scale`)).status, 500, 'there are no replicas yet');
    await patch(`${widgets}/a`, { spec: { replicas: 1 } });
    const scale = await patch(`${widgets}/a/scale`, { spec: { replicas: 7 } });
    t.match(scale.body, { kind: 'Scale', spec: { replicas: 7 }, status: { replicas: 2 } }, scale.text);
    t.match((await api.request('GET', `${widgets}/a`)).body.spec, { replicas: 7 });
  });

  await t.test('tables, selectors and watches', async (t) => {
    await api.request('POST', widgets, { body: widget('b', { size: 1, color: 'blue' }) });
    const table = await api.request('GET', `${widgets}?fieldSelector=spec.color%3Dblue`, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    });
    t.match(table.body, { kind: 'Table', rows: [{ cells: ['b', 1, 'blue'] }] });
    t.equal((table.body['rows'] as unknown[]).length, 1);
    t.equal((await api.request('GET', `${widgets}?fieldSelector=spec.size%3D1`)).status, 400);
    const seen: string[] = [];
    for await (const { type, object } of api.watch(`${widgets}?watch=true`)) {
      seen.push(`${type} ${object.metadata.name ?? ''}`);
      if (seen.length === 2) await api.request('DELETE', `${widgets}/b`);
      if (seen.length === 3) break;
    }
    t.strictSame(seen, ['ADDED a', 'ADDED b', 'DELETED b']);
  });

  await t.test('discovery and OpenAPI list them', async (t) => {
    t.match((await api.request('GET', '/apis/example.com/v1')).body['resources'], [
      { name: 'widgets', singularName: 'widget', kind: 'Widget', shortNames: ['wd'], categories: ['all'] },
      { name: 'widgets/status' },
      { name: 'widgets/scale', kind: 'Scale' },
    ]);
    const aggregated = await api.request('GET', '/apis', {
      headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' },
    });
    t.match(aggregated.text, /"name":"example.com"/u);
    const v3 = await api.request('GET', '/openapi/v3/apis/example.com/v1');
    t.match(JSON.parse(v3.text), {
      components: {
        schemas: {
          'com.example.v1.Widget': { properties: { spec: { properties: { size: { type: 'integer' } } } } },
        },
      },
    });
    t.match((await api.request('GET', '/openapi/v2')).text, /com\.example\.v1\.WidgetList/u);
  });

  await t.test('RBAC decides by group and resource', async (t) => {
    t.equal((await api.request('GET', widgets, { token: 'joe' })).status, 403);
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const rules = [{ apiGroups: ['example.com'], resources: ['widgets'], verbs: ['list'] }];
    await api.request('POST', `${rbac}/clusterroles`, { body: { metadata: { name: 'w' }, rules } });
    const body = {
      metadata: { name: 'w' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'w' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'joe' }],
    };
    await api.request('POST', `${rbac}/clusterrolebindings`, { body });
    await eventually(async () => {
      const { status } = await api.request('GET', widgets, { token: 'joe' });
      if (status !== 200) throw new Error(String(status));
    });
  });

  await t.test('versions are served side by side, and the storage version may change', async (t) => {
    const current = (await api.request('GET', `${definitions}/widgets.example.com`)).body;
    const [v1] = (current.spec as { versions: [Record<string, unknown>] }).versions;
    const v2 = { ...v1, name: 'v2', additionalPrinterColumns: undefined };
    const spec = { ...current.spec, versions: [{ ...v1, storage: false }, v2] };
    const updated = await api.request('PUT', `${definitions}/widgets.example.com`, { body: { ...current, spec } });
    t.equal(updated.status, 200, updated.text);
    t.match(updated.body.status, { storedVersions: ['v1', 'v2'] });
    const second = widgets.replace('v1', 'v2');
    const read = await eventually(async () => {
      const answer = await other.request('GET', `${second}/a`);
      if (answer.status !== 200) throw new Error(answer.text);
      return answer;
    });
    t.match(read.body, { apiVersion: 'example.com/v2', metadata: { name: 'a' }, spec: { size: 5 } });
    t.match((await api.request('GET', `${widgets}/a`)).body, { apiVersion: 'example.com/v1' });
    t.match((await api.request('GET', second)).body.items, [{ apiVersion: 'example.com/v2' }]);
    const groups = await api.request('GET', '/apis/example.com');
    t.match(groups.body, { versions: [{ version: 'v2' }, { version: 'v1' }] });
  });

  await t.test('a definition takes its objects with it', async (t) => {
    const finalizers = ['example.com/wait'];
    await api.request('POST', widgets, { body: widget('c', { size: 1 }, { metadata: { name: 'c', finalizers } }) });
    const ended = (async () => {
      for await (const _ of other.watch(`${widgets}?watch=true`));
    })();
    const deleted = await api.request('DELETE', `${definitions}/widgets.example.com`);
    t.match(deleted.body, { metadata: { finalizers: ['customresourcecleanup.apiextensions.k8s.io'] } });
    await eventually(async () => {
      const { status } = await api.request('GET', `${widgets}/a`);
      if (status !== 404) throw new Error('a is still there');
    });
    await eventually(async () => {
      const answer = await api.request('POST', widgets, { body: widget('d', { size: 1 }) });
      if (answer.status !== 405) throw new Error(answer.text);
    });
    await api.request('PATCH', `${widgets}/c`, {
      body: { metadata: { finalizers: null } },
      type: 'application/merge-patch+json',
    });
    await eventually(async () => {
      const { status } = await api.request('GET', `${definitions}/widgets.example.com`);
      if (status !== 404) throw new Error('the definition is still there');
    });
    await ended;
    await eventually(async () => {
      const { status } = await other.request('GET', '/apis/example.com/v1');
      if (status !== 404) throw new Error('still discovered');
    });
    t.equal((await api.request('GET', widgets)).status, 404);
  });

  await t.test('definitions are validated', async (t) => {
    const refused = async (body: object): Promise<string> => {
      const answer = await api.request('POST', definitions, { body });
      t.equal(answer.status, 422, answer.text);
      return answer.body.message ?? '';
    };
    t.match(await refused(definition({ group: 'example.org' })), 'must be spec.names.plural+"."+spec.group');
    t.match(
      await refused(definition({}, { storage: false })),
      'must have exactly one version marked as storage version',
    );
    t.match(await refused(definition({}, { schema: undefined })), 'schema.openAPIV3Schema: Required value');
    t.match(
      await refused(definition({}, { schema: { openAPIV3Schema: { type: 'object', properties: { spec: {} } } } })),
      'openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields',
    );
  });

  await t.test('groups of the community want to know where a definition was approved', async (t) => {
    const name = 'widgets.x.k8s.io';
    const body = (approved?: string): object => ({
      ...definition({ group: 'x.k8s.io' }),
      metadata: {
        name,
        ...(approved === undefined ? {} : { annotations: { 'api-approved.kubernetes.io': approved } }),
      },
    });
    t.match(
      (await api.request('POST', definitions, { body: body() })).body.message,
      'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see',
    );
    t.match(
      (await api.request('POST', definitions, { body: body('sure') })).body.message,
      'Invalid value: "sure": protected groups must have approval annotation',
    );
    t.equal((await api.request('POST', definitions, { body: body('unapproved, a test') })).status, 201);
    const has = async (wanted: string): Promise<void> =>
      await eventually(async () => {
        const { text } = await api.request('GET', `${definitions}/${name}`);
        if (!text.includes(wanted)) throw new Error(text);
      });
    await has(
      '"type":"KubernetesAPIApprovalPolicyConformant","status":"False","reason":"UnapprovedAnnotation","message":"not approved: \\"unapproved, a test\\""',
    );
    const metadata = { annotations: { 'api-approved.kubernetes.io': 'https://example.com/1' } };
    await api.request('PATCH', `${definitions}/${name}`, { body: { metadata }, type: 'application/merge-patch+json' });
    await has('"status":"True","reason":"ApprovedAnnotation","message":"approved in https://example.com/1"');
    await api.request('DELETE', `${definitions}/${name}`);
  });

  await t.test('what a stricter definition would not take any more may stay as it is', async (t) => {
    t.equal((await api.request('POST', definitions, { body: definition() })).status, 201);
    await established(api, 'widgets.example.com');
    t.equal((await api.request('POST', widgets, { body: widget('old', { size: 9 }) })).status, 201);
    const current = (await api.request('GET', `${definitions}/widgets.example.com`)).body;
    const text = JSON.stringify(current).replace('"maximum":10', '"maximum":5');
    t.equal((await api.request('PUT', `${definitions}/widgets.example.com`, { raw: text })).status, 200);
    await eventually(async () => {
      const answer = await api.request('POST', `${widgets}?dryRun=All`, { body: widget('new', { size: 9 }) });
      if (answer.status !== 422) throw new Error(answer.text);
    });
    const patch = async (spec: object): Promise<Answer> =>
      await api.request('PATCH', `${widgets}/old`, { body: { spec }, type: 'application/merge-patch+json' });
    t.equal((await patch({ replicas: 2 })).status, 200, 'its size was no better before');
    t.match(
      (await patch({ size: 8 })).body.message,
      'spec.size: Invalid value: 8: spec.size in body should be less than or equal to 5',
    );
    t.equal((await patch({ size: 5 })).status, 200);
    await api.request('DELETE', `${definitions}/widgets.example.com`);
    await eventually(async () => {
      const { status } = await api.request('GET', `${definitions}/widgets.example.com`);
      if (status !== 404) throw new Error('the definition is still there');
    });
  });

  await t.test('names that another definition has are not accepted', async (t) => {
    t.equal((await api.request('POST', definitions, { body: definition() })).status, 201);
    await established(api, 'widgets.example.com');
    const names = { plural: 'gadgets', kind: 'Widget', singular: 'gadget', listKind: 'GadgetList' };
    const body = { ...definition({ names }), metadata: { name: 'gadgets.example.com' } };
    t.equal((await api.request('POST', definitions, { body })).status, 201);
    await eventually(async () => {
      const answer = await api.request('GET', `${definitions}/gadgets.example.com`);
      if (!answer.text.includes('"reason":"KindConflict","message":"\\"Widget\\" is already in use"'))
        throw new Error(answer.text);
    });
    t.equal((await api.request('GET', widgets.replace('widgets', 'gadgets'))).status, 404);
    await api.request('DELETE', `${definitions}/widgets.example.com`);
    await established(api, 'gadgets.example.com');
  });
});

await t.test('kubectl works with custom resources', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);
  const proxy = await startProxy(api.url);
  const home = await mkdtemp(join(tmpdir(), 'naru-kubectl-'));
  t.teardown(async () => {
    await proxy.stop();
    await rm(home, { recursive: true, force: true });
  });
  const run = async (...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, HOME: home, KUBECONFIG: join(home, 'none') };
    return (await runProgram('kubectl', [`--server=${proxy.url}`, ...args], { env })).stdout;
  };
  const check = async (line: string, wanted: RegExp): Promise<void> => {
    t.match(await run(...line.split(' ')), wanted, `kubectl ${line}`);
  };
  const [crd, file] = [join(home, 'crd.json'), join(home, 'widget.json')];
  await writeFile(crd, JSON.stringify(definition()));
  await check(`create -f ${crd}`, /widgets.example.com created/u);
  await check('wait --for=condition=Established crd/widgets.example.com --timeout=20s', /condition met/u);
  await writeFile(file, JSON.stringify(widget('w', { size: 3, replicas: 1 })));
  await check(`apply -f ${file}`, /widget.example.com\/w created/u);
  await check(`apply -f ${file}`, /widget.example.com\/w unchanged/u);
  await writeFile(file, JSON.stringify(widget('w', { size: 4, replicas: 1 })));
  await check(`apply -f ${file}`, /widget.example.com\/w configured/u);
  await check('get wd', /NAME +SIZE +COLOR\nw +4 +red/u);
  await check('get all', /widget.example.com\/w/u);
  await check('explain widget.spec.size', /FIELD: size <integer>[\s\S]*How large it is/u);
  await check('patch widget w --type=merge -p {"spec":{"size":5}}', /patched/u);
  await check('scale widget w --replicas=4', /scaled/u);
  await check('get widget w -o jsonpath={.spec.replicas}/{.spec.size}', /^4\/5$/u);
  await writeFile(file, JSON.stringify(widget('w', { siez: 4, size: 1 })));
  await t.rejects(run('apply', '-f', file), /unknown field "spec.siez"/u);
  await check('delete widget w --timeout=20s', /deleted/u);
  await check('delete crd widgets.example.com --timeout=20s', /deleted/u);
});
