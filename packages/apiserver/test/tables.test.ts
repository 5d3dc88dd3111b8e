import type { UnstructuredObject } from '@naru/api';
import fc from 'fast-check';
import t from 'tap';
import { newCachedObject } from '../src/cache/cached-object.ts';
import { Elapsed, humanDuration } from '../src/registry/tables/duration.ts';
import { tableFor } from '../src/registry/tables/tables.ts';
import { cachedTableRow, concatChunks, partialMetadata, tableRow } from '../src/server/table.ts';
import { encodeObject, metadataOf, spliceRevision } from '../src/storage/object-codec.ts';

const nowMs = Date.UTC(2026, 0, 1, 1);
const created = '2026-01-01T00:00:00Z';
const at = (secondsAgo: number): string => new Date(nowMs - secondsAgo * 1000).toISOString();

type Fields = Record<string, unknown>;

function cells(key: string, fields: Fields): unknown[] {
  const [resource = '', ...rest] = key.split('.');
  const { metadata = {}, ...others } = fields;
  const object: UnstructuredObject = {
    apiVersion: '',
    kind: '',
    metadata: { name: 'x', namespace: 'ns', creationTimestamp: created, ...(metadata as object) },
    ...others,
  };
  const table = tableFor({ group: rest.join('.'), resource });
  const row = table.cells(object).map((cell) => (cell instanceof Elapsed ? cell.at(nowMs) : cell));
  t.equal(row.length, table.columns.length, `${key}: a cell per column`);
  return row;
}

void t.test('durations are shown as upstream does', async (t) => {
  const minute = 60_000;
  const hour = 60 * minute;
  const day = 24 * hour;
  for (const [ms, text] of [
    [-5000, '<invalid>'],
    [-500, '0s'],
    [0, '0s'],
    [119_000, '119s'],
    [2 * minute, '2m'],
    [5 * minute + 30_000, '5m30s'],
    [10 * minute + 30_000, '10m'],
    [179 * minute, '179m'],
    [3 * hour, '3h'],
    [7 * hour + 20 * minute, '7h20m'],
    [47 * hour, '47h'],
    [2 * day, '2d'],
    [2 * day + 3 * hour, '2d3h'],
    [9 * day + 3 * hour, '9d'],
    [365 * day, '365d'],
    [(2 * 365 + 30) * day, '2y30d'],
    [9 * 365 * day, '9y'],
  ] as const)
    t.equal(humanDuration(ms), text);
});

const running = { running: {} };
const status = (name: string, state: Fields, extra: Fields = {}): Fields => ({
  name,
  ready: false,
  restartCount: 0,
  state,
  ...extra,
});

