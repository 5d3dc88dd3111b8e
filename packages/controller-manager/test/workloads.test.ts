import t from 'tap';
import {
  findCondition,
  formatTime,
  type ClusterRole,
  type ControllerRevision,
  type CronJob,
  type DaemonSet,
  type Job,
  type Node,
  type Pod,
  type PodDisruptionBudget,
  type StatefulSet,
} from '@naru/api';
import { planRules } from '../src/clusterrole-aggregation/plan.ts';
import { planCronJob, type CronJobPlan } from '../src/cronjob/plan.ts';
import { Schedule, ScheduleError } from '../src/cronjob/schedule-plan.ts';
import { planDaemonSet, planStatus, targetNodeOf, templateForNode } from '../src/daemonset/plan.ts';
import { planDisruption } from '../src/disruption/plan.ts';
import { planHistory, planTruncation, templateOf, type RevisionOwner } from '../src/history/plan.ts';
import { formatIndexes, parseIndexes } from '../src/job/indexes-plan.ts';
import { isFinished, planJob, TRACKING_FINALIZER, type JobPlan } from '../src/job/plan.ts';
import { podOf } from '../src/job/pod-plan.ts';
import { planStatefulSet } from '../src/statefulset/plan.ts';
import { ttlLeftMs } from '../src/ttl-after-finished/plan.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 12);
const HASH = 'controller-revision-hash';

function pod(
  name: string,
  facts: { ready?: boolean; phase?: string; labels?: Record<string, string>; node?: string; deleting?: boolean } = {},
): Pod {
  const { ready = true, phase = 'Running', labels = {}, node, deleting = false } = facts;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      namespace: 'default',
      labels,
      ...(deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: { containers: [], ...(node === undefined ? {} : { nodeName: node }) },
    status: {
      phase,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    },
  };
}

await t.test('history: a template is one revision, and the latest when it is gone back to', (t) => {
  const owner = (image: string): RevisionOwner => ({
    object: {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'a', namespace: 'default', uid: 'o', annotations: { 'kubernetes.io/change-cause': image } },
    },
    resource: { kind: 'DaemonSet', group: 'apps', version: 'v1' } as RevisionOwner['resource'],
    template: { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image }] } },
    collisionCount: undefined,
    historyLimit: 10,
    hashLabel: HASH,
  });
  const first = planHistory(owner('v1'), []);
  t.match(first, {
    write: 'create',
    update: { revision: 1, metadata: { namespace: 'default', ownerReferences: [{ uid: 'o' }] } },
  });
  t.same(templateOf(first.update), owner('v1').template);
  const { name = '', labels, annotations } = first.update.metadata;
  t.same(labels, { app: 'a', [HASH]: name.slice('a-'.length) });
  t.same(annotations, { 'kubernetes.io/change-cause': 'v1' });
  t.match(planHistory(owner('v1'), [first.update]), { write: 'none', update: first.update });
  const second = planHistory(owner('v2'), [first.update]);
  t.match(second, { write: 'create', update: { revision: 2 } });
  const back = planHistory(owner('v1'), [first.update, second.update]);
  t.match(back, { write: 'update', update: { revision: 3, metadata: { name: first.update.metadata.name ?? '' } } });
  t.same(planTruncation(back.all, new Set([back.update.metadata.name ?? '']), 0), [second.update]);
  t.same(planTruncation(back.all, new Set([back.update.metadata.name ?? '']), 1), []);
  t.end();
});

