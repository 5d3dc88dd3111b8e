import t from 'tap';
import {
  findCondition,
  newControllerRef,
  pods,
  replicaSets,
  selectorFromSet,
  type Pod,
  type ReplicaSet,
} from '@naru/api';
import { listAll } from '@naru/client';
import { eventually, VirtualClock } from '@naru/testkit';
import { Expectations } from '../src/expectations.ts';
import { planClaims } from '../src/ownership/claim-plan.ts';
import {
  BURST_REPLICAS,
  planReplicas,
  planStatus,
  rankForDeletion,
  type ReplicaOwnerView,
} from '../src/replicaset/plan.ts';
import { ReplicaSetController } from '../src/replicaset/replica-set-controller.ts';
import { replicaSetKind } from '../src/replicaset/replica-kind.ts';
import { slowStartBatch } from '../src/slow-start.ts';
import { Running } from './running.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const noRelated: ReadonlyMap<string, number> = new Map();

interface PodFacts {
  readonly node?: string;
  readonly phase?: string;
  readonly ready?: boolean;
  readonly readySince?: string;
  readonly restarts?: number;
  readonly created?: string;
  readonly cost?: string;
}

function pod(name: string, facts: PodFacts = {}): Pod {
  const { node = 'n1', phase = 'Running', ready = true, readySince = '2026-01-01T00:00:00Z', restarts = 0 } = facts;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      namespace: 'default',
      labels: { app: 'web' },
      creationTimestamp: facts.created ?? '2026-01-01T00:00:00Z',
      ...(facts.cost === undefined
        ? {}
        : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': facts.cost } }),
    },
    spec: { containers: [], nodeName: node },
    status: {
      phase,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: readySince }],
      containerStatuses: [{ name: 'c', image: '', imageID: '', ready, restartCount: restarts }],
    },
  };
}

function view(replicas: number, rest: Partial<ReplicaOwnerView> = {}): ReplicaOwnerView {
  return {
    replicas,
    minReadySeconds: 0,
    selector: selectorFromSet({ app: 'web' }),
    template: { metadata: { labels: { app: 'web' } } },
    generation: 1,
    status: {},
    ...rest,
  };
}

await t.test('planReplicas', (t) => {
  const three = [pod('a'), pod('b'), pod('c')];
  t.same(planReplicas(view(3), three, noRelated, NOW_MS), { type: 'none' });
  t.same(planReplicas(view(5), three, noRelated, NOW_MS), { type: 'create', count: 2 });
  t.same(planReplicas(view(5000), three, noRelated, NOW_MS), { type: 'create', count: BURST_REPLICAS });
  t.match(planReplicas(view(0), three, noRelated, NOW_MS), { type: 'delete', pods: three });
  t.end();
});

await t.test('pods to be deleted are ranked as upstream ranks them', (t) => {
  const cases: readonly (readonly [why: string, first: Pod, second: Pod, related?: ReadonlyMap<string, number>])[] = [
    [
      'not scheduled',
      pod('x', { node: '', phase: 'Pending', ready: false }),
      pod('y', { phase: 'Pending', ready: false }),
    ],
    ['pending', pod('x', { phase: 'Pending', ready: false }), pod('y', { ready: false })],
    ['not ready', pod('x', { ready: false, restarts: 0 }), pod('y', { restarts: 9 })],
    ['cheap', pod('x', { cost: '-5' }), pod('y')],
    ['cheaper', pod('x'), pod('y', { cost: '10', readySince: '2026-01-01T23:59:59Z' })],
    ['no valid cost', pod('x', { cost: '-1' }), pod('y', { cost: '-05' })],
    [
      'on a node with many of its kind',
      pod('x', { node: 'full' }),
      pod('y', { node: 'empty', readySince: '2026-01-01T23:59:59Z' }),
      new Map([
        ['full', 3],
        ['empty', 1],
      ]),
    ],
    ['ready for a short time', pod('x', { readySince: '2026-01-01T23:59:00Z' }), pod('y')],
    ['often restarted', pod('x', { restarts: 2 }), pod('y', { restarts: 1 })],
    ['young', pod('x', { created: '2026-01-01T23:59:00Z' }), pod('y')],
    [
      'about equally old: by uid',
      pod('a', { created: '2026-01-01T00:00:00Z' }),
      pod('b', { created: '2026-01-01T00:00:01Z' }),
    ],
  ];
  for (const [why, first, second, related = noRelated] of cases) {
    t.same(rankForDeletion([first, second], related, NOW_MS), [first, second], why);
    t.same(rankForDeletion([second, first], related, NOW_MS), [first, second], `${why}, the other way round`);
  }
  t.end();
});