void t.test('the status of a pod is upstream’s', async (t) => {
  const one = { spec: { containers: [{ name: 'a' }] } };
  const cases: readonly (readonly [string, Fields, readonly unknown[]])[] = [
    ['pending', { ...one, status: { phase: 'Pending' } }, ['0/1', 'Pending', '0']],
    [
      'being made',
      {
        ...one,
        status: { phase: 'Pending', containerStatuses: [status('a', { waiting: { reason: 'ContainerCreating' } })] },
      },
      ['0/1', 'ContainerCreating', '0'],
    ],
    [
      'running',
      { ...one, status: { phase: 'Running', containerStatuses: [status('a', running, { ready: true })] } },
      ['1/1', 'Running', '0'],
    ],
    [
      'crashing',
      {
        ...one,
        status: {
          phase: 'Running',
          containerStatuses: [
            status(
              'a',
              { waiting: { reason: 'CrashLoopBackOff' } },
              {
                restartCount: 4,
                lastState: { terminated: { exitCode: 1, finishedAt: at(150) } },
              },
            ),
          ],
        },
      },
      ['0/1', 'CrashLoopBackOff', '4 (2m30s ago)'],
    ],
    [
      'failed with an exit code',
      { ...one, status: { phase: 'Failed', containerStatuses: [status('a', { terminated: { exitCode: 3 } })] } },
      ['0/1', 'ExitCode:3', '0'],
    ],
    [
      'completed',
      {
        ...one,
        status: {
          phase: 'Succeeded',
          containerStatuses: [status('a', { terminated: { exitCode: 0, reason: 'Completed' } })],
        },
      },
      ['0/1', 'Completed', '0'],
    ],
    [
      'initializing',
      {
        spec: { containers: [{ name: 'a' }], initContainers: [{ name: 'i' }, { name: 'j' }] },
        status: {
          phase: 'Pending',
          initContainerStatuses: [status('i', { terminated: { exitCode: 0 } }), status('j', running)],
        },
      },
      ['0/1', 'Init:1/2', '0'],
    ],
    [
      'failing to initialize',
      {
        spec: { containers: [{ name: 'a' }], initContainers: [{ name: 'i' }] },
        status: {
          phase: 'Pending',
          initContainerStatuses: [status('i', { terminated: { exitCode: 1, reason: 'Error' } }, { restartCount: 2 })],
        },
      },
      ['0/1', 'Init:Error', '2'],
    ],
    [
      'with a sidecar',
      {
        spec: { containers: [{ name: 'a' }], initContainers: [{ name: 's', restartPolicy: 'Always' }] },
        status: {
          phase: 'Running',
          conditions: [{ type: 'Initialized', status: 'True' }],
          initContainerStatuses: [status('s', running, { ready: true, started: true, restartCount: 1 })],
          containerStatuses: [status('a', running, { ready: true })],
        },
      },
      ['2/2', 'Running', '1'],
    ],
    [
      'half completed',
      {
        spec: { containers: [{ name: 'a' }, { name: 'b' }] },
        status: {
          phase: 'Running',
          containerStatuses: [
            status('a', { terminated: { exitCode: 0, reason: 'Completed' } }),
            status('b', running, { ready: true }),
          ],
        },
      },
      ['1/2', 'NotReady', '0'],
    ],
    [
      'being deleted',
      {
        ...one,
        metadata: { deletionTimestamp: created },
        status: { phase: 'Running', containerStatuses: [status('a', running, { ready: true })] },
      },
      ['1/1', 'Terminating', '0'],
    ],
    [
      'lost',
      { ...one, metadata: { deletionTimestamp: created }, status: { phase: 'Running', reason: 'NodeLost' } },
      ['0/1', 'Unknown', '0'],
    ],
    ['evicted', { ...one, status: { phase: 'Failed', reason: 'Evicted' } }, ['0/1', 'Evicted', '0']],
    [
      'gated',
      {
        ...one,
        status: {
          phase: 'Pending',
          conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }],
        },
      },
      ['0/1', 'SchedulingGated', '0'],
    ],
  ];
  for (const [what, fields, wanted] of cases) t.same(cells('pods', fields).slice(1, 4), wanted, what);
  const wide = cells('pods', {
    spec: { containers: [], nodeName: 'n', readinessGates: [{ conditionType: 'g' }] },
    status: { podIPs: [{ ip: '127.2.0.5' }], conditions: [{ type: 'g', status: 'True' }] },
  });
  t.same(wide.slice(4), ['60m', '127.2.0.5', 'n', '<none>', '1/1']);
});