await t.test('DaemonSet', async (t) => {
  const daemonSet: DaemonSet = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'agent', namespace: 'default', generation: 1 },
    spec: {
      selector: { matchLabels: { app: 'agent' } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      template: { spec: { containers: [], nodeSelector: { os: 'linux' } } },
    },
  };
  const node = (name: string, spec: Node['spec'] = {}, os = 'linux'): Node => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { os } },
    spec,
  });
  const observe = (nodes: readonly Node[], pods: readonly Pod[]) => ({
    daemonSet,
    nodes,
    pods,
    hash: 'new',
    nowMs: NOW_MS,
  });
  const plan = (nodes: readonly Node[], pods: readonly Pod[] = []): { create: readonly string[]; remove: string[] } => {
    const { create, remove } = planDaemonSet(observe(nodes, pods));
    return { create, remove: remove.map(({ metadata }) => metadata.name ?? '') };
  };
  const daemon = (name: string, on: string, facts: Parameters<typeof pod>[1] = {}): Pod =>
    pod(name, { node: on, labels: { [HASH]: 'new' }, ...facts });

  await t.test('runs on each node that it is for', (t) => {
    const cordoned = {
      unschedulable: true,
      taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }],
    };
    const mine = { taints: [{ key: 'own', effect: 'NoSchedule' }] };
    const drained = { taints: [{ key: 'own', effect: 'NoExecute' }] };
    t.same(
      plan([
        node('a'),
        node('windows', {}, 'windows'),
        node('cordoned', cordoned),
        node('tainted', mine),
        node('drained', drained),
      ]),
      { create: ['a', 'cordoned'], remove: [] },
    );
    t.same(plan([node('tainted', mine), node('drained', drained)], [daemon('p', 'tainted'), daemon('q', 'drained')]), {
      create: [],
      remove: ['q'],
    });
    t.end();
  });

  await t.test('has one pod per node, and replaces failed ones', (t) => {
    t.same(plan([node('a')], [daemon('p', 'a'), daemon('q', 'a')]).remove.length, 1);
    t.same(plan([node('a')], [daemon('p', 'a', { phase: 'Failed', ready: false })]), { create: [], remove: ['p'] });
    t.same(
      plan([node('a')], [daemon('p', 'a', { deleting: true })]),
      { create: [], remove: [] },
      'not before the last is gone',
    );
    t.end();
  });

  await t.test('is updated a few nodes at a time, broken pods at once', (t) => {
    const nodes = [node('a'), node('b'), node('c')];
    const old = { labels: { [HASH]: 'old' } };
    t.equal(plan(nodes, [daemon('p', 'a', old), daemon('q', 'b', old), daemon('r', 'c', old)]).remove.length, 1);
    t.same(plan(nodes, [daemon('p', 'a'), daemon('q', 'b', { ...old, ready: false }), daemon('r', 'c', old)]).remove, [
      'q',
    ]);
    t.same(
      plan(nodes, [daemon('p', 'a', { ready: false }), daemon('q', 'b', old), daemon('r', 'c', old)]).remove,
      [],
      'waits for the new one',
    );
    t.end();
  });

  await t.test('tells of it', (t) => {
    t.match(
      planStatus(observe([node('a'), node('b'), node('w', {}, 'windows')], [daemon('p', 'a'), daemon('q', 'w')])),
      {
        desiredNumberScheduled: 2,
        currentNumberScheduled: 1,
        numberMisscheduled: 1,
        numberReady: 1,
        updatedNumberScheduled: 1,
        numberAvailable: 1,
        numberUnavailable: 1,
      },
    );
    t.end();
  });

  await t.test('binds its pods by affinity', (t) => {
    const template = templateForNode(daemonSet.spec?.template ?? {}, 'a', 'h');
    t.equal(targetNodeOf({ ...pod('x'), ...(template.spec === undefined ? {} : { spec: template.spec }) }), 'a');
    t.ok(template.spec?.tolerations?.some(({ key }) => key === 'node.kubernetes.io/unreachable'));
    t.equal(template.metadata?.labels?.[HASH], 'h');
    t.end();
  });
});

