import type { ConfigMap, Container, Node, Pod, PodSpec, PodStatus, Secret, Service } from '@naru/api';
import t from 'tap';
import { StartError } from '../src/errors.ts';
import { admit } from '../src/plan/admit.ts';
import { computePodActions, type ProbeResults } from '../src/plan/compute-pod-actions.ts';
import { CrashLoopBackoff, formatSeconds } from '../src/plan/crash-loop-backoff.ts';
import { resourceValue } from '../src/plan/downward-api.ts';
import { expandCommand, makeEnvironment } from '../src/plan/environment.ts';
import { expand } from '../src/plan/expansion.ts';
import { nodeStatus, nodeStatusChanged, nodeStatusPatch, type NodeFacts } from '../src/plan/node-status.ts';
import { containerHash, gracePeriodSeconds, qosClass } from '../src/plan/pod-spec.ts';
import { podStatus, statusPatch } from '../src/plan/pod-status.ts';
import { initialState, observe, probeParameters, wantsProbe } from '../src/plan/probe-state.ts';
import { sortRuntimePod, type RuntimePod } from '../src/plan/runtime-pod.ts';
import { annotations, type ContainerStatus, type PodSandbox } from '../src/runtime/runtime-service.ts';

type ContainerPort = NonNullable<Container['ports']>[number];

const NOW = Date.UTC(2026, 0, 1, 12);

function newPod(spec: Partial<PodSpec>, change: Partial<Pod> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', uid: 'u', generation: 3 },
    spec: { containers: [{ name: 'main', image: 'a' }], ...spec },
    ...change,
  };
}

function sandbox(state: PodSandbox['state'] = 'SANDBOX_READY', attempt = 0): PodSandbox {
  return {
    id: `s${attempt}`,
    metadata: { name: 'p', uid: 'u', namespace: 'ns', attempt },
    state,
    createdAt: NOW - 60_000,
    labels: {},
    annotations: {},
    ip: state === 'SANDBOX_READY' ? '127.2.0.1' : '',
  };
}

type Short = [name: string, state: 'created' | 'running' | number, change?: Partial<ContainerStatus>];

/** Containers as `[name, state]`; a number is the code that it exited with. */
function runtime(sandboxes: readonly PodSandbox[], containers: readonly Short[]): RuntimePod {
  return sortRuntimePod(
    sandboxes,
    containers.map(([name, state, change]) => ({
      id: `${name}-${change?.metadata?.attempt ?? 0}`,
      podSandboxId: 's0',
      metadata: { name, attempt: 0 },
      state: state === 'created' ? 'CONTAINER_CREATED' : state === 'running' ? 'CONTAINER_RUNNING' : 'CONTAINER_EXITED',
      createdAt: NOW - 50_000,
      startedAt: state === 'created' ? 0 : NOW - 40_000,
      finishedAt: typeof state === 'number' ? NOW - 5_000 : 0,
      exitCode: typeof state === 'number' ? state : 0,
      image: 'a',
      imageRef: 'a',
      reason: typeof state === 'number' ? (state === 0 ? 'Completed' : 'Error') : '',
      message: '',
      labels: {},
      annotations: {},
      logPath: '',
      ...change,
    })),
  );
}

const noProbes: ProbeResults = { livenessFailed: new Set(), startupFailed: new Set(), isStarted: () => true };
const ready = [sandbox()];

