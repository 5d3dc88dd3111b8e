import fc from 'fast-check';
import t from 'tap';
import { findCondition, formatTime, type Deployment, type ReplicaSet } from '@naru/api';
import { planDeployment, type DeploymentPlan } from '../src/deployment/plan.ts';
import { equalIgnoreHash, templateHash } from '../src/deployment/revision-plan.ts';
import { planScaling } from '../src/deployment/scaling-plan.ts';

type Spec = NonNullable<Deployment['spec']>;

const START_MS = Date.UTC(2026, 0, 1);

function template(image: string): Spec['template'] {
  return { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image }] } };
}

function deployment(spec: Partial<Spec> = {}): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1 },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: 'web' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 10,
      template: template('v1'),
      ...spec,
    },
  };
}

/** A cluster of one Deployment: applies plans, and plays the ReplicaSet controller and the kubelets. */
class World {
  deployment: Deployment;
  replicaSets: ReplicaSet[] = [];
  nowMs = START_MS;
  readonly events: string[] = [];
  readonly withRunningPods = new Set<string>();
  #uid = 0;

  constructor(spec: Partial<Spec> = {}) {
    this.deployment = deployment(spec);
  }

  change(spec: Partial<Spec>): void {
    const { metadata, spec: present } = this.deployment;
    this.deployment = {
      ...this.deployment,
      metadata: { ...metadata, generation: (metadata.generation ?? 0) + 1 },
      spec: { ...(present as Spec), ...spec },
    };
  }

  sync(): DeploymentPlan {
    const { nowMs, withRunningPods } = this;
    const now = formatTime(nowMs);
    const plan = planDeployment({
      deployment: this.deployment,
      replicaSets: this.replicaSets,
      withRunningPods,
      nowMs,
      now,
    });
    if (plan.create !== undefined) {
      const metadata = { ...plan.create.metadata, uid: `rs${this.#uid++}`, creationTimestamp: now };
      this.replicaSets.push({ ...plan.create, metadata });
    }
    for (const updated of plan.update)
      this.replicaSets = this.replicaSets.map((each) => (each.metadata.uid === updated.metadata.uid ? updated : each));
    this.replicaSets = this.replicaSets.filter(
      (each) => !plan.remove.some(({ metadata }) => metadata.uid === each.metadata.uid),
    );
    this.events.push(...plan.events.map(({ message }) => message));
    const { metadata } = this.deployment;
    if (plan.revision !== undefined) {
      const annotations = { ...metadata.annotations, 'deployment.kubernetes.io/revision': plan.revision };
      this.deployment = { ...this.deployment, metadata: { ...metadata, annotations } };
    }
    if (plan.status !== undefined) this.deployment = { ...this.deployment, status: plan.status };
    this.nowMs += 1000;
    return plan;
  }

  /** Creates and deletes pods as asked; of each ReplicaSet at most `ready` pods are available afterwards. */
  run(ready: (replicaSet: ReplicaSet) => number = () => Infinity): void {
    this.replicaSets = this.replicaSets.map((each) => {
      const replicas = each.spec?.replicas ?? 0;
      const availableReplicas = Math.min(replicas, ready(each));
      const status = { replicas, readyReplicas: availableReplicas, availableReplicas, observedGeneration: 1 };
      return { ...each, status };
    });
  }

  /** Syncs until nothing more is to be written; returns the number of syncs. */
  settle(ready?: (replicaSet: ReplicaSet) => number): number {
    for (let i = 1; i < 100; i++) {
      this.run(ready);
      const plan = this.sync();
      if (
        plan.create === undefined &&
        plan.update.length === 0 &&
        plan.remove.length === 0 &&
        plan.status === undefined
      )
        return i;
    }
    throw new Error('the deployment never settles');
  }

  get sizes(): Record<string, number> {
    return Object.fromEntries(
      this.replicaSets.map(({ spec }) => [spec?.template?.spec?.containers[0]?.image ?? '', spec?.replicas ?? 0]),
    );
  }