await t.test('StatefulSet', async (t) => {
  const revision = (name: string, image: string): ControllerRevision => ({
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: { name },
    revision: 1,
    data: { spec: { template: { $patch: 'replace', spec: { containers: [{ name: 'c', image }] } } } },
  });
  const statefulSet = (
    spec: Partial<NonNullable<StatefulSet['spec']>> = {},
    status?: StatefulSet['status'],
  ): StatefulSet => ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db', namespace: 'default', uid: 's', generation: 1 },
    spec: { replicas: 3, serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template: {}, ...spec },
    ...(status === undefined ? {} : { status }),
  });
  const member = (ordinal: number, hash = 'r1', facts: Parameters<typeof pod>[1] = {}): Pod =>
    pod(`db-${ordinal}`, { labels: { [HASH]: hash }, ...facts });
  const plan = (set: StatefulSet, pods: readonly Pod[], update = 'r1') =>
    planStatefulSet({
      statefulSet: set,
      pods,
      currentRevision: revision('r1', 'v1'),
      updateRevision: revision(update, 'v2'),
      nowMs: NOW_MS,
    });
  const actions = (...args: Parameters<typeof plan>): string[] =>
    plan(...args).actions.map(({ type, pod }) => `${type} ${pod.metadata.name}`);

  await t.test('makes its pods one after the other, each when the one before is ready', (t) => {
    t.same(actions(statefulSet(), []), ['create db-0']);
    t.same(actions(statefulSet(), [member(0, 'r1', { ready: false })]), []);
    t.same(actions(statefulSet(), [member(0)]), ['create db-1']);
    t.same(actions(statefulSet({ podManagementPolicy: 'Parallel' }), [member(1)]), ['create db-0', 'create db-2']);
    t.same(actions(statefulSet({ ordinals: { start: 5 } }), []), ['create db-5']);
    t.end();
  });

  await t.test('gives each its name, host and claims', (t) => {
    const volumeClaimTemplates = [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }];
    t.match(plan(statefulSet({ volumeClaimTemplates }), []).actions, [
      {
        claims: [{ metadata: { name: 'data-db-0', namespace: 'default', labels: { app: 'db' } } }],
        pod: {
          metadata: {
            labels: { 'statefulset.kubernetes.io/pod-name': 'db-0', 'apps.kubernetes.io/pod-index': '0', [HASH]: 'r1' },
          },
          spec: {
            hostname: 'db-0',
            subdomain: 'db',
            volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }],
          },
        },
      },
    ]);
    t.end();
  });

  await t.test('goes down from the last, one at a time', (t) => {
    t.same(actions(statefulSet({ replicas: 1 }), [member(0), member(1), member(2)]), ['delete db-2']);
    t.same(actions(statefulSet({ replicas: 1 }), [member(0), member(1), member(2, 'r1', { deleting: true })]), []);
    t.same(actions(statefulSet({ replicas: 1, podManagementPolicy: 'Parallel' }), [member(0), member(1), member(2)]), [
      'delete db-2',
      'delete db-1',
    ]);
    t.end();
  });

  await t.test('is updated from the last, down to the partition', (t) => {
    const all = [member(0), member(1), member(2)];
    const rolling = (partition: number): Partial<NonNullable<StatefulSet['spec']>> => ({
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition } },
    });
    t.same(actions(statefulSet(rolling(0)), all, 'r2'), ['delete db-2']);
    t.same(actions(statefulSet(rolling(0)), [member(0), member(1)], 'r2'), ['create db-2']);
    t.same(actions(statefulSet(rolling(0)), [member(0), member(1), member(2, 'r2', { ready: false })], 'r2'), []);
    t.same(actions(statefulSet(rolling(0)), [member(0), member(1), member(2, 'r2')], 'r2'), ['delete db-1']);
    t.same(actions(statefulSet(rolling(2)), [member(0), member(1), member(2, 'r2')], 'r2'), []);
    t.same(actions(statefulSet({ updateStrategy: { type: 'OnDelete' } }), all, 'r2'), []);
    const [below] = plan(statefulSet(rolling(2)), [member(1), member(2, 'r2')], 'r2').actions;
    t.equal(below?.pod.spec?.containers[0]?.image, 'v1', 'below the partition it is the old one');
    t.end();
  });

  await t.test('tells which revision is current, and when the update is complete', (t) => {
    const half = plan(statefulSet(), [member(0), member(1), member(2, 'r2')], 'r2').status;
    t.match(half, {
      replicas: 3,
      readyReplicas: 3,
      currentReplicas: 2,
      updatedReplicas: 1,
      currentRevision: 'r1',
      updateRevision: 'r2',
    });
    const done = plan(statefulSet(), [member(0, 'r2'), member(1, 'r2'), member(2, 'r2')], 'r2').status;
    t.match(done, { currentReplicas: 3, updatedReplicas: 3, currentRevision: 'r2', updateRevision: 'r2' });
    t.end();
  });
});