await t.test('the next actions follow from the spec and the runtime alone', async (t) => {
  const two = { containers: [{ name: 'a' }, { name: 'b' }] };
  const init = { initContainers: [{ name: 'i' }, { name: 'j' }] };
  const sidecar = { initContainers: [{ name: 'side', restartPolicy: 'Always' }] };
  const never = { restartPolicy: 'Never' };
  const onFailure = { restartPolicy: 'OnFailure' };
  type Row = [what: string, spec: Partial<PodSpec>, runtime: RuntimePod, expected: string];
  const rows: Row[] = [
    ['nothing yet: a sandbox', {}, runtime([], []), 'sandbox 0'],
    ['a sandbox: its containers', two, runtime(ready, []), 'start a 0, start b 0'],
    [
      'all runs: nothing',
      two,
      runtime(ready, [
        ['a', 'running'],
        ['b', 'running'],
      ]),
      '',
    ],
    [
      'one ended, Always: again',
      two,
      runtime(ready, [
        ['a', 0],
        ['b', 'running'],
      ]),
      'start a 1',
    ],
    [
      'one ended, Never: nothing',
      { ...two, ...never },
      runtime(ready, [
        ['a', 1],
        ['b', 'running'],
      ]),
      '',
    ],
    [
      'one succeeded, OnFailure: nothing',
      { ...two, ...onFailure },
      runtime(ready, [
        ['a', 0],
        ['b', 'running'],
      ]),
      '',
    ],
    [
      'one failed, OnFailure: again',
      { ...two, ...onFailure },
      runtime(ready, [
        ['a', 2],
        ['b', 'running'],
      ]),
      'start a 1',
    ],
    [
      'all ended, Never: the pod ends',
      { ...two, ...never },
      runtime(ready, [
        ['a', 1],
        ['b', 0],
      ]),
      'kill pod',
    ],
    ['ended for good, sandbox gone: nothing', never, runtime([sandbox('SANDBOX_NOTREADY')], [['main', 0]]), ''],
    ['sandbox gone: a new one', {}, runtime([sandbox('SANDBOX_NOTREADY')], [['main', 137]]), 'kill pod, sandbox 1'],
    ['made but never started: again', {}, runtime(ready, [['main', 'created']]), 'start main 1'],
    ['the first init container alone', init, runtime(ready, []), 'start i 0'],
    ['an init container runs: wait', init, runtime(ready, [['i', 'running']]), ''],
    ['the first is done: the second', init, runtime(ready, [['i', 0]]), 'start j 0'],
    [
      'all are done: the rest',
      init,
      runtime(ready, [
        ['i', 0],
        ['j', 0],
      ]),
      'start main 0',
    ],
    ['an init container failed: again', init, runtime(ready, [['i', 1]]), 'start i 1'],
    ['an init container failed, Never: the pod ends', { ...init, ...never }, runtime(ready, [['i', 1]]), 'kill pod'],
    ['initialized once: their results may be gone', init, runtime(ready, [['main', 'running']]), ''],
    ['a sidecar first', sidecar, runtime(ready, []), 'start side 0'],
    ['a sidecar that has started: the rest', sidecar, runtime(ready, [['side', 'running']]), 'start main 0'],
    [
      'a sidecar that ended: again, whatever the policy',
      { ...sidecar, ...never },
      runtime(ready, [
        ['side', 0],
        ['main', 'running'],
      ]),
      'start side 1',
    ],
    [
      'all but the sidecar ended: the pod ends',
      { ...sidecar, ...never },
      runtime(ready, [
        ['side', 'running'],
        ['main', 0],
      ]),
      'kill pod',
    ],
    [
      'init containers of an earlier sandbox do not count',
      init,
      runtime(
        [sandbox('SANDBOX_READY', 1), sandbox('SANDBOX_NOTREADY')],
        [
          ['i', 0],
          ['j', 0],
          ['main', 1],
        ],
      ),
      'start i 1',
    ],
    [
      'the definition changed: kill',
      {},
      runtime(ready, [['main', 'running', { annotations: { [annotations.containerHash]: 'old' } }]]),
      'kill main ContainerChanged',
    ],
    [
      'an ephemeral container: once, before init containers too',
      { ...init, ephemeralContainers: [{ name: 'debug', image: 'x' }] },
      runtime(ready, []),
      'start debug 0, start i 0',
    ],
    [
      'an ephemeral container that ended: never again',
      { ephemeralContainers: [{ name: 'debug', image: 'x' }] },
      runtime(ready, [
        ['main', 'running'],
        ['debug', 1],
      ]),
      '',
    ],
    [
      'an ephemeral container keeps no pod alive',
      { ...never, ephemeralContainers: [{ name: 'debug', image: 'x' }] },
      runtime(ready, [
        ['main', 0],
        ['debug', 'running'],
      ]),
      'kill pod',
    ],
  ];
  for (const [what, spec, state, expected] of rows) {
    const actions = computePodActions({ pod: newPod(spec), runtime: state, probes: noProbes });
    const said = [
      ...(actions.killPod ? ['kill pod'] : []),
      ...(actions.createSandbox === undefined ? [] : [`sandbox ${actions.createSandbox.attempt}`]),
      ...actions.containersToKill.map(({ name, reason }) => `kill ${name} ${reason}`),
      ...actions.containersToStart.map(({ name, attempt }) => `start ${name} ${attempt}`),
    ].join(', ');
    t.equal(said, expected, what);
  }
  const running = runtime(ready, [['main', 'running']]);
  const failing = { ...noProbes, livenessFailed: new Set(['main-0']) };
  t.match(computePodActions({ pod: newPod({}), runtime: running, probes: failing }).containersToKill, [
    { id: 'main-0', message: 'Container main failed liveness probe' },
  ]);
  const starting = { ...noProbes, isStarted: () => false };
  const side = runtime(ready, [['side', 'running']]);
  t.same(computePodActions({ pod: newPod(sidecar), runtime: side, probes: starting }).containersToStart, []);
  const deleted = newPod({}, { metadata: { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' } });
  t.same(
    computePodActions({ pod: deleted, runtime: runtime(ready, [['main', 1]]), probes: noProbes }).containersToStart,
    [],
  );
});

function status(pod: Pod, state: RuntimePod, change: Partial<Parameters<typeof podStatus>[0]> = {}): PodStatus {
  return podStatus({
    pod,
    runtime: state,
    runtimeName: 'process',
    waiting: new Map(),
    isReady: () => true,
    isStarted: () => true,
    terminationMessage: () => undefined,
    hostIP: '127.0.0.1',
    nowMs: NOW,
    ...change,
  });
}

const condition = (of: PodStatus, type: string) => of.conditions?.find((each) => each.type === type);

await t.test('phase and conditions are what upstream makes of the containers', async (t) => {
  const init = { initContainers: [{ name: 'i' }] };
  const never = { restartPolicy: 'Never' };
  const onFailure = { restartPolicy: 'OnFailure' };
  type Row = [
    what: string,
    spec: Partial<PodSpec>,
    RuntimePod,
    phase: string,
    ready: string,
    reason: string | undefined,
  ];
  const rows: Row[] = [
    ['nothing yet', {}, runtime([], []), 'Pending', 'False', 'ContainersNotReady'],
    ['running', {}, runtime(ready, [['main', 'running']]), 'Running', 'True', undefined],
    ['initializing', init, runtime(ready, [['i', 'running']]), 'Pending', 'False', 'ContainersNotReady'],
    ['init failed, Never', { ...init, ...never }, runtime(ready, [['i', 1]]), 'Failed', 'False', 'PodFailed'],
    ['init failed, Always', init, runtime(ready, [['i', 1]]), 'Pending', 'False', 'ContainersNotReady'],
    ['ended, Always', {}, runtime(ready, [['main', 0]]), 'Running', 'False', 'ContainersNotReady'],
    ['succeeded, Never', never, runtime(ready, [['main', 0]]), 'Succeeded', 'False', 'PodCompleted'],
    ['failed, Never', never, runtime(ready, [['main', 1]]), 'Failed', 'False', 'PodFailed'],
    ['succeeded, OnFailure', onFailure, runtime(ready, [['main', 0]]), 'Succeeded', 'False', 'PodCompleted'],
    ['failed, OnFailure', onFailure, runtime(ready, [['main', 1]]), 'Running', 'False', 'ContainersNotReady'],
  ];
  for (const [what, spec, state, phase, isReady, reason] of rows) {
    const of = status(newPod(spec), state);
    t.equal(of.phase, phase, what);
    t.match(condition(of, 'Ready'), { status: isReady, ...(reason === undefined ? {} : { reason }) }, what);
  }
  const ended = runtime(ready, [['main', 0]]);
  t.equal(status(newPod({}), ended, { isTerminated: true }).phase, 'Succeeded');
  t.equal(status(newPod({}), runtime(ready, [['main', 143]]), { isTerminated: true }).phase, 'Failed');
  t.match(status(newPod({}), ended, { failure: { reason: 'DeadlineExceeded', message: 'm' } }), {
    phase: 'Failed',
    reason: 'DeadlineExceeded',
  });
  t.equal(status(newPod({}, { status: { phase: 'Failed' } }), runtime(ready, [['main', 'running']])).phase, 'Failed');
  t.match(condition(status(newPod(init), runtime(ready, [['i', 'running']])), 'Initialized'), {
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: 'containers with incomplete status: [i]',
  });
  const gated = { readinessGates: [{ conditionType: 'x/y' }] };
  const running = runtime(ready, [['main', 'running']]);
  t.match(condition(status(newPod(gated), running), 'Ready'), {
    status: 'False',
    reason: 'ReadinessGatesNotReady',
    message: 'corresponding condition of pod readiness gate "x/y" does not exist.',
  });
  const open = { status: { conditions: [{ type: 'x/y', status: 'True' }] } };
  t.equal(condition(status(newPod(gated, open), running), 'Ready')?.status, 'True');
});

await t.test('container states: waiting reasons, restarts, last states', async (t) => {
  const of = (state: RuntimePod, change = {}, spec: Partial<PodSpec> = {}, pod: Partial<Pod> = {}) =>
    status(newPod(spec, pod), state, change).containerStatuses?.[0];
  t.match(of(runtime(ready, [])), {
    state: { waiting: { reason: 'ContainerCreating' } },
    ready: false,
    started: false,
  });
  t.match(of(runtime(ready, []), {}, { initContainers: [{ name: 'i' }] }), {
    state: { waiting: { reason: 'PodInitializing' } },
  });
  t.match(of(runtime(ready, [['main', 'running']])), {
    containerID: 'process://main-0',
    state: { running: { startedAt: '2026-01-01T11:59:20Z' } },
    ready: true,
    started: true,
  });
  t.equal(of(runtime(ready, [['main', 'running']]), { isStarted: () => false })?.ready, false);
  const waiting = new Map([['main', { reason: 'CrashLoopBackOff', message: 'm' }]]);
  const crashed = runtime(ready, [['main', 3, { metadata: { name: 'main', attempt: 2 } }]]);
  t.match(of(crashed), {
    restartCount: 2,
    state: { terminated: { exitCode: 3, reason: 'Error', containerID: 'process://main-2' } },
  });
  t.match(of(crashed, { waiting }), {
    state: { waiting: { reason: 'CrashLoopBackOff', message: 'm' } },
    lastState: { terminated: { exitCode: 3 } },
  });
  t.match(of(crashed, { waiting }, { restartPolicy: 'Never' }), { state: { terminated: { exitCode: 3 } } });
  const again = runtime(ready, [
    ['main', 3],
    ['main', 'running', { metadata: { name: 'main', attempt: 1 } }],
  ]);
  t.match(of(again, { waiting }), {
    restartCount: 1,
    state: { running: {} },
    lastState: { terminated: { exitCode: 3 } },
  });
  const lost = {
    status: {
      containerStatuses: [
        {
          name: 'main',
          image: 'a',
          imageID: '',
          ready: true,
          restartCount: 4,
          containerID: 'process://x',
          state: { running: {} },
        },
      ],
    },
  };
  t.match(of(runtime([], []), {}, {}, lost), {
    restartCount: 4,
    state: { waiting: { reason: 'ContainerCreating' } },
    lastState: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } },
  });
  t.equal(
    computePodActions({ pod: newPod({}, lost), runtime: runtime(ready, []), probes: noProbes }).containersToStart[0]
      ?.attempt,
    5,
  );
});

await t.test('a patch holds what changed, in a form that strategic merge applies', async (t) => {
  const pod = newPod({});
  const before = status(pod, runtime([], []));
  const old = { ...pod, status: before };
  t.equal(statusPatch(pod, before, status(old, runtime([], []), { nowMs: NOW + 60_000 })), undefined);
  const after = status(old, runtime(ready, [['main', 'running']]), { nowMs: NOW + 60_000 });
  const patch = statusPatch(pod, before, after) as { metadata: object; status: Record<string, unknown> };
  t.same(patch.metadata, { uid: 'u' });
  t.same(Object.keys(patch.status).sort(), ['conditions', 'containerStatuses', 'phase', 'podIP', 'podIPs']);
  t.same(patch.status['podIPs'], [{ ip: '127.2.0.1' }, { $patch: 'replace' }]);
  const conditions = patch.status['conditions'] as { type: string; reason?: string | null }[];
  t.same(
    conditions.map(({ type }) => type),
    ['PodReadyToStartContainers', 'Ready', 'ContainersReady'],
  );
  t.equal(conditions[1]?.reason, null, 'what is no longer said is taken away');
  t.equal(condition(after, 'PodScheduled')?.lastTransitionTime, '2026-01-01T12:00:00Z');
  t.equal(condition(after, 'Ready')?.lastTransitionTime, '2026-01-01T12:01:00Z');
  const reordered = JSON.parse(JSON.stringify(after), (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).reverse())
      : value,
  ) as PodStatus;
  t.equal(statusPatch(pod, reordered, after), undefined);
});

