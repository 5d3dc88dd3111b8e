import { silentLogger } from '@naru/component';
import { SeededRandom, VirtualClock } from '@naru/testkit';
import type { UnstructuredObject } from '@naru/api';
import t from 'tap';
import type { AllocationStore } from '../src/registry/allocator/allocation-store.ts';
import { createServiceAllocation } from '../src/registry/allocator/service-allocation.ts';

/** A store that two API servers share. */
class MemoryStore implements AllocationStore {
  readonly keys = new Map<string, { value: Buffer; modRevision: number }>();
  #revision = 0;

  get(key: string) {
    return Promise.resolve(this.keys.get(key));
  }

  create(key: string, value: Buffer) {
    if (this.keys.has(key)) return Promise.resolve({ succeeded: false });
    this.keys.set(key, { value, modRevision: ++this.#revision });
    return Promise.resolve({ succeeded: true });
  }

  delete(key: string, modRevision: number) {
    if (this.keys.get(key)?.modRevision !== modRevision) return Promise.resolve({ succeeded: false });
    return Promise.resolve({ succeeded: this.keys.delete(key) });
  }

  range(start: string, end: string) {
    const items = [...this.keys]
      .filter(([key]) => key >= start && key < end)
      .map(([key, { value, modRevision }]) => ({ key, value, modRevision }));
    return Promise.resolve({ items });
  }

  get allocated(): string[] {
    return [...this.keys.keys()].filter((key) => !key.includes('/services/')).toSorted();
  }
}

function serverOn(store: MemoryStore, seed = 1, clusterIpRange = '127.101.0.0/24') {
  const random = new SeededRandom(seed);
  return createServiceAllocation({
    store,
    clusterIpRange,
    nodePortRange: '30000-30031',
    random: () => random.next(),
    clock: new VirtualClock(),
    logger: silentLogger(),
  });
}

const service = (name: string, spec: Record<string, unknown>): UnstructuredObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'ns' },
  spec: { ports: [{ port: 80, protocol: 'TCP' }], ...spec },
});
const specOf = (object: UnstructuredObject) =>
  object['spec'] as { type?: string; clusterIP?: string; clusterIPs?: string[]; ports: { nodePort?: number }[] };
const stored = { dryRun: false };

void t.test('services get addresses and ports that nobody else has, and give them back', async (t) => {
  const store = new MemoryStore();
  const servers = [serverOn(store, 1), serverOn(store, 2)];
  const objects = Array.from({ length: 20 }, (_, i) => service(`s${i}`, { type: 'NodePort' }));
  await Promise.all(
    objects.map(async (object, i) => (await servers[i % 2]?.hooks.beforeCreate(object, stored))?.commit()),
  );
  t.equal(new Set(objects.map((each) => specOf(each).clusterIP)).size, 20);
  t.equal(new Set(objects.map((each) => specOf(each).ports[0]?.nodePort)).size, 20);
  for (const object of objects) {
    t.same(specOf(object).clusterIPs, [specOf(object).clusterIP]);
    t.match(specOf(object).clusterIP, /^127\.101\.0\.\d+$/u);
    await servers[0]?.hooks.afterDelete(object);
  }
  t.same(store.allocated, []);
});

void t.test('the address of an allocation is an IPAddress object', async (t) => {
  const store = new MemoryStore();
  const { hooks, kubernetesServiceAddress } = serverOn(store);
  t.equal(kubernetesServiceAddress, '127.101.0.1');
  await hooks.beforeCreate(service('kubernetes', { clusterIP: '127.101.0.1', clusterIPs: ['127.101.0.1'] }), stored);
  t.same(store.allocated, ['/registry/ipaddresses/127.101.0.1']);
  t.match(JSON.parse(store.keys.get('/registry/ipaddresses/127.101.0.1')?.value.toString() ?? ''), {
    kind: 'IPAddress',
    apiVersion: 'networking.k8s.io/v1',
    metadata: { name: '127.101.0.1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { parentRef: { group: '', resource: 'services', namespace: 'ns', name: 'kubernetes' } },
  });
});

void t.test('chosen addresses and ports are honoured, or refused with upstream’s errors', async (t) => {
  const store = new MemoryStore();
  const { hooks } = serverOn(store);
  const taken = service('a', { type: 'NodePort', clusterIP: '127.101.0.9', clusterIPs: ['127.101.0.9'] });
  specOf(taken).ports[0] = { nodePort: 30_005, ...specOf(taken).ports[0] };
  await (await hooks.beforeCreate(taken, stored)).commit();
  const before = store.allocated;
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [
      { clusterIPs: ['127.101.0.9'] },
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["127.101.0.9"]: failed to allocate IP 127.101.0.9: provided IP is already allocated',
    ],
    [
      { clusterIPs: ['10.0.0.1'] },
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.0.0.1"]: failed to allocate IP 10.0.0.1: the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 127.101.0.0/24',
    ],
    [
      { type: 'NodePort', ports: [{ port: 80, nodePort: 30_005 }] },
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated',
    ],
    [
      { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] },
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-30031',
    ],
  ];
  for (const [spec, message] of cases) {
    await t.rejects(hooks.beforeCreate(service('b', spec), stored), { message });
    t.same(store.allocated, before, 'a refused service keeps nothing');
  }
});