void t.test('the cells of other kinds', async (t) => {
  const template = {
    spec: {
      containers: [
        { name: 'c', image: 'i:1' },
        { name: 'd', image: 'j:2' },
      ],
    },
  };
  const selector = { matchLabels: { b: '2', a: '1' } };
  const cases: readonly (readonly [string, Fields, readonly unknown[]])[] = [
    [
      'deployments.apps',
      {
        spec: { replicas: 3, selector, template },
        status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 },
      },
      ['x', '2/3', 3, 1, '60m', 'c,d', 'i:1,j:2', 'a=1,b=2'],
    ],
    [
      'replicasets.apps',
      { spec: { replicas: 3, selector, template }, status: { replicas: 2, readyReplicas: 1 } },
      ['x', 3, 2, 1, '60m', 'c,d', 'i:1,j:2', 'a=1,b=2'],
    ],
    [
      'services',
      {
        spec: {
          type: 'NodePort',
          clusterIPs: ['127.1.0.2'],
          ports: [
            { port: 80, nodePort: 30080, protocol: 'TCP' },
            { port: 53, protocol: 'UDP' },
          ],
          selector: { a: '1' },
        },
      },
      ['x', 'NodePort', '127.1.0.2', '<none>', '80:30080/TCP,53/UDP', '60m', 'a=1'],
    ],
    [
      'services',
      { spec: { type: 'ExternalName', externalName: 'e.com' } },
      ['x', 'ExternalName', '<none>', 'e.com', '<none>', '60m', '<none>'],
    ],
    [
      'services',
      { spec: { type: 'LoadBalancer', clusterIPs: ['1.1.1.1'] } },
      ['x', 'LoadBalancer', '1.1.1.1', '<pending>', '<none>', '60m', '<none>'],
    ],
    [
      'nodes',
      {
        metadata: { labels: { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/control-plane': '' } },
        spec: { unschedulable: true },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          addresses: [{ type: 'InternalIP', address: '127.0.0.9' }],
          nodeInfo: { kubeletVersion: 'v1', osImage: 'os', kernelVersion: 'k', containerRuntimeVersion: 'r' },
        },
      },
      ['x', 'Ready,SchedulingDisabled', 'control-plane,worker', '60m', 'v1', '127.0.0.9', '<none>', 'os', 'k', 'r'],
    ],
    ['namespaces', { status: { phase: 'Active' } }, ['x', 'Active', '60m']],
    ['configmaps', { data: { a: '', b: '' }, binaryData: { c: '' } }, ['x', 3, '60m']],
    ['secrets', { type: 'Opaque', data: { a: '' } }, ['x', 'Opaque', 1, '60m']],
    [
      'events',
      {
        involvedObject: { kind: 'Pod', name: 'p', fieldPath: 'spec' },
        type: 'Normal',
        reason: 'Started',
        message: ' hi\n',
        firstTimestamp: at(60),
        lastTimestamp: at(5),
        count: 2,
        source: { component: 'kubelet', host: 'n1' },
      },
      ['5s', 'Normal', 'Started', 'pod/p', 'spec', 'kubelet, n1', 'hi', '60s', 2, 'x'],
    ],
    [
      'endpoints',
      { subsets: [{ addresses: [{ ip: 'a' }, { ip: 'b' }], ports: [{ port: 1 }, { port: 2 }] }] },
      ['x', 'a:1,b:1,a:2 + 1 more...', '60m'],
    ],
    [
      'endpointslices.discovery.k8s.io',
      { addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: ['a'] }] },
      ['x', 'IPv4', '80', 'a', '60m'],
    ],
    [
      'jobs.batch',
      { spec: { completions: 2, template, selector }, status: { succeeded: 1, startTime: at(90) } },
      ['x', 'Running', '1/2', '90s', '60m', 'c,d', 'i:1,j:2', 'a=1,b=2'],
    ],
    [
      'cronjobs.batch',
      { spec: { schedule: '* * * * *', suspend: false }, status: { lastScheduleTime: at(30) } },
      ['x', '* * * * *', '<none>', 'False', 0, '30s', '60m', '', '', '<none>'],
    ],
    [
      'rolebindings.rbac.authorization.k8s.io',
      {
        roleRef: { kind: 'ClusterRole', name: 'view' },
        subjects: [
          { kind: 'User', name: 'u' },
          { kind: 'Group', name: 'g' },
          { kind: 'ServiceAccount', name: 's', namespace: 'n' },
        ],
      },
      ['x', 'ClusterRole/view', '60m', 'u', 'g', 'n/s'],
    ],
    ['clusterroles.rbac.authorization.k8s.io', {}, ['x', created]],
    ['leases.coordination.k8s.io', { spec: { holderIdentity: 'h' } }, ['x', 'h', '60m']],
    [
      'persistentvolumeclaims',
      {
        spec: { volumeName: 'v', storageClassName: 's', volumeMode: 'Filesystem' },
        status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] },
      },
      ['x', 'Bound', 'v', '1Gi', 'RWO,ROX', 's', '<unset>', '60m', 'Filesystem'],
    ],
    [
      'certificatesigningrequests.certificates.k8s.io',
      { spec: { signerName: 's', username: 'u' }, status: { conditions: [{ type: 'Approved' }], certificate: 'x' } },
      ['x', '60m', 's', 'u', '<none>', 'Approved,Issued'],
    ],
    [
      'horizontalpodautoscalers.autoscaling',
      {
        spec: {
          scaleTargetRef: { kind: 'Deployment', name: 'd' },
          maxReplicas: 5,
          metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { averageUtilization: 80 } } }],
        },
        status: {
          currentReplicas: 2,
          currentMetrics: [{ type: 'Resource', resource: { current: { averageUtilization: 30 } } }],
        },
      },
      ['x', 'Deployment/d', 'cpu: 30%/80%', '<unset>', 5, 2, '60m'],
    ],
    [
      'poddisruptionbudgets.policy',
      { spec: { minAvailable: '50%' }, status: { disruptionsAllowed: 1 } },
      ['x', '50%', 'N/A', 1, '60m'],
    ],
    ['widgets.example.com', {}, ['x', created]],
  ];
  for (const [key, fields, wanted] of cases) t.same(cells(key, fields), wanted, key);
});