/** A Job and its pods, to which plans are applied. */
class JobWorld {
  job: Job;
  pods: Pod[] = [];
  nowMs = NOW_MS;
  #uid = 0;

  constructor(spec: Partial<NonNullable<Job['spec']>>) {
    this.job = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'j', namespace: 'default', uid: 'j' },
      spec: { template: { spec: { containers: [] } }, ...spec },
    };
  }

  sync(): JobPlan {
    const plan = planJob({
      job: this.job,
      pods: this.pods,
      untracked: new Set(),
      nowMs: this.nowMs,
      now: formatTime(this.nowMs),
    });
    this.job = { ...this.job, status: plan.status };
    const untrack = new Set(plan.untrack);
    const remove = new Set(plan.remove);
    this.pods = this.pods
      .map((each) => (untrack.has(each) ? { ...each, metadata: { ...each.metadata, finalizers: [] } } : each))
      .map((each) =>
        remove.has(each)
          ? { ...each, metadata: { ...each.metadata, deletionTimestamp: formatTime(this.nowMs) } }
          : each,
      );
    for (const index of plan.create) {
      const made = podOf(this.job, index);
      const uid = `p${this.#uid++}`;
      this.pods.push({
        ...made,
        metadata: { ...made.metadata, uid, name: uid, creationTimestamp: formatTime(this.nowMs) },
        status: { phase: 'Running' },
      });
    }
    return plan;
  }

  end(phase: 'Succeeded' | 'Failed', count: number): void {
    let left = count;
    this.pods = this.pods.map((each) =>
      each.status?.phase === 'Running' && each.metadata.deletionTimestamp === undefined && left-- > 0
        ? { ...each, status: { phase } }
        : each,
    );
  }

  /** Pods that are gone for good once nothing holds them. */
  collect(): void {
    this.pods = this.pods.filter(
      ({ metadata, status }) =>
        (metadata.finalizers ?? []).length > 0 ||
        (status?.phase === 'Running' && metadata.deletionTimestamp === undefined),
    );
  }

  get running(): number {
    return this.pods.filter(
      ({ status, metadata }) => status?.phase === 'Running' && metadata.deletionTimestamp === undefined,
    ).length;
  }
}