void t.test('headless and external services need no address; a dry run keeps nothing', async (t) => {
  const store = new MemoryStore();
  const { hooks } = serverOn(store);
  await hooks.beforeCreate(service('h', { clusterIP: 'None', clusterIPs: ['None'] }), stored);
  await hooks.beforeCreate(service('e', { type: 'ExternalName', externalName: 'x.y' }), stored);
  const dry = service('d', { type: 'NodePort' });
  await (await hooks.beforeCreate(dry, { dryRun: true })).rollback();
  t.match(specOf(dry).clusterIP, /^127\.101\.0\./u, 'it is told what it might get');
  t.same(store.allocated, []);
});

void t.test('a failed write gives back; an update takes and gives', async (t) => {
  const store = new MemoryStore();
  const { hooks } = serverOn(store);
  await (await hooks.beforeCreate(service('x', { type: 'NodePort' }), stored)).rollback();
  t.same(store.allocated, []);
  const old = service('x', { type: 'NodePort' });
  await (await hooks.beforeCreate(old, stored)).commit();
  const internal = structuredClone(old);
  specOf(internal).type = 'ClusterIP';
  delete specOf(internal).ports[0]?.nodePort;
  const transition = await hooks.beforeUpdate(internal, old, stored);
  t.equal(store.allocated.length, 2, 'nothing is given back before the write');
  await transition.commit();
  t.same(store.allocated, [`/registry/ipaddresses/${specOf(old).clusterIP ?? ''}`]);
  const external = structuredClone(internal);
  Object.assign(specOf(external), { type: 'ExternalName', clusterIP: undefined, clusterIPs: undefined });
  await (await hooks.beforeUpdate(external, internal, stored)).commit();
  t.same(store.allocated, []);
});

void t.test('a full range says so', async (t) => {
  const store = new MemoryStore();
  const { hooks } = serverOn(store, 1, '127.101.0.0/29');
  const given = [];
  for (let i = 0; i < 6; i++) {
    const object = service(`s${i}`, {});
    await hooks.beforeCreate(object, stored);
    given.push(specOf(object).clusterIP ?? '');
  }
  t.same(
    given.toSorted(),
    [1, 2, 3, 4, 5, 6].map((i) => `127.101.0.${i}`),
  );
  await t.rejects(hooks.beforeCreate(service('s', {}), stored), {
    message: 'Internal error occurred: failed to allocate a serviceIP: range is full',
  });
  for (let i = 0; i < 32; i++)
    await hooks.beforeCreate(service(`n${i}`, { type: 'NodePort', clusterIP: 'None', clusterIPs: ['None'] }), stored);
  await t.rejects(
    hooks.beforeCreate(service('n', { type: 'NodePort', clusterIP: 'None', clusterIPs: ['None'] }), stored),
    { message: 'Internal error occurred: failed to allocate a nodePort: range is full' },
  );
});

void t.test('repair releases what two passes find unused, and takes what is used and free', async (t) => {
  const store = new MemoryStore();
  const { hooks, repair } = serverOn(store);
  await hooks.beforeCreate(service('lost', { type: 'NodePort' }), stored);
  const kept = service('kept', { type: 'NodePort' });
  await hooks.beforeCreate(kept, stored);
  await store.create('/registry/services/specs/ns/kept', Buffer.from(JSON.stringify(kept)));
  await repair.repair();
  t.equal(store.allocated.length, 4, 'it may be on its way');
  await repair.repair();
  const wanted = [
    `/registry/ipaddresses/${specOf(kept).clusterIP ?? ''}`,
    `/registry/ranges/servicenodeports/${specOf(kept).ports[0]?.nodePort ?? 0}`,
  ];
  t.same(store.allocated, wanted);
  for (const key of wanted) store.keys.delete(key);
  await repair.repair();
  t.same(store.allocated, wanted);
});

void t.test('bad ranges are refused with the flag’s name', async (t) => {
  for (const range of ['x', '127.0.0.0/33', '127.0.0.1/32'])
    t.throws(() => serverOn(new MemoryStore(), 1, range), { message: /^service-cluster-ip-range: /u });
});