await t.test('planStatus', (t) => {
  const now = { ms: NOW_MS, time: '2026-01-02T00:00:00Z' };
  const ready = pod('a');
  const fresh = pod('b', { readySince: '2026-01-01T23:59:55Z' });
  const starting = { ...pod('c', { ready: false }), metadata: { ...pod('c').metadata, labels: {} } };
  const status = planStatus(view(3, { minReadySeconds: 10 }), [ready, fresh, starting], undefined, now);
  t.same(status, {
    replicas: 3,
    fullyLabeledReplicas: 2,
    readyReplicas: 2,
    availableReplicas: 1,
    observedGeneration: 1,
  });
  const same = view(3, { minReadySeconds: 10, status });
  t.equal(planStatus(same, [ready, fresh, starting], undefined, now), status, 'nothing to write');
  const failed = planStatus(same, [ready, fresh, starting], { reason: 'FailedCreate', message: 'no' }, now);
  t.match(findCondition(failed.conditions, 'ReplicaFailure'), {
    status: 'True',
    reason: 'FailedCreate',
    message: 'no',
  });
  const again = planStatus(view(3, { minReadySeconds: 10, status: failed }), [ready, fresh, starting], undefined, now);
  t.same(again, status, 'the condition goes with the failure');
  t.same(planStatus(view(0), [], undefined, now), { replicas: 0, observedGeneration: 1 }, 'zeros are left out');
  t.end();
});

