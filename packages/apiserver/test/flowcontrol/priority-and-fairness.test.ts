import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { ApiFixture, startStore, type Answer } from '../api-fixture.ts';

const api = '/apis/flowcontrol.apiserver.k8s.io/v1';
const tokens = [
  'admin,admin,admin,"system:masters"',
  'joe,joe,joe,"slow"',
  'jim,jim,jim,"slow"',
  'ann,ann,ann,""',
].join('\n');

/** A level of five seats for the group `slow`, and one flow for each user. */
async function limitSlow(fixture: ApiFixture, limitResponse: object): Promise<void> {
  const level = {
    metadata: { name: 'slow' },
    // Of 245 + 5 shares and a server of 250 seats, five; nothing is lent or borrowed.
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: 5, borrowingLimitPercent: 0, limitResponse } },
  };
  t.equal((await fixture.request('POST', `${api}/prioritylevelconfigurations`, { body: level })).status, 201);
  const everything = { verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true };
  const schema = {
    metadata: { name: 'slow' },
    spec: {
      matchingPrecedence: 50,
      priorityLevelConfiguration: { name: 'slow' },
      distinguisherMethod: { type: 'ByUser' },
      rules: [{ subjects: [{ kind: 'Group', group: { name: 'slow' } }], resourceRules: [everything] }],
    },
  };
  t.equal((await fixture.request('POST', `${api}/flowschemas`, { body: schema })).status, 201);
}