await t.test('Job', async (t) => {
  await t.test('runs as many pods at a time as it may until enough have succeeded', (t) => {
    const world = new JobWorld({ completions: 5, parallelism: 2, backoffLimit: 6 });
    world.sync();
    t.equal(world.running, 2);
    t.same(world.pods[0]?.metadata.finalizers, [TRACKING_FINALIZER]);
    for (let i = 0; i < 20 && !isFinished(world.job); i++) {
      world.end('Succeeded', 1);
      world.sync();
      t.ok(world.running <= 2);
      // Whoever removes ended pods does it at once: no end may be lost.
      world.collect();
    }
    t.match(world.job.status, {
      succeeded: 5,
      completionTime: '2026-01-01T12:00:00Z',
      startTime: '2026-01-01T12:00:00Z',
    });
    t.match(findCondition(world.job.status?.conditions, 'Complete'), { status: 'True', reason: 'CompletionsReached' });
    t.equal(world.pods.length, 0);
    t.end();
  });

  await t.test('counts an end once, though a step is repeated', (t) => {
    const world = new JobWorld({ completions: 3, parallelism: 3, backoffLimit: 6 });
    world.sync();
    world.end('Succeeded', 1);
    const before = world.pods;
    world.sync();
    t.same(world.job.status?.uncountedTerminatedPods, { succeeded: ['p0'] });
    t.equal(world.job.status?.succeeded, undefined);
    world.sync();
    world.pods = before;
    world.sync();
    t.same(world.job.status?.uncountedTerminatedPods, { succeeded: ['p0'] }, 'the cache still shows the finalizer');
    world.sync();
    world.sync();
    t.match(world.job.status, { succeeded: 1, uncountedTerminatedPods: {} });
    t.end();
  });

  await t.test('backs off after failures, and fails after too many', (t) => {
    const world = new JobWorld({ completions: 1, parallelism: 1, backoffLimit: 1 });
    world.sync();
    world.end('Failed', 1);
    const { requeueAfterMs = 0 } = world.sync();
    t.equal(world.running, 0);
    t.equal(requeueAfterMs, 10_000);
    world.nowMs += requeueAfterMs;
    world.sync();
    world.sync();
    t.equal(world.running, 1);
    world.end('Failed', 1);
    for (let i = 0; i < 4; i++) world.sync();
    t.match(findCondition(world.job.status?.conditions, 'Failed'), {
      status: 'True',
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    });
    t.equal(world.job.status?.failed, 2);
    t.equal(world.running, 0);
    t.end();
  });

  await t.test('ends at its deadline', (t) => {
    const world = new JobWorld({ completions: 1, parallelism: 1, activeDeadlineSeconds: 30, backoffLimit: 6 });
    t.equal(world.sync().requeueAfterMs, 30_000);
    world.nowMs += 30_000;
    for (let i = 0; i < 4; i++) world.sync();
    t.match(findCondition(world.job.status?.conditions, 'Failed'), { reason: 'DeadlineExceeded' });
    t.equal(world.running, 0);
    t.end();
  });

  await t.test('indexed: each index succeeds once', (t) => {
    const world = new JobWorld({ completions: 3, parallelism: 2, completionMode: 'Indexed', backoffLimit: 6 });
    world.sync();
    t.same(
      world.pods.map(({ spec }) => spec?.hostname),
      ['j-0', 'j-1'],
    );
    for (let i = 0; i < 20 && !isFinished(world.job); i++) {
      world.end('Succeeded', 1);
      world.sync();
      world.collect();
    }
    t.match(world.job.status, { succeeded: 3, completedIndexes: '0-2' });
    t.end();
  });

  await t.test('suspended: nothing runs', (t) => {
    const world = new JobWorld({ completions: 1, parallelism: 1, suspend: true, backoffLimit: 6 });
    world.sync();
    t.equal(world.running, 0);
    t.equal(world.job.status?.startTime, undefined);
    t.match(findCondition(world.job.status?.conditions, 'Suspended'), { status: 'True' });
    t.end();
  });

  await t.test('indexes as text', (t) => {
    for (const [text, indexes] of [
      ['', []],
      ['1', [1]],
      ['0,1', [0, 1]],
      ['0-2,5', [0, 1, 2, 5]],
      ['1,3-7,9', [1, 3, 4, 5, 6, 7, 9]],
    ] as const) {
      t.equal(formatIndexes(indexes), text);
      t.same(parseIndexes(text), indexes);
    }
    t.end();
  });
});