await t.test('claims: owned, adopted, released', (t) => {
  const owner: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'rs', namespace: 'default', uid: 'o' },
  };
  const reference = newControllerRef(owner, replicaSets);
  const by = (name: string, uid: string | undefined, labels = { app: 'web' }): Pod => {
    const { metadata, ...rest } = pod(name);
    const ownerReferences = uid === undefined ? [] : [{ ...reference, uid }];
    return { ...rest, metadata: { ...metadata, labels, ownerReferences } };
  };
  const [mine, orphan, others, strange] = [
    by('mine', 'o'),
    by('orphan', undefined),
    by('others', 'p'),
    by('strange', 'o', { app: 'x' }),
  ];
  const going = { ...orphan, metadata: { ...orphan.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  const elsewhere = { ...orphan, metadata: { ...orphan.metadata, namespace: 'other' } };
  const selector = selectorFromSet({ app: 'web' });
  t.same(planClaims(owner, selector, [mine, orphan, others, strange, going, elsewhere]), {
    owned: [mine],
    adopt: [orphan],
    release: [strange],
  });
  const deleted = { ...owner, metadata: { ...owner.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  t.same(planClaims(deleted, selector, [mine, orphan, strange]), { owned: [mine], adopt: [], release: [] });
  t.end();
});

await t.test('expectations are met by what is seen, or by time', async (t) => {
  const clock = new VirtualClock();
  const expectations = new Expectations(clock);
  t.ok(expectations.satisfied('a'));
  expectations.expectCreations('a', 2);
  expectations.creationObserved('a');
  t.notOk(expectations.satisfied('a'));
  expectations.creationObserved('a');
  t.ok(expectations.satisfied('a'));
  expectations.expectDeletions('a', ['x', 'y']);
  expectations.deletionObserved('a', 'x');
  expectations.deletionObserved('a', 'x');
  t.notOk(expectations.satisfied('a'), 'seen twice is seen once');
  await clock.advance(300_001);
  t.ok(expectations.satisfied('a'));
});

await t.test('slow start stops soon after a failure', async (t) => {
  let calls = 0;
  t.same(await slowStartBatch(10, async () => await Promise.resolve(void calls++)), {
    succeeded: 10,
    skipped: 0,
    error: undefined,
  });
  t.equal(calls, 10);
  calls = 0;
  const error = new Error('quota');
  const failing = async (): Promise<void> => {
    if (++calls > 2) await Promise.reject(error);
  };
  t.same(await slowStartBatch(10, failing), { succeeded: 2, skipped: 7, error });
  t.equal(calls, 3);
});

const replicaSet: ReplicaSet = {
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: { name: 'web', namespace: 'default', generation: 1 },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
  },
};

await t.test('the controller', async (t) => {
  await using running = await Running.start((context) => [new ReplicaSetController(context, replicaSetKind, 2)]);
  const { server, client, clock } = running;
  const list = async (): Promise<Pod[]> => (await listAll(client, pods, { namespace: 'default' })).items;
  const names = async (): Promise<string[]> => (await list()).map(({ metadata }) => metadata.name ?? '').sort();

  await t.test('creates what is missing, with an owner reference', async (t) => {
    await client.create(replicaSets, replicaSet);
    await eventually(async () => (await list()).length === 3);
    const [first] = await list();
    t.match(first?.metadata, {
      labels: { app: 'web' },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'web', controller: true }],
    });
    await eventually(
      async () => (await client.get(replicaSets, 'web', { namespace: 'default' })).status?.replicas === 3,
    );
  });

  await t.test('replaces a pod that is deleted', async (t) => {
    const [gone = ''] = await names();
    await client.delete(pods, gone, { namespace: 'default' });
    await eventually(async () => (await list()).length === 3 && !(await names()).includes(gone));
    t.pass();
  });

  await t.test('does not create twice while its caches are behind', async (t) => {
    await clock.settle();
    server.holdWatches();
    const [one = '', two = ''] = await names();
    await client.delete(pods, one, { namespace: 'default' });
    server.releaseWatches();
    await eventually(async () => (await list()).length === 3);
    server.holdWatches();
    await client.delete(pods, two, { namespace: 'default' });
    // Only a change of the ReplicaSet itself comes through: its pods in the cache are the old ones.
    await client.patch(replicaSets, 'web', 'merge', { spec: { replicas: 5 } }, { namespace: 'default' });
    await clock.settle();
    server.releaseWatches();
    await eventually(
      async () => (await client.get(replicaSets, 'web', { namespace: 'default' })).status?.replicas === 5,
    );
    t.equal((await list()).length, 5);
  });

  await t.test('deletes what is too much', async (t) => {
    await client.patch(replicaSets, 'web', 'merge', { spec: { replicas: 1 } }, { namespace: 'default' });
    await eventually(
      async () => (await client.get(replicaSets, 'web', { namespace: 'default' })).status?.replicas === 1,
    );
    t.equal((await list()).length, 1);
    const deletions = server.requests.filter(({ method }) => method === 'DELETE').at(-1)?.body;
    t.match(deletions, { preconditions: { uid: /./u } });
  });

  await t.test('adopts an orphan that it selects, instead of creating a pod', async (t) => {
    const { metadata, ...rest } = pod('orphan');
    server.requests.length = 0;
    await client.create(pods, {
      ...rest,
      metadata: { name: 'orphan', namespace: 'default', labels: metadata.labels ?? {} },
    });
    await eventually(async () => {
      const found = await list();
      return found.length === 1 && found[0] !== undefined;
    });
    t.ok(
      server.requests.some(({ method, path }) => method === 'PATCH' && path.endsWith('/pods/orphan')),
      'adopted',
    );
  });

  await t.test('tells of a pod that cannot be created, and tries again later', async (t) => {
    server.reactor = ({ method, path }, response) => {
      if (method !== 'POST' || !path.endsWith('/pods')) return false;
      response.writeHead(403, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ kind: 'Status', reason: 'Forbidden', code: 403, message: 'exceeded quota' }));
      return true;
    };
    await client.patch(replicaSets, 'web', 'merge', { spec: { replicas: 20 } }, { namespace: 'default' });
    server.requests.length = 0;
    await eventually(async () => {
      const { status } = await client.get(replicaSets, 'web', { namespace: 'default' });
      return findCondition(status?.conditions, 'ReplicaFailure')?.message === 'exceeded quota';
    });
    server.reactor = undefined;
    await eventually(() => clock.pending > 0);
    await clock.advance(1000);
    await eventually(
      async () => (await client.get(replicaSets, 'web', { namespace: 'default' })).status?.replicas === 20,
    );
    t.equal((await list()).length, 20);
  });
});
