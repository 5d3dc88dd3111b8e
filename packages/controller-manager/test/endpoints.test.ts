import fc from 'fast-check';
import t from 'tap';
import type { EndpointSlice, Pod, Service } from '@naru/api';
import { planEndpoints } from '../src/endpoints/plan.ts';
import { planEndpointSlices, type EndpointSlicePlan } from '../src/endpointslice/plan.ts';
import { SliceTracker } from '../src/endpointslice/slice-tracker.ts';

function service(spec: NonNullable<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', uid: 's', labels: { team: 'a' } },
    spec: { clusterIP: '10.0.0.1', ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...spec },
  };
}

function pod(
  name: string,
  facts: { ip?: string; ready?: boolean; deleting?: boolean; phase?: string; port?: number } = {},
): Pod {
  const { ip = `10.1.0.${name}`, ready = true, deleting = false, phase = 'Running', port = 8080 } = facts;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: `u${name}`,
      ...(deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: { nodeName: 'n1', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port }] }] },
    status: {
      phase,
      ...(ip === '' ? {} : { podIP: ip, podIPs: [{ ip }] }),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

/** A Service's slices, to which plans are applied. */
class Slices {
  slices: EndpointSlice[] = [];
  #uid = 0;

  sync(pods: readonly Pod[], options: { service?: Service; max?: number } = {}): EndpointSlicePlan {
    const plan = planEndpointSlices({
      service: options.service ?? service(),
      pods,
      nodeOf: (name) => ({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: { 'topology.kubernetes.io/zone': 'z1' } },
      }),
      slices: this.slices,
      maxEndpointsPerSlice: options.max ?? 100,
    });
    const uidOf = ({ metadata }: EndpointSlice): string | undefined => metadata.uid;
    const updated = new Map(plan.update.map((each) => [uidOf(each), each]));
    const removed = new Set(plan.remove.map(uidOf));
    this.slices = this.slices
      .filter((each) => !removed.has(uidOf(each)))
      .map((each) => updated.get(uidOf(each)) ?? each)
      .concat(plan.create.map((each) => ({ ...each, metadata: { ...each.metadata, uid: `e${this.#uid++}` } })));
    return plan;
  }

  get addresses(): string[][] {
    return this.slices.map(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses));
  }
}

const writes = ({ create, update, remove }: EndpointSlicePlan): number => create.length + update.length + remove.length;

await t.test('an endpoint tells of its pod, its node and its conditions', (t) => {
  const slices = new Slices();
  slices.sync([
    pod('1'),
    pod('2', { ready: false }),
    pod('3', { deleting: true }),
    pod('4', { phase: 'Succeeded' }),
    pod('5', { ip: '' }),
  ]);
  t.match(slices.slices, [
    {
      addressType: 'IPv4',
      metadata: {
        generateName: 'web-',
        namespace: 'default',
        labels: {
          team: 'a',
          'kubernetes.io/service-name': 'web',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
        ownerReferences: [{ kind: 'Service', name: 'web', uid: 's', controller: true }],
      },
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: ['10.1.0.1'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'n1',
          zone: 'z1',
          targetRef: { kind: 'Pod', name: '1', namespace: 'default', uid: 'u1' },
        },
        { addresses: ['10.1.0.2'], conditions: { ready: false, serving: false, terminating: false } },
        { addresses: ['10.1.0.3'], conditions: { ready: false, serving: true, terminating: true } },
      ],
    },
  ]);
  t.equal(slices.slices[0]?.endpoints?.length, 3, 'no endpoint without an address or of a pod that has ended');
  slices.sync([pod('2', { ready: false }), pod('3', { deleting: true })], {
    service: service({ publishNotReadyAddresses: true }),
  });
  t.match(slices.slices[0]?.endpoints, [
    { conditions: { ready: true, serving: false } },
    { conditions: { ready: true, terminating: true } },
  ]);
  t.end();
});

await t.test('pods whose named port differs are in slices of their own; unknown ports are left out', (t) => {
  const slices = new Slices();
  slices.sync([pod('1'), pod('2', { port: 9090 }), pod('3')]);
  t.same(slices.addresses, [['10.1.0.1', '10.1.0.3'], ['10.1.0.2']]);
  slices.sync([pod('1')], { service: service({ ports: [{ name: 'x', port: 1, targetPort: 'none' }] }) });
  t.same(
    slices.slices.map(({ ports }) => ports),
    [[]],
  );
  t.end();
});

await t.test('a Service without pods has one empty slice', (t) => {
  const slices = new Slices();
  slices.sync([]);
  t.same(slices.addresses, [[]]);
  t.equal(writes(slices.sync([])), 0);
  slices.sync([pod('1')]);
  t.same(slices.addresses, [['10.1.0.1']]);
  slices.sync([]);
  t.same(slices.addresses, [[]]);
  t.end();
});