await t.test('CronJob', async (t) => {
  const cronJob = (spec: Partial<NonNullable<CronJob['spec']>> = {}, status: CronJob['status'] = {}): CronJob => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'c', namespace: 'default', uid: 'c', creationTimestamp: '2026-01-01T11:58:30Z' },
    spec: { schedule: '* * * * *', jobTemplate: {}, successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 1, ...spec },
    ...(status === undefined ? {} : { status }),
  });
  const plan = (cron: CronJob, jobs: readonly Job[] = []): CronJobPlan =>
    planCronJob({ cronJob: cron, schedule: new Schedule(cron.spec?.schedule ?? '', undefined), jobs, nowMs: NOW_MS });
  const job = (name: string, end?: 'Complete' | 'Failed', startTime = '2026-01-01T11:00:00Z'): Job => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, uid: name },
    status: {
      startTime,
      ...(end === undefined ? {} : { completionTime: startTime, conditions: [{ type: end, status: 'True' }] }),
    },
  });

  await t.test('starts the Job of the last due time, once', (t) => {
    const due = plan(cronJob());
    t.match(due, {
      create: { metadata: { name: `c-${NOW_MS / 60_000}`, ownerReferences: [{ kind: 'CronJob', uid: 'c' }] } },
      status: { lastScheduleTime: '2026-01-01T12:00:00Z' },
    });
    t.equal(due.requeueAfterMs, 60_100);
    t.equal(plan(cronJob({}, { lastScheduleTime: '2026-01-01T12:00:00Z' })).create, undefined);
    t.equal(plan(cronJob({ suspend: true })).create, undefined);
    t.end();
  });

  await t.test('keeps to its policy when the last Job still runs', (t) => {
    const running = { active: [{ uid: 'r', name: 'r' }], lastScheduleTime: '2026-01-01T11:59:00Z' };
    t.not(plan(cronJob({}, running), [job('r')]).create, undefined);
    const forbid = plan(cronJob({ concurrencyPolicy: 'Forbid' }, running), [job('r')]);
    t.equal(forbid.create, undefined);
    t.match(forbid.events, [{ reason: 'JobAlreadyActive' }]);
    const replace = plan(cronJob({ concurrencyPolicy: 'Replace' }, running), [job('r')]);
    t.not(replace.create, undefined);
    t.same(
      replace.remove.map(({ metadata }) => metadata.name),
      ['r'],
    );
    t.end();
  });

  await t.test('does not start what is too late, and says so when it missed much', (t) => {
    const late = plan(
      cronJob({ schedule: '0 11 * * *', startingDeadlineSeconds: 600 }, { lastScheduleTime: '2025-12-31T11:00:00Z' }),
    );
    t.equal(late.create, undefined);
    const missed = plan(cronJob({}, { lastScheduleTime: '2025-12-01T00:00:00Z' }));
    t.match(missed, {
      create: { metadata: { name: `c-${NOW_MS / 60_000}` } },
      events: [{ reason: 'TooManyMissedTimes' }],
    });
    t.end();
  });

  await t.test('notices the end of its Jobs and keeps a few', (t) => {
    const status = {
      active: [
        { uid: 'b', name: 'b' },
        { uid: 'gone', name: 'gone' },
      ],
      lastScheduleTime: '2026-01-01T12:00:00Z',
    };
    const ended = plan(cronJob({}, status), [
      job('a', 'Complete', '2026-01-01T10:00:00Z'),
      job('b', 'Complete'),
      job('f', 'Failed'),
    ]);
    t.match(ended.events, [{ reason: 'SawCompletedJob' }, { reason: 'MissingJob' }]);
    t.same(
      ended.remove.map(({ metadata }) => metadata.name),
      ['a'],
    );
    t.same(ended.status, { lastScheduleTime: '2026-01-01T12:00:00Z', lastSuccessfulTime: '2026-01-01T11:00:00Z' });
    t.end();
  });

  await t.test('reads schedules', (t) => {
    const next = (expression: string, zone?: string): string =>
      new Date(new Schedule(expression, zone).next(NOW_MS) ?? 0).toISOString();
    t.equal(next('*/15 * * * *'), '2026-01-01T12:15:00.000Z');
    t.equal(next('@daily'), '2026-01-02T00:00:00.000Z');
    t.equal(next('0 9 * * MON'), '2026-01-05T09:00:00.000Z');
    t.equal(next('0 0 13 * 5'), '2026-01-02T00:00:00.000Z', 'day of month or day of week');
    t.equal(next('0 9 * * *', 'Asia/Seoul'), '2026-01-02T00:00:00.000Z');
    t.throws(() => new Schedule('nonsense', undefined), ScheduleError);
    t.throws(() => new Schedule('* * * * *', 'Nowhere/City'), ScheduleError);
    t.end();
  });
});

