/** The audit log: what is logged of which requests, and when its file is rotated. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '@naru/component';
import { eventually, VirtualClock } from '@naru/testkit';
import { AuditLog } from '../src/audit/audit-log.ts';
import { parseAuditPolicy } from '../src/audit/audit-policy.ts';
import { requestInfoOf } from '../src/server/request-info.ts';
import { ApiFixture, startStore } from './api-fixture.ts';

const policyText = `
kind: Policy
apiVersion: audit.k8s.io/v1
omitStages: [RequestReceived]
rules:
- {level: None, users: [joe], verbs: [list]}
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: Metadata, resources: [{group: '', resources: [secrets, 'pods/*']}]}
- {level: RequestResponse, namespaces: [default], verbs: [create, update], omitManagedFields: true}
- {level: Request, resources: [{group: apps}], omitStages: [ResponseStarted]}
`;
const folder = await mkdtemp(join(tmpdir(), 'naru-audit-'));
t.teardown(async () => await rm(folder, { recursive: true, force: true }));

void t.test('the first rule that matches decides', (t) => {
  const policy = parseAuditPolicy(policyText);
  const levelOf = (method: string, path: string, name = 'alice'): string =>
    policy.decide(requestInfoOf(method, path, new URLSearchParams()), { name, groups: [] }).level;
  t.equal(levelOf('GET', '/api/v1/pods', 'joe'), 'None');
  t.equal(levelOf('GET', '/healthz/ping'), 'None');
  t.equal(levelOf('GET', '/metrics'), 'None', 'no rule matches');
  t.equal(levelOf('POST', '/api/v1/namespaces/default/secrets'), 'Metadata');
  t.equal(levelOf('GET', '/api/v1/namespaces/x/pods/p/log'), 'Metadata');
  t.equal(levelOf('POST', '/api/v1/namespaces/default/pods'), 'RequestResponse');
  t.equal(levelOf('POST', '/api/v1/namespaces/x/pods'), 'None');
  t.equal(levelOf('GET', '/apis/apps/v1/deployments'), 'Request');
  for (const wrong of ['kind: Other', 'kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Loud}]'])
    t.throws(() => parseAuditPolicy(wrong), { message: /^--audit-policy-file: / });
  t.end();
});

void t.test('the file is rotated, and old ones go', async (t) => {
  const clock = new VirtualClock();
  const path = join(folder, 'rotated.log');
  const options = { path, maxAgeDays: 0, maxBackups: 2, maxSizeMegabytes: 1, clock, logger: silentLogger() };
  const filler = 'x'.repeat(700_000);
  for (let i = 0; i < 5; i++) {
    const log = new AuditLog(options);
    log.write({ i, filler });
    await log[Symbol.asyncDispose]();
    await clock.advance(1000);
  }
  const files = (await readdir(folder)).filter((name) => name.startsWith('rotated'));
  t.same(files.toSorted(), [
    'rotated-2026-01-01T00-00-03.000.log',
    'rotated-2026-01-01T00-00-04.000.log',
    'rotated.log',
  ]);
  t.match(await readFile(path, 'utf8'), /^\{"i":4,/u);
});

void t.test('requests are logged as the policy says; secrets never', async (t) => {
  const path = join(folder, 'audit.log');
  await using store = await startStore('etcd');
  const log = { path, maxAgeDays: 0, maxBackups: 0, maxSizeMegabytes: 0 };
  await using api = await ApiFixture.start(store, { audit: { policy: parseAuditPolicy(policyText), log } });
  const object = (kind: string) => ({ apiVersion: 'v1', kind, metadata: { name: 'x' } });
  const namespace = '/api/v1/namespaces/default';
  await api.request('POST', `${namespace}/secrets`, {
    body: { ...object('Secret'), stringData: { password: 'hunter2' } },
  });
  const made = await api.request('POST', `${namespace}/configmaps`, {
    body: { ...object('ConfigMap'), data: { a: 'b' } },
    headers: { 'audit-id': 'my-id' },
  });
  t.equal(made.headers.get('audit-id'), 'my-id');
  await api.request('GET', '/apis/apps/v1/namespaces/default/deployments', { token: 'joe' });
  await api.request('GET', '/apis/apps/v1/namespaces/default/deployments/none');
  const events = await eventually(
    async () => {
      const lines = (await readFile(path, 'utf8')).trim().split('\n');
      if (lines.length < 3) throw new Error(`${lines.length} events`);
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    { deadlineMs: 60_000 },
  );
  t.match(events[0], {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    stage: 'ResponseComplete',
    verb: 'create',
    user: { username: 'admin' },
    objectRef: { resource: 'secrets', namespace: 'default', apiVersion: 'v1' },
    responseStatus: { code: 201 },
    requestObject: undefined,
    annotations: { 'authorization.k8s.io/decision': 'allow' },
  });
  t.match(events[1], {
    auditID: 'my-id',
    level: 'RequestResponse',
    requestObject: { data: { a: 'b' } },
    responseObject: { kind: 'ConfigMap', metadata: { name: 'x', managedFields: undefined } },
  });
  t.match(events[2], {
    level: 'Request',
    verb: 'get',
    objectRef: { name: 'none', apiGroup: 'apps' },
    responseStatus: { code: 404 },
  });
  t.equal(events.length, 3, 'joe may list unseen');
  t.notMatch(await readFile(path, 'utf8'), /hunter2|aHVudGVyMg/u);
});