await t.test('restarts wait 10 s, then twice as long each time, up to 5 minutes; a long run begins anew', async (t) => {
  const backoff = new CrashLoopBackoff();
  const delays: (number | undefined)[] = [];
  let now = NOW;
  for (let i = 0; i < 8; i++) {
    const wait = backoff.check('u/main', now, now);
    delays.push(wait?.backoffMs);
    if (wait !== undefined) {
      t.equal(backoff.check('u/main', now, wait.until - 1)?.until, wait.until);
      t.equal(backoff.check('u/main', now, wait.until), undefined);
    }
    const start = wait?.until ?? now;
    backoff.next('u/main', now, start);
    now = start + 1000;
  }
  t.same(delays, [undefined, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  now += 601_000;
  t.equal(backoff.check('u/main', now, now), undefined);
  backoff.next('u/main', now, now);
  t.equal(backoff.check('u/main', now + 1000, now + 1000)?.backoffMs, 10_000);
  backoff.forget('u/');
  t.equal(backoff.check('u/main', now + 1000, now + 1000), undefined);
  t.same([10_000, 80_000, 300_000].map(formatSeconds), ['10s', '1m20s', '5m0s']);
});

await t.test('probes count answers in a row', async (t) => {
  const parameters = probeParameters({ failureThreshold: 2, successThreshold: 3 });
  t.match(parameters, { periodMs: 10_000, timeoutMs: 1000, initialDelayMs: 0 });
  const run = (kind: 'liveness' | 'readiness' | 'startup', answers: string): string[] => {
    let state = initialState(kind);
    return answers
      .split('')
      .map((each) => (state = observe(state, each === '+' ? 'success' : 'failure', parameters)).result);
  };
  t.same(run('readiness', '++-+++'), ['failure', 'failure', 'failure', 'failure', 'failure', 'success']);
  t.same(run('liveness', '-+--'), ['success', 'success', 'success', 'failure']);
  t.same(run('startup', '-+-+'), ['unknown', 'unknown', 'unknown', 'unknown']);
  t.notOk(wantsProbe({ kind: 'liveness', result: 'success', isStarted: false }));
  t.notOk(wantsProbe({ kind: 'liveness', result: 'failure', isStarted: true }), 'one that failed waits for the end');
  t.ok(wantsProbe({ kind: 'startup', result: 'unknown', isStarted: false }));
  t.notOk(wantsProbe({ kind: 'startup', result: 'success', isStarted: true }));
});

await t.test('variables: references, services, sources, order', async (t) => {
  const known = (name: string): string | undefined => ({ A: 'a', B: '$(A)' })[name];
  const cases = {
    '$(A)-$(X)': 'a-$(X)',
    '$$(A)': '$(A)',
    '$$$(A)': '$a',
    $A: '$A',
    '$(B)': '$(A)',
    '$(A': '$(A',
    '100$': '100$',
  };
  for (const [text, expected] of Object.entries(cases)) t.equal(expand(text, known), expected, text);

  const service = (name: string, namespace: string, clusterIP: string): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { clusterIP, ports: [{ name: 'web-ui', port: 80, protocol: 'TCP' }] },
  });
  const configMap: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cm' },
    data: { K: 'v', 'x=y': 'z' },
  };
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    data: { PASS: Buffer.from('pw').toString('base64') },
  };
  const make = (container: Partial<Container>, spec: Partial<PodSpec> = {}): Record<string, string> => {
    const facts = {
      pod: newPod(spec),
      podIP: '127.2.0.1',
      hostIP: '127.0.0.1',
      allocatable: { cpu: '2', memory: '1Gi' },
      services: [
        service('kubernetes', 'default', '10.0.0.1'),
        service('my-web', 'ns', '10.0.0.2'),
        service('none', 'ns', 'None'),
      ],
      configMap: (name: string) => (name === 'cm' ? configMap : undefined),
      secret: (name: string) => (name === 's' ? secret : undefined),
    };
    return Object.fromEntries(
      makeEnvironment(facts, { name: 'main', ...container }).map(({ key, value }) => [key, value]),
    );
  };
  const links = make({});
  t.match(links, {
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
    MY_WEB_SERVICE_HOST: '10.0.0.2',
    MY_WEB_SERVICE_PORT: '80',
    MY_WEB_SERVICE_PORT_WEB_UI: '80',
    MY_WEB_PORT: 'tcp://10.0.0.2:80',
    MY_WEB_PORT_80_TCP: 'tcp://10.0.0.2:80',
    MY_WEB_PORT_80_TCP_PROTO: 'tcp',
    MY_WEB_PORT_80_TCP_PORT: '80',
    MY_WEB_PORT_80_TCP_ADDR: '10.0.0.2',
  });
  t.notOk('NONE_SERVICE_HOST' in links);
  t.notOk('MY_WEB_SERVICE_HOST' in make({}, { enableServiceLinks: false }));
  t.equal(make({}, { enableServiceLinks: false })['KUBERNETES_SERVICE_HOST'], '10.0.0.1');
  const env = make({
    envFrom: [
      { prefix: 'P_', configMapRef: { name: 'cm' } },
      { secretRef: { name: 's' } },
      { secretRef: { name: 'no', optional: true } },
    ],
    env: [
      { name: 'URL', value: 'http://$(MY_WEB_SERVICE_HOST)/$(P_K)/$(NOPE)' },
      { name: 'MY_WEB_PORT', value: 'mine' },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'OPTIONAL', valueFrom: { configMapKeyRef: { name: 'cm', key: 'no', optional: true } } },
    ],
  });
  t.match(env, {
    P_K: 'v',
    PASS: 'pw',
    URL: 'http://10.0.0.2/v/$(NOPE)',
    MY_WEB_PORT: 'mine',
    IP: '127.2.0.1',
    CPU: '2',
  });
  t.notOk('OPTIONAL' in env || 'P_x=y' in env);
  t.same(expandCommand(['-x=$(A)'], [{ key: 'A', value: '1' }]), ['-x=1']);
  const refused = (source: NonNullable<NonNullable<Container['env']>[number]['valueFrom']>, message: string): void => {
    t.throws(
      () => make({ env: [{ name: 'X', valueFrom: source }] }),
      new StartError('CreateContainerConfigError', message),
    );
  };
  refused({ configMapKeyRef: { name: 'no', key: 'k' } }, 'configmap "no" not found');
  refused({ configMapKeyRef: { name: 'cm', key: 'k' } }, "couldn't find key k in ConfigMap ns/cm");
  refused({ secretKeyRef: { name: 'no', key: 'k' } }, 'secret "no" not found');
  refused({ secretKeyRef: { name: 's', key: 'k' } }, "couldn't find key k in Secret ns/s");
});