  revisionOf(image: string): string | undefined {
    return this.replicaSets.find(({ spec }) => spec?.template?.spec?.containers[0]?.image === image)?.metadata
      .annotations?.['deployment.kubernetes.io/revision'];
  }

  progressing(): { status?: string; reason?: string; message?: string } | undefined {
    return findCondition(this.deployment.status?.conditions, 'Progressing');
  }
}

await t.test('a new Deployment gets one ReplicaSet of its full size, and is complete when its pods are', (t) => {
  const world = new World();
  const plan = world.sync();
  t.match(plan.create, {
    metadata: {
      name: /^web-[bcdfghjklmnpqrstvwxz2456789]+$/u,
      namespace: 'default',
      annotations: {
        'deployment.kubernetes.io/revision': '1',
        'deployment.kubernetes.io/desired-replicas': '3',
        'deployment.kubernetes.io/max-replicas': '4',
      },
      ownerReferences: [{ kind: 'Deployment', name: 'web', uid: 'd', controller: true, blockOwnerDeletion: true }],
    },
    spec: { replicas: 3 },
  });
  const hash = plan.create?.metadata.labels?.['pod-template-hash'];
  t.equal(plan.create?.metadata.name, `web-${hash}`);
  t.match(plan.create?.spec?.selector?.matchLabels, { app: 'web', 'pod-template-hash': hash });
  t.match(plan.create?.spec?.template?.metadata?.labels, { app: 'web', 'pod-template-hash': hash });
  t.same(world.events, [`Scaled up replica set web-${hash} from 0 to 3`]);
  t.match(world.progressing(), { status: 'True', reason: 'NewReplicaSetCreated' });
  t.match(findCondition(world.deployment.status?.conditions, 'Available'), {
    status: 'False',
    reason: 'MinimumReplicasUnavailable',
  });
  world.run();
  world.settle();
  t.match(world.progressing(), {
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    message: `ReplicaSet "web-${hash}" has successfully progressed.`,
  });
  t.match(world.deployment.status, { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 });
  t.notOk('unavailableReplicas' in (world.deployment.status ?? {}), 'counts that are zero are left out');
  t.equal(world.deployment.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
  t.end();
});

await t.test('a change of the template is rolled out step by step, and back under a new revision', (t) => {
  const world = new World({
    replicas: 4,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
  });
  world.settle();
  world.change({ template: template('v2') });
  world.sync();
  t.same(world.sizes, { v1: 3, v2: 1 }, 'one more, one less');
  world.sync();
  t.same(world.sizes, { v1: 3, v2: 2 });
  world.sync();
  t.same(world.sizes, { v1: 3, v2: 2 }, 'new pods are not available yet: no old one goes');
  world.settle();
  t.same(world.sizes, { v1: 0, v2: 4 });
  t.equal(world.revisionOf('v2'), '2');
  world.change({ template: template('v1') });
  world.settle();
  t.same(world.sizes, { v1: 4, v2: 0 });
  t.equal(world.revisionOf('v1'), '3');
  t.equal(
    world.replicaSets[0]?.metadata.annotations?.['deployment.kubernetes.io/revision-history'],
    '1',
    'what it was before is noted',
  );
  t.equal(world.deployment.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
  t.end();
});

await t.test('a revision has 64 bits', (t) => {
  const REVISION = 'deployment.kubernetes.io/revision';
  const world = new World();
  const withRevision = (revision: string): void => {
    world.replicaSets = world.replicaSets.map((each) => ({
      ...each,
      metadata: { ...each.metadata, annotations: { ...each.metadata.annotations, [REVISION]: revision } },
    }));
  };
  world.settle();
  withRevision('3546343826724305832');
  world.change({ template: template('v2') });
  world.settle();
  t.equal(world.revisionOf('v2'), '3546343826724305833');
  t.equal(world.deployment.metadata.annotations?.[REVISION], '3546343826724305833');
  for (const nonsense of ['9223372036854775808', '1.5', 'x']) {
    withRevision(nonsense);
    world.change({ template: template(nonsense) });
    world.settle();
    t.equal(world.revisionOf(nonsense), '1', 'what is no such number counts as none');
  }
  t.end();
});

await t.test('a rollout keeps its limits at every step, whatever the pods do, and ends', (t) => {
  const limit = fc.oneof(
    fc.integer({ min: 0, max: 4 }),
    fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      limit,
      limit,
      fc.array(fc.array(fc.nat({ max: 12 }), { minLength: 3, maxLength: 3 }), { maxLength: 20 }),
      (replicas, maxSurge, maxUnavailable, chaos) => {
        const resolve = (value: number | string, up: boolean): number => {
          if (typeof value === 'number') return value;
          const scaled = (Number.parseInt(value, 10) * replicas) / 100;
          return up ? Math.ceil(scaled) : Math.floor(scaled);
        };
        const surge = resolve(maxSurge, true);
        const given = resolve(maxUnavailable, false);
        const unavailable = surge === 0 && given === 0 ? 1 : given;
        const world = new World({
          replicas,
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
        });
        world.settle();
        const total = (): number => Object.values(world.sizes).reduce((a, b) => a + b, 0);
        const available = (): number =>
          world.replicaSets.reduce(
            (sum, { status, spec }) => sum + Math.min(status?.availableReplicas ?? 0, spec?.replicas ?? 0),
            0,
          );
        world.change({ template: template('v2') });
        for (const [i, ready] of chaos.entries()) {
          if (i === 10) world.change({ template: template('v3') });
          const before = available();
          world.sync();
          if (total() > replicas + surge) return false;
          // Pods may become unavailable by themselves; the rollout itself must not go below the limit.
          if (available() < Math.min(before, replicas - unavailable)) return false;
          world.run((each) => ready[world.replicaSets.indexOf(each) % 3] ?? 0);
        }
        world.settle();
        const last = world.deployment.spec?.template?.spec?.containers[0]?.image ?? '';
        return (
          world.sizes[last] === replicas &&
          total() === replicas &&
          world.progressing()?.reason === 'NewReplicaSetAvailable'
        );
      },
    ),
    { numRuns: 200 },
  );
  t.pass();
  t.end();
});

await t.test('unhealthy old pods go first: a broken rollout can be replaced', (t) => {
  const world = new World({
    replicas: 10,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
  });
  world.settle();
  world.change({ template: template('broken') });
  const broken = (each: ReplicaSet): number => (each.spec?.template?.spec?.containers[0]?.image === 'broken' ? 0 : 10);
  world.settle(broken);
  t.same(world.sizes, { v1: 8, broken: 5 });
  world.change({ template: template('v3') });
  world.settle(broken);
  t.same(world.sizes, { v1: 0, broken: 0, v3: 10 });
  t.end();
});

await t.test('a rollout without progress exceeds its deadline', (t) => {
  const world = new World({ progressDeadlineSeconds: 60 });
  world.sync();
  world.run(() => 0);
  world.settle(() => 0);
  const { requeueAfterMs = 0 } = world.sync();
  t.ok(requeueAfterMs > 50_000 && requeueAfterMs <= 61_000, `looks again in ${requeueAfterMs} ms`);
  world.nowMs += requeueAfterMs;
  t.equal(world.sync().requeueAfterMs, undefined);
  t.match(world.progressing(), {
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
    message: /ReplicaSet "web-\w+" has timed out progressing\./u,
  });
  world.settle();
  t.match(world.progressing(), { status: 'True', reason: 'NewReplicaSetAvailable' });
  t.end();
});

await t.test('Recreate waits until the last old pod has ended', (t) => {
  const world = new World({ strategy: { type: 'Recreate' } });
  world.settle();
  world.change({ template: template('v2') });
  world.withRunningPods.add(world.replicaSets[0]?.metadata.uid ?? '');
  world.settle();
  t.same(world.sizes, { v1: 0 });
  world.withRunningPods.clear();
  world.settle();
  t.same(world.sizes, { v1: 0, v2: 3 });
  t.end();
});

await t.test('a paused Deployment is scaled but not rolled out', (t) => {
  const world = new World();
  world.settle();
  world.change({ paused: true, template: template('v2'), replicas: 5 });
  world.settle();
  t.same(world.sizes, { v1: 5 });
  t.match(world.progressing(), { status: 'Unknown', reason: 'DeploymentPaused' });
  world.change({ paused: false });
  const { requeueAfterMs } = world.sync();
  t.not(requeueAfterMs, undefined, 'the deadline counts again');
  world.settle();
  t.same(world.sizes, { v1: 0, v2: 5 });
  t.end();
});

await t.test('scaling in the middle of a rollout is spread in proportion', (t) => {
  const sized = (image: string, replicas: number): ReplicaSet => ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: image,
      creationTimestamp: image === 'v1' ? '2026-01-01T00:00:00Z' : '2026-01-01T00:00:01Z',
      annotations: { 'deployment.kubernetes.io/desired-replicas': '10', 'deployment.kubernetes.io/max-replicas': '13' },
    },
    spec: { replicas, selector: {}, template: template(image) },
  });
  const plan = (replicas: number, v2: number, v1: number): Record<string, number> =>
    Object.fromEntries(
      planScaling(
        deployment({
          replicas,
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
        }),
        sized('v2', v2),
        [sized('v1', v1)],
      ).map(({ replicaSet, size }) => [replicaSet.metadata.name ?? '', size]),
    );
  // The example of the Deployment documentation: 10 to 15 with 8 old and 5 new pods.
  t.same(plan(15, 5, 8), { v1: 11, v2: 7 });
  t.same(plan(5, 5, 8), { v1: 5, v2: 3 });
  t.same(plan(0, 5, 8), { v1: 0, v2: 0 });
  t.same(plan(15, 0, 8), { v1: 15 }, 'the only active one takes all');
  t.end();
});