const hardText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('"', '\\', '\\"', '{"metadata":{', '}}', '\\\\'),
);

// Once V8 has seen a key that begins with a backslash, it takes keys with escapes for it (nodejs/node#63785).
const hardKey = hardText.filter((each) => !each.includes('\\'));

await t.test('the metadata of an object is found in its bytes', (t) => {
  const objects = fc.record({
    kind: fc.constant('Pod'),
    apiVersion: fc.constant('v1'),
    metadata: fc.record({ name: hardText, annotations: fc.dictionary(hardKey, hardText) }),
    spec: fc.jsonValue({ stringUnit: hardKey }),
  });
  fc.assert(
    fc.property(objects, fc.boolean(), ({ kind, apiVersion, metadata, spec }, isReordered) => {
      const stored = encodeObject({ kind, apiVersion, metadata, spec });
      const bytes = isReordered
        ? Buffer.from(JSON.stringify({ spec, kind, apiVersion, metadata: { ...metadata, resourceVersion: '7' } }))
        : spliceRevision(stored, 7);
      t.same(JSON.parse(metadataOf(bytes).toString()), { ...metadata, resourceVersion: '7' });
    }),
  );
  t.end();
});

await t.test('a kept row is the same as a new one, whatever the time', (t) => {
  const pod = {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name: 'täglich "x"', namespace: 'ns', creationTimestamp: created, resourceVersion: '7' },
    status: {
      phase: 'Running',
      containerStatuses: [
        { name: 'c', ready: true, restartCount: 3, state: running, lastState: { terminated: { finishedAt: at(600) } } },
      ],
    },
  } as UnstructuredObject;
  const cached = newCachedObject('/registry/pods/ns/x', 7, Buffer.from(JSON.stringify(pod)), pod, {});
  const shown = { None: null, Metadata: partialMetadata(pod), Object: pod };
  for (const resource of ['pods', 'configmaps', 'pods']) {
    const table = tableFor({ group: '', resource });
    for (const [include, object] of Object.entries(shown)) {
      for (const now of [nowMs, nowMs + 3_600_000]) {
        const row = concatChunks(cachedTableRow(cached, table, include as keyof typeof shown, now)).toString();
        t.equal(row, tableRow(pod, table, include as keyof typeof shown, now));
        const { cells: shownCells, object: shownObject } = JSON.parse(row) as Record<string, unknown>;
        t.same(shownObject, object);
        t.same(
          shownCells,
          table.cells(pod).map((cell) => (cell instanceof Elapsed ? cell.at(now) : cell)),
        );
      }
    }
  }
  t.end();
});