await t.test('amounts: quality of service, divisors, grace periods', async (t) => {
  const pod = (resources: object[]): Pod =>
    newPod({ containers: resources.map((resources, i) => ({ name: `c${i}`, resources })) });
  t.equal(qosClass(pod([{}])), 'BestEffort');
  t.equal(qosClass(pod([{ requests: { cpu: '1' } }, {}])), 'Burstable');
  t.equal(qosClass(pod([{ limits: { cpu: '1', memory: '1Gi' } }])), 'Guaranteed');
  t.equal(
    qosClass(pod([{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }])),
    'Guaranteed',
  );
  t.equal(qosClass(pod([{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Mi' } }])), 'Burstable');
  const of = pod([{ limits: { cpu: '1500m', memory: '65Mi' } }]);
  const facts = { pod: of, podIP: '', hostIP: '', allocatable: { memory: '2Gi' } };
  const value = (resource: string, divisor?: string) =>
    resourceValue(facts, { resource, divisor, containerName: 'c0' });
  t.equal(value('limits.cpu'), '2');
  t.equal(value('limits.cpu', '1m'), '1500');
  t.equal(value('limits.memory', '1Mi'), '65');
  t.equal(value('requests.memory'), '0');
  t.equal(value('limits.'), undefined);
  const deleting = (seconds: number): Pod =>
    newPod(
      { terminationGracePeriodSeconds: 50 },
      { metadata: { deletionTimestamp: 'x', deletionGracePeriodSeconds: seconds } },
    );
  t.same(
    [deleting(10), deleting(0), newPod({})].map((pod) => gracePeriodSeconds(pod)),
    [10, 1, 30],
  );
  t.not(containerHash({ name: 'a', image: 'x' }), containerHash({ name: 'a', image: 'y' }));
});

await t.test('a node refuses what it cannot run', async (t) => {
  const node: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n', labels: { zone: 'a', size: '5' } },
    status: { allocatable: { cpu: '2', memory: '1Gi', pods: '2' } },
  };
  const asks = (cpu: string): Pod => newPod({ containers: [{ name: 'c', resources: { requests: { cpu } } }] });
  const needs = (operator: string, values: string[], key = 'size'): Pod =>
    newPod({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
          },
        },
      },
    });
  t.equal(admit(asks('1'), node, [asks('1')]), undefined);
  t.same(admit(asks('1500m'), node, [asks('1')]), {
    reason: 'OutOfcpu',
    message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
  });
  t.match(admit(asks('0'), node, [asks('0'), asks('0')]), { reason: 'OutOfpods' });
  const dongles = (count: string): Pod =>
    newPod({ containers: [{ name: 'c', resources: { requests: { 'example.com/dongle': count } } }] });
  const allocatable = { ...node.status?.allocatable, 'example.com/dongle': '3' };
  const withDongles = { ...node, status: { allocatable } };
  t.equal(admit(dongles('1'), withDongles, [dongles('2')]), undefined);
  t.same(admit(dongles('2'), withDongles, [dongles('2')]), {
    reason: 'OutOfexample.com/dongle',
    message: "Node didn't have enough resource: example.com/dongle, requested: 2, used: 2, capacity: 3",
  });
  t.equal(admit(dongles('2'), node, []), undefined, 'not a resource of the node');
  t.match(admit(newPod({ nodeSelector: { zone: 'b' } }), node, []), { reason: 'NodeAffinity' });
  const operators: [string, string[], boolean][] = [
    ['In', ['4', '5'], true],
    ['NotIn', ['5'], false],
    ['Exists', [], true],
    ['DoesNotExist', [], false],
    ['Gt', ['4'], true],
    ['Lt', ['5'], false],
  ];
  for (const [operator, values, fits] of operators)
    t.equal(admit(needs(operator, values), node, []) === undefined, fits, operator);

  const withPort = (port: ContainerPort): Pod => newPod({ containers: [{ name: 'c', ports: [port] }] });
  const port = { containerPort: 80, hostPort: 8080 };
  t.same(admit(withPort(port), node, [withPort(port)]), {
    reason: 'NodePorts',
    message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  });
  const ports: [ContainerPort, ContainerPort, boolean][] = [
    [port, { ...port, hostIP: '127.0.0.1' }, false],
    [{ ...port, hostIP: '0.0.0.0' }, { ...port, hostIP: '127.0.0.1' }, false],
    [{ ...port, hostIP: '127.0.0.2' }, { ...port, hostIP: '127.0.0.1' }, true],
    [port, { ...port, protocol: 'TCP' }, false],
    [port, { ...port, protocol: 'UDP' }, true],
    [port, { ...port, hostPort: 8081 }, true],
    [{ containerPort: 80 }, { containerPort: 80 }, true],
  ];
  for (const [wanted, taken, fits] of ports)
    t.equal(admit(withPort(wanted), node, [withPort(taken)]) === undefined, fits, JSON.stringify([wanted, taken]));
  const init = { name: 'i', ports: [port] };
  t.equal(admit(withPort(port), node, [newPod({ containers: [], initContainers: [init] })]), undefined);
  const sidecar = { ...init, restartPolicy: 'Always' };
  t.match(admit(withPort(port), node, [newPod({ containers: [], initContainers: [sidecar] })]), {
    reason: 'NodePorts',
  });

  const tainted = (effect: string): Node => ({ ...node, spec: { taints: [{ key: 'k', effect }] } });
  t.match(admit(newPod({}), tainted('NoExecute'), []), { reason: 'TaintToleration' });
  t.equal(admit(newPod({}), tainted('NoSchedule'), []), undefined);
  t.equal(admit(newPod({ tolerations: [{ operator: 'Exists' }] }), tainted('NoExecute'), []), undefined);
});

await t.test('an unchanged node status is not written again; amounts are canonical', async (t) => {
  const facts: NodeFacts = {
    name: 'n',
    nodeIP: '127.0.0.1',
    labels: {},
    taints: [],
    maxPods: 1000,
    kubeletVersion: 'v1',
    containerRuntimeVersion: 'process://1',
    port: 1,
    machine: {
      cpu: 2,
      memoryBytes: 4 * 2 ** 30,
      ephemeralStorageBytes: 10 * 2 ** 30,
      hostname: 'n',
      architecture: 'amd64',
      kernelVersion: '6',
      osImage: 'x',
      machineID: 'm',
      systemUUID: 's',
      bootID: 'b',
    },
    pressure: { memory: false, disk: false, pid: false },
    notReady: undefined,
    now: '2026-01-01T00:00:00Z',
  };
  const first = nodeStatus(facts, undefined);
  t.match(first.capacity, { cpu: '2', memory: '4Gi', pods: '1k' });
  const later = nodeStatus({ ...facts, now: '2026-01-01T00:01:00Z' }, first);
  t.notOk(nodeStatusChanged(first, later));
  t.equal(later.conditions?.[0]?.lastTransitionTime, '2026-01-01T00:00:00Z');
  t.equal(later.conditions?.[0]?.lastHeartbeatTime, '2026-01-01T00:01:00Z');
  const unready = nodeStatus({ ...facts, notReady: 'why', now: '2026-01-01T00:02:00Z' }, later);
  t.ok(nodeStatusChanged(later, unready));
  t.match(unready.conditions?.at(-1), {
    type: 'Ready',
    status: 'False',
    reason: 'KubeletNotReady',
    message: 'why',
    lastTransitionTime: '2026-01-01T00:02:00Z',
  });

  // Extended resources are an administrator's: written into the capacity, and allocatable with the next status.
  const dongles = { ...first, capacity: { ...first.capacity, 'example.com/dongle': '4' } };
  const offered = nodeStatus(facts, dongles);
  t.match(offered, { capacity: { 'example.com/dongle': '4' }, allocatable: { 'example.com/dongle': '4', cpu: '2' } });
  t.ok(nodeStatusChanged(dongles, offered));
  const taken = { ...offered, capacity: first.capacity ?? {} };
  const without = nodeStatus(facts, taken);
  t.same(without.allocatable, first.allocatable);
  t.match(nodeStatusPatch(taken, without), { allocatable: { 'example.com/dongle': null, cpu: '2' } });
  t.same(nodeStatusPatch(first, later), later);
});