await t.test('old revisions beyond the limit are removed once they are empty', (t) => {
  const world = new World({ revisionHistoryLimit: 1 });
  world.settle();
  for (const image of ['v2', 'v3', 'v4']) {
    world.change({ template: template(image) });
    world.settle();
  }
  t.same(world.sizes, { v3: 0, v4: 3 });
  t.end();
});

await t.test('a complete Deployment stays complete while a pod restarts, and writes only counts', (t) => {
  const world = new World();
  world.settle();
  const before = world.progressing();
  world.run(() => 1);
  world.sync();
  t.match(world.deployment.status, { availableReplicas: 1, unavailableReplicas: 2 });
  t.match(findCondition(world.deployment.status?.conditions, 'Available'), { status: 'False' });
  t.same(world.progressing(), before);
  t.equal(world.sync().status, undefined, 'nothing is written twice');
  t.end();
});

await t.test('a ReplicaSet that cannot create pods is told of', (t) => {
  const world = new World();
  world.sync();
  const failing = { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota' };
  world.replicaSets = world.replicaSets.map((each) => ({ ...each, status: { replicas: 0, conditions: [failing] } }));
  world.sync();
  t.match(findCondition(world.deployment.status?.conditions, 'ReplicaFailure'), {
    status: 'True',
    reason: 'FailedCreate',
    message: 'quota',
  });
  world.run();
  world.sync();
  t.equal(findCondition(world.deployment.status?.conditions, 'ReplicaFailure'), undefined);
  t.end();
});

await t.test('templates are compared as the API means them', (t) => {
  const one = template('v1');
  const other = { spec: { containers: [{ image: 'v1', name: 'c', env: [] }] }, metadata: { labels: { app: 'web' } } };
  t.ok(equalIgnoreHash(one, other), 'order and empty lists do not matter');
  t.ok(equalIgnoreHash(one, { ...one, metadata: { labels: { app: 'web', 'pod-template-hash': 'x' } } }));
  t.notOk(equalIgnoreHash(one, template('v2')));
  t.equal(templateHash(one, undefined), templateHash(other, undefined));
  t.not(templateHash(one, undefined), templateHash(one, 1), 'a collision changes the hash');
  t.not(templateHash(one, undefined), templateHash(template('v2'), undefined));
  t.end();
});
