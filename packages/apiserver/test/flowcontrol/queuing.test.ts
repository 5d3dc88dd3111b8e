import type { FlowSchema } from '@naru/api';
import fc from 'fast-check';
import t from 'tap';
import {
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from '../../src/flowcontrol/bootstrap-configuration-data.ts';
import {
  currentLimits,
  nominalLimits,
  seatsMaxOf,
  smoothDemand,
} from '../../src/flowcontrol/queuing/concurrency-limits.ts';
import { FlowClassifier } from '../../src/flowcontrol/queuing/flow-classifier.ts';
import { newTicket, QueueSet, type Ticket } from '../../src/flowcontrol/queuing/queue-set.ts';
import { dealHand, requiredEntropyBits } from '../../src/flowcontrol/queuing/shuffle-sharding.ts';
import { estimateSeats } from '../../src/flowcontrol/queuing/work-estimate.ts';
import { requestInfoOf } from '../../src/server/request-info.ts';

const levels = [...mandatoryPriorityLevels, ...suggestedPriorityLevels];
const classifier = new FlowClassifier([...suggestedFlowSchemas, ...mandatoryFlowSchemas]);

void t.test('requests of a cluster find the FlowSchemas that upstream gives them', async (t) => {
  const none = new URLSearchParams();
  const schemaOf = (user: string, groups: readonly string[], method: string, path: string): string | undefined =>
    classifier.classify({ name: user, groups }, requestInfoOf(method, path, none))?.schema.metadata.name;
  const authenticated = 'system:authenticated';
  const nodes = ['system:nodes', authenticated];
  const accounts = ['system:serviceaccounts', 'system:serviceaccounts:kube-system', authenticated];
  const gc = 'system:serviceaccount:kube-system:generic-garbage-collector';
  const manager = 'system:kube-controller-manager';
  const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x';
  for (const [expected, user, groups, method, path] of [
    ['exempt', 'admin', ['system:masters', authenticated], 'GET', '/api/v1/pods'],
    ['probes', 'system:anonymous', ['system:unauthenticated'], 'GET', '/readyz'],
    ['global-default', 'system:anonymous', ['system:unauthenticated'], 'GET', '/version'],
    ['system-node-high', 'system:node:a', nodes, 'PATCH', '/api/v1/nodes/a/status'],
    [
      'system-node-high',
      'system:node:a',
      nodes,
      'PUT',
      '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a',
    ],
    ['system-nodes', 'system:node:a', nodes, 'GET', '/api/v1/pods'],
    ['system-leader-election', manager, [authenticated], 'PUT', lease],
    ['kube-controller-manager', manager, [authenticated], 'PATCH', lease],
    ['endpoint-controller', manager, [authenticated], 'PUT', '/api/v1/namespaces/a/endpoints/x'],
    ['kube-scheduler', 'system:kube-scheduler', [authenticated], 'POST', '/api/v1/namespaces/a/pods/x/binding'],
    ['system-leader-election', gc, accounts, 'GET', lease],
    ['kube-system-service-accounts', gc, accounts, 'GET', '/api'],
    ['service-accounts', 'system:serviceaccount:a:b', ['system:serviceaccounts', authenticated], 'GET', '/api/v1/pods'],
    ['global-default', 'joe', [authenticated], 'GET', '/api/v1/pods'],
    [undefined, 'nobody', [], 'GET', '/api/v1/pods'],
  ] as const)
    t.equal(schemaOf(user, groups, method, path), expected, `${user} ${method} ${path}`);
  t.equal(schemaOf('joe', ['system:masters'], 'GET', '/api/v1/pods'), 'exempt', 'with other groups, another user');
});

void t.test('FlowSchemas match by precedence, then by name, subject and rule', async (t) => {
  const schema = (name: string, matchingPrecedence: number, rules: object): FlowSchema => ({
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'FlowSchema',
    metadata: { name },
    spec: {
      matchingPrecedence,
      priorityLevelConfiguration: { name: 'x' },
      rules: [{ subjects: [{ kind: 'User', user: { name: 'joe' } }], ...rules }],
    },
  });
  const read = { verbs: ['get'], apiGroups: ['apps'], resources: ['deployments/scale'], namespaces: ['a'] };
  const others = new FlowClassifier([
    schema('z', 5, { resourceRules: [read] }),
    schema('b', 7, { nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/metrics', '/debug/*'] }] }),
    schema('a', 7, { nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['/debug/pprof'] }] }),
    schema('c', 9, { resourceRules: [{ ...read, resources: ['*'], clusterScope: true, namespaces: [] }] }),
  ]);
  const match = (path: string, method = 'GET', user = 'joe'): string =>
    others.classify({ name: user, groups: [] }, requestInfoOf(method, path, new URLSearchParams()))?.schema.metadata
      .name ?? '';
  t.equal(match('/apis/apps/v1/namespaces/a/deployments/x/scale'), 'z');
  t.equal(match('/apis/apps/v1/namespaces/a/deployments/x'), '', 'a subresource is named with its resource');
  t.equal(match('/apis/apps/v1/namespaces/b/deployments/x/scale'), '');
  t.equal(match('/apis/apps/v1/namespaces/a/deployments/x/scale', 'PUT'), '');
  t.equal(match('/apis/apps/v1/namespaces/a/deployments/x/scale', 'GET', 'jim'), '');
  t.equal(match('/apis/apps/v1/x/y'), 'c', 'of the cluster');
  t.equal(match('/debug/pprof'), 'a', 'of two with one precedence, the name decides');
  t.equal(match('/debug/x'), 'b');
  t.equal(match('/debug'), '');
  t.equal(match('/metrics'), 'b');
});

void t.test('seats are shared nominally by upstream figures', async (t) => {
  const limits = nominalLimits(levels, 600);
  const figures = Object.fromEntries([...limits].map(([name, { nominal, min }]) => [name, [nominal, min]]));
  t.same(figures, {
    'catch-all': [13, 13],
    exempt: [0, 0],
    system: [74, 50],
    'node-high': [98, 73],
    'leader-election': [25, 25],
    'workload-high': [98, 49],
    'workload-low': [245, 24],
    'global-default': [49, 24],
  });
  t.equal(seatsMaxOf(49, 6), 8);
  t.equal(seatsMaxOf(245, 6), 37);
  t.equal(seatsMaxOf(1, 6), 1);
});

void t.test('levels in need borrow what others lend, and give it back', async (t) => {
  const limits = nominalLimits(levels, 600);
  const names = [...limits.keys()].filter((name) => name !== 'exempt');
  const given = (demand: Readonly<Record<string, number>>): Record<string, number> => {
    const all = names.map((name) => ({
      limits: limits.get(name) ?? { nominal: 0, min: 0, max: 0, initial: 0 },
      smoothed: demand[name] ?? 0,
      high: demand[name] ?? 0,
    }));
    return Object.fromEntries(currentLimits(all, 600).map((each, i) => [names[i], each]));
  };
  const busy = given({ 'global-default': 1000 });
  t.ok((busy['global-default'] ?? 0) > 300, `one busy level gets what others lend: ${busy['global-default']}`);
  t.ok((busy['workload-low'] ?? 0) >= 24);
  const both = given({ 'global-default': 1000, 'workload-low': 1000 });
  t.ok((both['workload-low'] ?? 0) >= 245, 'nobody takes what its owner needs');
  t.ok((both['global-default'] ?? 0) >= 49);
  t.equal(smoothDemand(0, { average: 5, deviation: 2, high: 9 }), 7, 'demand rises at once');
  t.ok(smoothDemand(100, { average: 0, deviation: 0, high: 0 }) > 97, 'and falls slowly');
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 7, maxLength: 7 }), (demands) => {
      const result = given(Object.fromEntries(names.map((name, i) => [name, demands[i] ?? 0])));
      for (const name of names) {
        const { min = 0, max = 0 } = limits.get(name) ?? {};
        if ((result[name] ?? 0) < min || (result[name] ?? 0) > max) return false;
      }
      const sum = Object.values(result).reduce((total, each) => total + each, 0);
      return Math.abs(sum - 600) <= names.length + 2;
    }),
  );
});

void t.test('a flow is dealt a hand of different queues, evenly', async (t) => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 8 }),
      (hash, deck, size) => {
        const handSize = Math.min(deck, size);
        const hand = dealHand(hash, deck, handSize);
        return (
          hand.length === handSize && new Set(hand).size === handSize && hand.every((each) => each >= 0 && each < deck)
        );
      },
    ),
  );
  // Every ordered hand of 3 of 5 comes once for the hashes below 5·4·3.
  const hands = new Set(Array.from({ length: 60 }, (_, hash) => dealHand(BigInt(hash), 5, 3).join()));
  t.equal(hands.size, 60);
  t.equal(requiredEntropyBits(128, 6), 42);
});

void t.test('lists take seats by what they have to show', async (t) => {
  const seats = (path: string, count: number | undefined, seatsMax = 10): number => {
    const [at = '', query = ''] = path.split('?');
    const params = new URLSearchParams(query);
    return estimateSeats(requestInfoOf('GET', at, params), params, () => count, seatsMax);
  };
  t.equal(seats('/api/v1/pods', 0), 1);
  t.equal(seats('/api/v1/pods', 101), 2);
  t.equal(seats('/api/v1/pods', 100_000), 10);
  t.equal(seats('/api/v1/pods', 100_000, 4), 4);
  t.equal(seats('/api/v1/pods', undefined), 1);
  t.equal(seats('/api/v1/pods?limit=500', 100_000), 5);
  t.equal(seats('/api/v1/pods?fieldSelector=metadata.name%3Dx', 1000), 1);
  t.equal(seats('/api/v1/namespaces/a/pods/x', 1000), 1);
  t.equal(seats('/api/v1/pods?watch=1', 1000), 1);
  t.equal(seats('/api/v1/pods?watch=1&sendInitialEvents=true', 1000), 10);
});

void t.test('a level queues, refuses and forgets', async (t) => {
  const set = new QueueSet(2, { queueLengthLimit: 1 }, 0);
  const [a, b, c, d] = [newTicket(1, [0]), newTicket(1, [0]), newTicket(1, [0]), newTicket(1, [0])];
  t.same(
    [a, b, c].map((each) => set.arrive(each, 0)),
    [undefined, undefined, undefined],
  );
  t.same([a.state, b.state, c.state], ['executing', 'executing', 'waiting']);
  t.equal(set.arrive(d, 1), 'queue-full');
  const e = newTicket(1, [0, 1]);
  t.equal(set.arrive(e, 1), undefined, 'another queue of its hand has room');
  set.abandon(c, 2);
  t.equal(c.state, 'over');
  set.finish(a, 3);
  set.finish(a, 3);
  t.equal(e.state, 'executing');
  t.equal(set.seatsInUse, 2, 'ending twice is ending once');
  set.finish(b, 4);
  set.finish(e, 5);
  t.same([set.seatsInUse, set.waiting, set.executing, set.activeQueues], [0, 0, 0, 0]);
  const wide = newTicket(10, [0]);
  set.arrive(wide, 6);
  t.equal(wide.state, 'executing', 'one that is too wide gets all');
  const narrow = newTicket(1, [1]);
  set.arrive(narrow, 6);
  t.equal(narrow.state, 'waiting');
  set.configure(100, { queueLengthLimit: 1 }, 7);
  t.equal(narrow.state, 'executing', 'a higher limit counts at once');
  const rejecting = new QueueSet(1, undefined, 0);
  t.equal(rejecting.arrive(newTicket(1, [0]), 0), undefined);
  t.equal(rejecting.arrive(newTicket(1, [0]), 0), 'concurrency-limit');
});

/** Flows that always have `backlog` requests waiting, each lasting `serviceMs`; answers how many of each were served. */
function serve(
  limit: number,
  flows: readonly { readonly seats: number; readonly serviceMs: number; readonly backlog: number }[],
  lastMs: number,
): number[] {
  const set = new QueueSet(limit, { queueLengthLimit: 1000 }, 0);
  const served = flows.map(() => 0);
  const executing = new Map<Ticket, { readonly flow: number; readonly endMs: number }>();
  let now = 0;
  const send = (flow: number): void => {
    const { seats = 1, serviceMs = 1 } = flows[flow] ?? {};
    const ticket = newTicket(seats, [flow]);
    const begin = (): void => void executing.set(ticket, { flow, endMs: now + serviceMs });
    ticket.start = begin;
    set.arrive(ticket, now);
    if (ticket.state === 'executing' && !executing.has(ticket)) begin();
  };
  for (const [flow, { backlog }] of flows.entries()) for (let i = 0; i < backlog; i++) send(flow);
  while (now < lastMs && executing.size > 0) {
    const [ticket, { flow, endMs }] = [...executing].reduce((a, b) => (b[1].endMs < a[1].endMs ? b : a));
    now = endMs;
    executing.delete(ticket);
    served[flow] = (served[flow] ?? 0) + 1;
    set.finish(ticket, now);
    send(flow);
  }
  return served;
}

void t.test('flows that want more than there is get the same of it', async (t) => {
  const one = { seats: 1, serviceMs: 10, backlog: 20 };
  const [greedy = 0, modest = 0] = serve(
    4,
    [
      { ...one, backlog: 500 },
      { ...one, backlog: 8 },
    ],
    20_000,
  );
  t.ok(Math.abs(greedy - modest) < 0.1 * greedy, `${greedy} and ${modest}`);
  const [slow = 0, fast = 0] = serve(4, [{ ...one, serviceMs: 40 }, one], 40_000);
  t.ok(Math.abs(slow * 4 - fast) < 0.2 * fast, `time counts, not requests: ${slow} and ${fast}`);
  const [wide = 0, narrow = 0] = serve(4, [{ ...one, seats: 2 }, one], 20_000);
  t.ok(Math.abs(wide * 2 - narrow) < 0.2 * narrow, `seats count: ${wide} and ${narrow}`);
});

void t.test('whatever comes and goes, seats are never overdrawn, nor left free while somebody fits', async () => {
  const step = fc.record({
    kind: fc.constantFrom(
      'arrive' as const,
      'arrive' as const,
      'finish' as const,
      'abandon' as const,
      'limit' as const,
    ),
    pick: fc.nat(),
    seats: fc.integer({ min: 1, max: 6 }),
    hand: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 3 }),
    ms: fc.integer({ min: 0, max: 20 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const queuing = { queueLengthLimit: 4 };
      let limit = 5;
      const set = new QueueSet(limit, queuing, 0);
      let tickets: Ticket[] = [];
      let now = 0;
      for (const { kind, pick, seats, hand, ms } of steps) {
        now += ms;
        const of = (state: Ticket['state']): Ticket | undefined => {
          const found = tickets.filter((each) => each.state === state);
          return found[pick % Math.max(1, found.length)];
        };
        if (kind === 'arrive') {
          const ticket = newTicket(seats, hand);
          if (set.arrive(ticket, now) === undefined) tickets.push(ticket);
        } else if (kind === 'limit') set.configure((limit = 1 + (pick % 8)), queuing, now);
        else if (kind === 'finish') {
          const ticket = of('executing');
          if (ticket !== undefined) set.finish(ticket, now);
        } else {
          const ticket = of('waiting');
          if (ticket !== undefined) set.abandon(ticket, now);
        }
        tickets = tickets.filter((each) => each.state !== 'over');
        const sum = (state: Ticket['state']): number =>
          tickets.filter((each) => each.state === state).reduce((total, each) => total + each.seats, 0);
        const waiting = tickets.filter((each) => each.state === 'waiting');
        const executing = tickets.filter((each) => each.state === 'executing');
        if (set.seatsInUse !== sum('executing') || set.waiting !== waiting.length) return false;
        if (set.executing !== executing.length) return false;
        if (executing.length === 0 && waiting.length > 0) return false;
        // Each that waits is held up by one that does not fit.
        if (waiting.length > 0 && waiting.every((each) => set.seatsInUse + each.seats <= limit)) return false;
      }
      while (tickets.length > 0) {
        for (const ticket of tickets) set.finish(ticket, ++now);
        tickets = tickets.filter((each) => each.state !== 'over');
      }
      return set.seatsInUse === 0 && set.waiting === 0 && set.activeQueues === 0;
    }),
    { numRuns: 300 },
  );
});