await t.test('PodDisruptionBudget', (t) => {
  const budget = (spec: PodDisruptionBudget['spec'], status?: PodDisruptionBudget['status']): PodDisruptionBudget => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'b', namespace: 'default', generation: 1 },
    ...(spec === undefined ? {} : { spec }),
    ...(status === undefined ? {} : { status }),
  });
  const four = [pod('a'), pod('b'), pod('c'), pod('d', { ready: false })];
  const allowed = (each: PodDisruptionBudget): number | undefined =>
    planDisruption({ budget: each, pods: four, expectedScale: 4, nowMs: NOW_MS, now: formatTime(NOW_MS) }).status
      .disruptionsAllowed;
  t.equal(allowed(budget({ minAvailable: 2 })), 1);
  t.equal(allowed(budget({ minAvailable: 3 })), 0);
  t.equal(allowed(budget({ minAvailable: '50%' })), 1);
  t.equal(allowed(budget({ maxUnavailable: 1 })), 0);
  t.equal(allowed(budget({ maxUnavailable: 2 })), 1);
  t.equal(
    planDisruption({
      budget: budget({ maxUnavailable: 2 }),
      pods: four,
      expectedScale: undefined,
      nowMs: NOW_MS,
      now: formatTime(NOW_MS),
    }).status.disruptionsAllowed,
    0,
    'nothing, when the scale is not known',
  );
  const status = {
    currentHealthy: 0,
    desiredHealthy: 0,
    disruptionsAllowed: 0,
    expectedPods: 0,
    disruptedPods: { a: formatTime(NOW_MS - 60_000), gone: formatTime(NOW_MS), b: formatTime(NOW_MS - 130_000) },
  };
  const plan = planDisruption({
    budget: budget({ minAvailable: 1 }, status),
    pods: four,
    expectedScale: 4,
    nowMs: NOW_MS,
    now: formatTime(NOW_MS),
  });
  t.match(plan, { requeueAfterMs: 60_000, status: { currentHealthy: 2, disruptionsAllowed: 1 } });
  t.same(Object.keys(plan.status.disruptedPods ?? {}), ['a'], 'granted, not yet seen');
  t.end();
});

await t.test('finished Jobs and aggregated roles', (t) => {
  const finished: Job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'j' },
    spec: { template: {}, ttlSecondsAfterFinished: 10 },
    status: { conditions: [{ type: 'Complete', status: 'True', lastTransitionTime: formatTime(NOW_MS - 4000) }] },
  };
  t.equal(ttlLeftMs(finished, NOW_MS), 6000);
  t.equal(ttlLeftMs({ ...finished, status: {} }, NOW_MS), undefined);
  const role = (name: string, labels: Record<string, string>, resource: string): ClusterRole => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name, labels },
    rules: [{ apiGroups: [''], resources: [resource], verbs: ['get'] }],
  });
  const aggregated: ClusterRole = {
    ...role('all', { agg: 'yes' }, 'x'),
    rules: [],
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { agg: 'yes' } }] },
  };
  const all = [
    aggregated,
    role('b', { agg: 'yes' }, 'pods'),
    role('a', { agg: 'yes' }, 'nodes'),
    role('c', { agg: 'yes' }, 'pods'),
    role('d', {}, 'secrets'),
  ];
  const rules = planRules(aggregated, all) ?? [];
  t.same(
    rules.map(({ resources }) => resources),
    [['nodes'], ['pods']],
  );
  t.equal(planRules({ ...aggregated, rules }, all), undefined);
  t.equal(planRules(role('plain', {}, 'x'), all), undefined);
  t.end();
});