/** A request that stays in its seat, as its body does not come; `finish` sends it. */
function hold(fixture: ApiFixture, token: string): { readonly request: ClientRequest; finish(): Promise<number> } {
  const body = '{"metadata":{"generateName":"x"}}';
  const request = httpRequest(`${fixture.url}/api/v1/namespaces/default/configmaps`, {
    method: 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': body.length,
    },
  });
  const status = new Promise<number>((resolve, reject) => {
    request.once('response', (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    request.once('error', reject);
  });
  status.catch(() => undefined);
  request.flushHeaders();
  return {
    request,
    async finish() {
      request.end(body);
      return await status;
    },
  };
}

async function metric(fixture: ApiFixture, line: RegExp): Promise<number> {
  const { text } = await fixture.request('GET', '/metrics');
  const found = text.split('\n').find((each) => line.test(each));
  return found === undefined ? 0 : Number(found.split(' ').at(-1));
}

async function becomes(fixture: ApiFixture, line: RegExp, wanted: number): Promise<void> {
  await eventually(async () => {
    const value = await metric(fixture, line);
    if (value !== wanted) throw new Error(`${line.source} is ${value}, not ${wanted}`);
  });
}

const executing = /^apiserver_flowcontrol_current_executing_requests\{.*flow_schema="slow"/u;
const waiting = /^apiserver_flowcontrol_current_inqueue_requests\{.*flow_schema="slow"/u;

void t.test('priority and fairness', async (t) => {
  await using store = await startStore('etcd');
  await using fixture = await ApiFixture.start(store, {
    tokens,
    authorizationModes: ['AlwaysAllow'],
    maxRequestsInflight: 150,
    maxMutatingRequestsInflight: 100,
  });

  await t.test('the objects that every cluster has are there, and stay', async (t) => {
    const schemas = await fixture.request('GET', `${api}/flowschemas`);
    const names = schemas.body.items?.map(({ metadata }) => metadata.name);
    t.same(names?.toSorted(), [
      'catch-all',
      'endpoint-controller',
      'exempt',
      'global-default',
      'kube-controller-manager',
      'kube-scheduler',
      'kube-system-service-accounts',
      'probes',
      'service-accounts',
      'system-leader-election',
      'system-node-high',
      'system-nodes',
      'workload-leader-election',
    ]);
    for (const { metadata, status } of schemas.body.items ?? []) {
      t.match(metadata, { generation: 1, annotations: { 'apf.kubernetes.io/autoupdate-spec': 'true' } });
      t.match(status, { conditions: [{ type: 'Dangling', status: 'False', reason: 'Found' }] });
    }
    const levels = await fixture.request('GET', `${api}/prioritylevelconfigurations`);
    t.equal(levels.body.items?.length, 8);
    const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const { rows } = (await fixture.request('GET', `${api}/prioritylevelconfigurations`, { headers })).body;
    t.match(rows, [
      { cells: ['catch-all', 'Limited', 5, '<none>', '<none>', '<none>'] },
      { cells: ['exempt', 'Exempt'] },
    ]);
    t.match((rows as unknown[])[2], { cells: ['global-default', 'Limited', 20, 128, 6, 50] });
    t.equal((await fixture.request('DELETE', `${api}/flowschemas/catch-all`)).status, 200);
    const merge = 'application/merge-patch+json';
    const patch = async (path: string, body: unknown): Promise<Answer> =>
      await fixture.request('PATCH', `${api}/${path}`, { body, type: merge });
    t.equal((await patch('flowschemas/probes', { spec: { matchingPrecedence: 3 } })).status, 200);
    const kept = { metadata: { annotations: { 'apf.kubernetes.io/autoupdate-spec': 'false' } } };
    const system = 'prioritylevelconfigurations/system';
    t.equal((await patch(system, { ...kept, spec: { limited: { nominalConcurrencyShares: 31 } } })).status, 200);
    t.match((await patch('flowschemas/exempt', { spec: { matchingPrecedence: 2 } })).body, {
      code: 422,
      message: /spec of 'exempt' must equal the fixed value/u,
    });
    await eventually(async () => {
      const probes = await fixture.request('GET', `${api}/flowschemas/probes`);
      const catchAll = await fixture.request('GET', `${api}/flowschemas/catch-all`);
      if (probes.body.spec?.['matchingPrecedence'] !== 2 || catchAll.status !== 200) throw new Error('not yet');
    });
    t.match((await fixture.request('GET', `${api}/${system}`)).body, {
      metadata: { annotations: { 'apf.kubernetes.io/autoupdate-spec': 'false' } },
      spec: { limited: { nominalConcurrencyShares: 31 } },
    });
    const restored = { spec: { limited: { nominalConcurrencyShares: 30 } } };
    t.equal((await patch(system, restored)).status, 200);
  });

  await t.test('answers say by their headers where a request belongs', async (t) => {
    const uidOf = async (path: string): Promise<unknown> =>
      (await fixture.request('GET', `${api}/${path}`)).body.metadata['uid'];
    const byAnn = await fixture.request('GET', '/api/v1/pods', { token: 'ann' });
    t.equal(byAnn.headers.get('x-kubernetes-pf-flowschema-uid'), await uidOf('flowschemas/global-default'));
    t.equal(
      byAnn.headers.get('x-kubernetes-pf-prioritylevel-uid'),
      await uidOf('prioritylevelconfigurations/global-default'),
    );
    const byAdmin = await fixture.request('GET', '/api/v1/pods');
    t.equal(byAdmin.headers.get('x-kubernetes-pf-flowschema-uid'), await uidOf('flowschemas/exempt'));
  });

  await t.test('a level without seats queues, and refuses when its queue is full', async (t) => {
    await limitSlow(fixture, { type: 'Queue', queuing: { queues: 1, handSize: 1, queueLengthLimit: 1 } });
    t.equal(await metric(fixture, /^apiserver_flowcontrol_nominal_limit_seats\{.*"slow"/u), 5);
    const held = Array.from({ length: 5 }, () => hold(fixture, 'joe'));
    await becomes(fixture, executing, 5);
    const waits = fixture.request('GET', '/api/v1/namespaces/default/configmaps/none', { token: 'jim' });
    await becomes(fixture, waiting, 1);
    const refused = await fixture.request('GET', '/api/v1/namespaces/default', { token: 'jim' });
    t.equal(refused.status, 429);
    t.equal(refused.headers.get('retry-after'), '1');
    t.equal(refused.text, 'Too many requests, please try again later.\n');
    t.ok(refused.headers.get('x-kubernetes-pf-prioritylevel-uid'));
    t.equal((await fixture.request('GET', '/api/v1/namespaces/default', { token: 'ann' })).status, 200, 'others go on');
    t.equal((await fixture.request('GET', '/api/v1/namespaces/default')).status, 200);
    const [first, ...others] = held;
    t.equal(await first?.finish(), 201);
    t.equal((await waits).status, 404, 'who waited was served');
    // Clients that go give back their seats.
    for (const { request } of others) request.destroy();
    await becomes(fixture, executing, 0);
    t.equal(await metric(fixture, /rejected_requests_total\{.*"slow".*queue-full/u), 1);
    t.ok((await metric(fixture, /request_wait_duration_seconds_count\{.*"slow".*execute="true"/u)) >= 6);
  });

  await t.test('who leaves the queue leaves no trace in it', async (t) => {
    const held = Array.from({ length: 5 }, () => hold(fixture, 'joe'));
    await becomes(fixture, executing, 5);
    const gone = hold(fixture, 'jim');
    await becomes(fixture, waiting, 1);
    gone.request.on('error', () => undefined);
    gone.request.destroy();
    await becomes(fixture, waiting, 0);
    t.equal(await metric(fixture, /rejected_requests_total\{.*"slow".*cancelled/u), 1);
    t.same(await Promise.all(held.map(async (each) => await each.finish())), [201, 201, 201, 201, 201]);
  });

  await t.test('watches take seats only until they have begun', async (t) => {
    const watches: ClientRequest[] = [];
    for (let i = 0; i < 12; i++) {
      const headers = { authorization: 'Bearer joe' };
      const watch = httpRequest(`${fixture.url}/api/v1/configmaps?watch=1`, { agent: false, headers }).end();
      const [answer] = (await once(watch, 'response')) as [IncomingMessage];
      t.equal(answer.statusCode, 200);
      answer.on('error', () => undefined);
      watches.push(watch);
    }
    t.equal((await fixture.request('GET', '/api/v1/namespaces/default', { token: 'joe' })).status, 200);
    for (const watch of watches) watch.destroy();
  });

  await t.test('a level that rejects does so at once; one that is gone leaves its schemas dangling', async (t) => {
    const path = `${api}/prioritylevelconfigurations/slow`;
    const body = [{ op: 'replace', path: '/spec/limited/limitResponse', value: { type: 'Reject' } }];
    const patched = await fixture.request('PATCH', path, { body, type: 'application/json-patch+json' });
    t.equal(patched.status, 200);
    const held = Array.from({ length: 5 }, () => hold(fixture, 'joe'));
    await becomes(fixture, executing, 5);
    t.equal((await fixture.request('GET', '/api/v1/namespaces/default', { token: 'jim' })).status, 429);
    t.equal((await fixture.request('DELETE', path)).status, 200);
    t.equal((await fixture.request('GET', '/api/v1/namespaces/default', { token: 'jim' })).status, 200);
    t.same(await Promise.all(held.map(async (each) => await each.finish())), [201, 201, 201, 201, 201]);
    await eventually(async () => {
      const { status } = (await fixture.request('GET', `${api}/flowschemas/slow`)).body;
      const [condition] = (status as { conditions: { type: string; status: string; reason: string }[] }).conditions;
      if (condition?.type !== 'Dangling' || condition.status !== 'True') throw new Error('not yet dangling');
    });
  });

  await t.test('specs are checked and defaulted as upstream does it', async (t) => {
    const create = async (resource: string, name: string, spec: object): Promise<Answer> =>
      await fixture.request('POST', `${api}/${resource}?dryRun=All`, { body: { metadata: { name }, spec } });
    const limited = (queuing: object): object => ({
      type: 'Limited',
      limited: { limitResponse: { type: 'Queue', queuing } },
    });
    t.match((await create('prioritylevelconfigurations', 'a', limited({}))).body.spec, {
      limited: {
        nominalConcurrencyShares: 30,
        lendablePercent: 0,
        limitResponse: { queuing: { queues: 64, handSize: 8, queueLengthLimit: 50 } },
      },
    });
    const causes = async (resource: string, spec: object): Promise<unknown> =>
      (await create(resource, 'a', spec)).body.details?.['causes'];
    t.match(await causes('prioritylevelconfigurations', limited({ queues: 4 })), [
      { field: 'spec.limited.limitResponse.queuing.handSize' },
    ]);
    t.match(await causes('prioritylevelconfigurations', limited({ queues: 10_000, handSize: 6 })), [
      { message: /required entropy bits of deckSize 10000 and handSize 6 should not be greater than 60/u },
    ]);
    t.match(await causes('prioritylevelconfigurations', { type: 'Exempt' }), [{ field: 'spec.type' }]);
    t.match(
      await causes('flowschemas', { matchingPrecedence: 1, rules: [{}], priorityLevelConfiguration: { name: '' } }),
      [
        { field: 'spec.matchingPrecedence' },
        { field: 'spec.priorityLevelConfiguration.name' },
        { field: 'spec.rules[0].subjects' },
        { field: 'spec.rules[0]' },
      ],
    );
  });
});

void t.test('without priority and fairness, reads and writes are counted for themselves', async (t) => {
  await using store = await startStore('etcd');
  await using fixture = await ApiFixture.start(store, {
    tokens,
    authorizationModes: ['AlwaysAllow'],
    priorityAndFairness: false,
    maxRequestsInflight: 10,
    maxMutatingRequestsInflight: 1,
  });
  const held = hold(fixture, 'joe');
  const inflight = /^apiserver_current_inflight_requests\{request_kind="mutating"\}/u;
  await becomes(fixture, inflight, 1);
  const refused = await fixture.request('DELETE', '/api/v1/namespaces/default/configmaps/x', { token: 'jim' });
  t.equal(refused.status, 429);
  t.equal(refused.headers.get('x-kubernetes-pf-flowschema-uid'), null);
  t.equal((await fixture.request('GET', '/api/v1/namespaces/default', { token: 'jim' })).status, 200);
  t.equal(await held.finish(), 201);
});