await t.test('changes are written with as few slices as may be', (t) => {
  const slices = new Slices();
  const pods = Array.from({ length: 250 }, (_, i) => pod(String(i)));
  slices.sync(pods);
  t.same(
    slices.addresses.map(({ length }) => length),
    [100, 100, 50],
  );
  t.equal(writes(slices.sync(pods)), 0, 'nothing has changed');
  t.equal(writes(slices.sync([...pods.slice(0, 249), pod('249', { ready: false })])), 1, 'one endpoint, one slice');
  const more = [...pods, ...Array.from({ length: 10 }, (_, i) => pod(String(1000 + i)))];
  slices.sync(pods);
  t.equal(writes(slices.sync(more)), 1, 'new endpoints go where there is room');
  t.same(
    slices.addresses.map(({ length }) => length),
    [100, 100, 60],
  );
  const headless = service({ clusterIP: 'None' });
  t.equal(writes(slices.sync(more, { service: headless })), 3, 'labels');
  t.equal(slices.slices[0]?.metadata.labels?.['service.kubernetes.io/headless'], '');
  slices.sync(more);
  t.notOk('service.kubernetes.io/headless' in (slices.slices[0]?.metadata.labels ?? {}));
  t.end();
});

await t.test('whatever comes and goes, slices hold each endpoint exactly once and are never too full', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(fc.nat({ max: 40 }), { maxLength: 40 }), { maxLength: 15 }), (steps) => {
      const slices = new Slices();
      for (const step of steps) {
        slices.sync(
          step.map((i) => pod(String(i), { port: i % 7 === 0 ? 9090 : 8080 })),
          { max: 5 },
        );
        const all = slices.addresses.flat().sort();
        const expected = step.map((i) => `10.1.0.${i}`).sort();
        if (JSON.stringify(all) !== JSON.stringify(expected)) return false;
        if (slices.addresses.some(({ length }) => length > 5)) return false;
      }
      return true;
    }),
  );
  t.pass();
  t.end();
});

await t.test('a dual-stack Service has slices of both families', (t) => {
  const slices = new Slices();
  const dual = pod('1');
  dual.status = { ...dual.status, podIPs: [{ ip: '10.1.0.1' }, { ip: 'fd00::1' }] };
  slices.sync([dual], { service: service({ ipFamilies: ['IPv4', 'IPv6'] }) });
  t.same(slices.addresses, [['10.1.0.1'], ['fd00::1']]);
  slices.sync([dual]);
  t.same(slices.addresses, [['10.1.0.1']], 'and only of one when it is so no longer');
  t.end();
});

await t.test('the tracker tells a cache that is behind from one that is not', (t) => {
  const tracker = new SliceTracker();
  const slice = (uid: string, generation: number): EndpointSlice => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { uid, generation },
    addressType: 'IPv4',
    endpoints: [],
  });
  tracker.written('default/web', slice('a', 2));
  t.ok(tracker.isStale('default/web', []));
  t.ok(tracker.isStale('default/web', [slice('a', 1)]));
  t.notOk(tracker.observed('default/web', slice('a', 1)), 'the version before');
  t.ok(tracker.observed('default/web', slice('a', 2)));
  t.notOk(tracker.isStale('default/web', [slice('a', 2)]));
  tracker.deleting('default/web', 'a');
  t.ok(tracker.isStale('default/web', [slice('a', 2)]));
  t.notOk(tracker.isStale('default/web', []));
  t.end();
});

await t.test('Endpoints group addresses by ports, ready apart from not ready', (t) => {
  const plan = planEndpoints(
    service(),
    [pod('1'), pod('2', { ready: false }), pod('3', { deleting: true }), pod('4', { port: 9090 })],
    undefined,
  );
  t.equal(plan.type, 'create');
  if (plan.type === 'none') return t.end();
  t.match(plan.endpoints, {
    metadata: { name: 'web', namespace: 'default', labels: { team: 'a' } },
    subsets: [
      {
        addresses: [{ ip: '10.1.0.1', nodeName: 'n1', targetRef: { kind: 'Pod', name: '1' } }],
        notReadyAddresses: [{ ip: '10.1.0.2' }],
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
      { addresses: [{ ip: '10.1.0.4' }], ports: [{ name: 'http', port: 9090 }] },
    ],
  });
  t.same(planEndpoints(service(), [pod('4', { port: 9090 }), pod('2', { ready: false }), pod('1')], plan.endpoints), {
    type: 'none',
  });
  const changed = planEndpoints(service(), [pod('1')], plan.endpoints);
  t.match(changed, { type: 'update', endpoints: { subsets: [{ addresses: [{ ip: '10.1.0.1' }] }] } });
  const many = Array.from({ length: 1001 }, (_, i) => pod(String(i), { ready: i !== 5 }));
  const truncated = planEndpoints(service(), many, undefined);
  t.match(truncated, {
    endpoints: { metadata: { annotations: { 'endpoints.kubernetes.io/over-capacity': 'truncated' } } },
  });
  t.notOk(JSON.stringify(truncated).includes('notReadyAddresses'), 'those that are not ready are left out first');
  return t.end();
});
