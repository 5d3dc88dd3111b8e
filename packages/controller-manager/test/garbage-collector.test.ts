import t from 'tap';
import {
  deployments,
  newControllerRef,
  pods,
  replicaSets,
  type ObjectMeta,
  type OwnerReference,
  type Resource,
} from '@naru/api';
import {
  blockingDependents,
  ObjectGraph,
  type GraphChanges,
  type GraphNode,
} from '../src/garbage-collector/graph-plan.ts';
import { planDependent, type OwnerState } from '../src/garbage-collector/plan.ts';

function owner(uid: string, blockOwnerDeletion = false): OwnerReference {
  return { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: uid, uid, blockOwnerDeletion };
}

function observe(
  graph: ObjectGraph,
  uid: string,
  metadata: ObjectMeta = {},
  resource: Resource = pods,
): { del: string[]; orphan: string[] } {
  return names(graph.observe({ resource, metadata: { name: uid, namespace: 'default', uid, ...metadata } }));
}

const names = ({ attemptToDelete, attemptToOrphan }: GraphChanges): { del: string[]; orphan: string[] } => ({
  del: attemptToDelete.map(({ uid }) => uid).sort(),
  orphan: attemptToOrphan.map(({ uid }) => uid).sort(),
});
const nothing = { del: [], orphan: [] };
const deletionTimestamp = '2026-01-01T00:00:00Z';

await t.test('the graph', async (t) => {
  await t.test('asks for owners that were never seen, whatever the order', (t) => {
    const graph = new ObjectGraph();
    t.same(observe(graph, 'pod', { ownerReferences: [owner('rs')] }), { del: ['rs'], orphan: [] });
    t.match(graph.get('rs'), {
      virtual: true,
      kind: 'ReplicaSet',
      apiVersion: 'apps/v1',
      namespace: 'default',
      name: 'rs',
    });
    t.same(observe(graph, 'rs', {}, replicaSets), nothing);
    t.equal(graph.get('rs')?.virtual, false);
    t.equal(graph.get('rs')?.dependents.size, 1, 'its dependents are known');
    t.end();
  });

  await t.test('gives the dependents of what is gone', (t) => {
    const graph = new ObjectGraph();
    observe(graph, 'rs', {}, replicaSets);
    observe(graph, 'a', { ownerReferences: [owner('rs')] });
    observe(graph, 'b', { ownerReferences: [owner('rs')] });
    t.same(names(graph.remove('rs')), { del: ['a', 'b'], orphan: [] });
    t.same(names(graph.remove('rs')), nothing);
    t.end();
  });

  await t.test('follows owner references as they change, and forgets virtual owners', (t) => {
    const graph = new ObjectGraph();
    observe(graph, 'a', { ownerReferences: [owner('x'), owner('y')] });
    observe(graph, 'a', { ownerReferences: [owner('y')] });
    t.equal(graph.get('x'), undefined);
    t.equal(graph.get('y')?.dependents.size, 1);
    graph.remove('a');
    t.equal(graph.size, 0);
    t.end();
  });

  await t.test('foreground: dependents first, then the owner', (t) => {
    const graph = new ObjectGraph();
    observe(graph, 'rs', {}, replicaSets);
    observe(graph, 'a', { ownerReferences: [owner('rs', true)] });
    observe(graph, 'b', { ownerReferences: [owner('rs')] });
    const going = { deletionTimestamp, finalizers: ['foregroundDeletion'] };
    t.same(observe(graph, 'rs', going, replicaSets), { del: ['a', 'b', 'rs'], orphan: [] });
    t.same(observe(graph, 'rs', going, replicaSets), nothing, 'once');
    const node = graph.get('rs');
    t.same(node === undefined ? [] : blockingDependents(node).map(({ uid }) => uid), ['a']);
    t.same(
      observe(graph, 'c', { ownerReferences: [owner('rs', true)] }),
      { del: ['c'], orphan: [] },
      'a late one goes too',
    );
    t.same(observe(graph, 'c', { ownerReferences: [owner('rs')] }), { del: ['rs'], orphan: [] }, 'it blocks no more');
    t.same(names(graph.remove('a')), { del: ['rs'], orphan: [] });
    t.end();
  });

  await t.test('orphan: once', (t) => {
    const graph = new ObjectGraph();
    observe(graph, 'rs', { finalizers: ['orphan'] }, replicaSets);
    const going = { deletionTimestamp, finalizers: ['orphan'] };
    t.same(observe(graph, 'rs', going, replicaSets), { del: [], orphan: ['rs'] });
    t.same(observe(graph, 'rs', going, replicaSets), nothing);
    t.end();
  });
});

await t.test('what becomes of a dependent', (t) => {
  const node = (dependents: readonly Partial<GraphNode>[] = []): GraphNode =>
    ({ uid: 'a', dependents: new Set(dependents) }) as unknown as GraphNode;
  const states = (states: Record<string, OwnerState>): ReadonlyMap<string, OwnerState> =>
    new Map(Object.entries(states));
  const [x, y] = [owner('x', true), owner('y')];
  t.same(planDependent(node(), {}, states({})), { type: 'keep' });
  t.same(planDependent(node(), { ownerReferences: [x] }, states({ x: 'solid' })), { type: 'keep' });
  t.same(
    planDependent(node(), { ownerReferences: [x, y] }, states({ x: 'dangling', y: 'solid' })),
    { type: 'dropOwners', ownerReferences: [y] },
    'another owner is left',
  );
  const background = { type: 'delete', propagationPolicy: 'Background', unblock: undefined };
  t.same(planDependent(node(), { ownerReferences: [x, y] }, states({ x: 'dangling', y: 'dangling' })), background);
  t.same(
    planDependent(node(), { ownerReferences: [x] }, states({ x: 'waiting' })),
    background,
    'nothing depends on it',
  );
  t.match(planDependent(node(), { ownerReferences: [x], finalizers: ['orphan'] }, states({ x: 'dangling' })), {
    propagationPolicy: 'Orphan',
  });
  t.match(
    planDependent(node([{ deletingDependents: false }]), { ownerReferences: [x] }, states({ x: 'waiting' })),
    { propagationPolicy: 'Foreground', unblock: undefined },
    'its own dependents go before it',
  );
  t.match(
    planDependent(node([{ deletingDependents: true }]), { ownerReferences: [x] }, states({ x: 'waiting' })),
    { propagationPolicy: 'Foreground', unblock: [{ uid: 'x', blockOwnerDeletion: false }] },
    'a circle is broken',
  );
  t.end();
});

await t.test('references name their owner', (t) => {
  t.match(newControllerRef({ metadata: { name: 'd', uid: 'u' } }, deployments), {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    name: 'd',
    uid: 'u',
  });
  t.end();
});
