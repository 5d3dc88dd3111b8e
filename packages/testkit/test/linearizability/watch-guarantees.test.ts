import t from 'tap';
import {
  checkWatchGuarantees,
  inRange,
  mergeRevisionLog,
  RevisionLog,
  SeededRandom,
  type KvEvent,
  type WatchRecord,
  type WatchRequestRecord,
  type WatchResponseRecord,
} from '@naru/testkit';
import { simulate, type Store } from './kv-simulator.ts';

const { store } = simulate({ seed: 3, operations: 900 });
const { log } = store;

/** A right watcher: told all that it asked for in batches, interrupted and carried on elsewhere. */
function tell(request: Partial<WatchRequestRecord>, seed: number, log: RevisionLog): WatchRecord[] {
  const random = new SeededRandom(seed);
  const full: WatchRequestRecord = {
    key: 'k',
    rangeEnd: 'l',
    startRevision: 0,
    prevKv: false,
    noPut: false,
    noDelete: false,
    fragment: false,
    ...request,
  };
  const watches: WatchRecord[] = [];
  let responses: WatchResponseRecord[] = [];
  let startRevision = full.startRevision;
  const response = (kind: WatchResponseRecord['kind'], revision: number): WatchResponseRecord => ({
    kind,
    revision,
    events: [],
    fragment: false,
    compactRevision: 0,
  });
  const begin = (at: number): void => {
    responses = [response('created', at)];
    watches.push({ name: 'w', request: { ...full, startRevision }, responses });
  };
  begin(1);
  let batch: KvEvent[] = [];
  for (const [revision, events] of log.entries(Math.max(2, startRevision))) {
    for (const event of events) {
      if (!inRange(event.kv.key, full) || (event.type === 'PUT' ? full.noPut : full.noDelete)) continue;
      const prevKv = full.prevKv ? log.get(event.kv.key, revision - 1) : undefined;
      batch.push(prevKv === undefined ? event : Object.assign({ prevKv }, event));
    }
    if (batch.length === 0 || random.chance(0.3)) continue;
    if (full.fragment && batch.length > 1)
      responses.push({ ...response('events', revision), events: batch.splice(0, 1), fragment: true });
    responses.push({ ...response('events', revision), events: batch });
    let next = (batch.at(-1)?.kv.modRevision ?? 0) + 1;
    batch = [];
    if (random.chance(0.1)) {
      responses.push(response('progress', revision));
      next = revision + 1;
    }
    if (random.chance(0.05)) {
      startRevision = next;
      begin(revision);
    }
  }
  if (batch.length > 0) responses.push({ ...response('events', log.lastRevision), events: batch });
  return watches;
}

await t.test('watches that keep all guarantees', async (t) => {
  for (let seed = 1; seed <= 20; seed++)
    for (const request of [
      {},
      { key: 'k1' as const },
      { noPut: true },
      { noDelete: true },
      { prevKv: true },
      { key: 'p', rangeEnd: '\0', fragment: true },
      { startRevision: 100 },
    ])
      t.same(
        checkWatchGuarantees(tell(request, seed, log), log, { completeTo: log.lastRevision }),
        [],
        `seed ${seed}, ${JSON.stringify(request)}`,
      );
});

/** Spoils what a right watcher was told; `n` is the number of a response with more than one event. */
const spoils: Readonly<
  Record<string, readonly [guarantee: RegExp, spoil: (watches: WatchRecord[], n: number) => WatchRecord[]]>
> = {
  'an event is left out': [
    /reliable|bookmarkable/u,
    (watches, n) => edit(watches, n, (each) => [{ ...each, events: each.events.slice(0, -1) }]),
  ],
  'a whole response is left out': [/reliable|bookmarkable/u, (watches, n) => edit(watches, n, () => [])],
  'the last response is left out': [
    /reliable|bookmarkable/u,
    (watches) => {
      const last = watches.findLast((each) => each.responses.some((response) => response.kind === 'events'));
      const at = last?.responses.findLastIndex((response) => response.kind === 'events');
      return watches
        .slice(0, last === undefined ? 0 : watches.indexOf(last) + 1)
        .map((each) => (each === last ? { ...each, responses: each.responses.slice(0, at) } : each));
    },
  ],
  'an event comes twice': [
    /unique/u,
    (watches, n) => edit(watches, n, (each) => [{ ...each, events: [...each.events, ...each.events.slice(-1)] }]),
  ],
  'a response comes twice': [/unique/u, (watches, n) => edit(watches, n, (each) => [each, each])],
  'events come in another order': [
    /ordered/u,
    (watches, n) => edit(watches, n, (each) => [{ ...each, events: each.events.toReversed() }]),
  ],
  'a revision is split': [
    /atomic/u,
    (watches, n) =>
      edit(watches, n, (each) => [
        { ...each, events: each.events.slice(0, 1) },
        { ...each, events: each.events.slice(1) },
      ]),
  ],
  'progress comes too soon': [
    /bookmarkable/u,
    (watches, n) => edit(watches, n, (each) => [{ ...each, kind: 'progress', events: [] }, each]),
  ],
  'a watch goes on too late': [
    /resumable/u,
    (watches) =>
      watches.map((each, i) =>
        i === 0 ? each : { ...each, request: { ...each.request, startRevision: each.request.startRevision + 5 } },
      ),
  ],
  'a value is another': [
    /left out|told/u,
    (watches, n) =>
      edit(watches, n, (each) => [
        {
          ...each,
          events: each.events.map((event) => Object.assign({}, event, { kv: { ...event.kv, value: 'x', version: 9 } })),
        },
      ]),
  ],
  'a previous value is an older one': [
    /previous value/u,
    (watches) =>
      edit(watches, undefined, (each) => [
        {
          ...each,
          events: each.events.map((event) =>
            event.prevKv === undefined ? event : { ...event, prevKv: { ...event.prevKv, value: 'old' } },
          ),
        },
      ]),
  ],
  'the filter is forgotten': [
    /should not/u,
    (watches) => watches.map((each) => ({ ...each, request: { ...each.request, noPut: true } })),
  ],
};

function edit(
  watches: WatchRecord[],
  /** Undefined: all. */
  n: number | undefined,
  how: (response: WatchResponseRecord) => WatchResponseRecord[],
): WatchRecord[] {
  let i = 0;
  return watches.map((watch) => ({
    ...watch,
    responses: watch.responses.flatMap((each) =>
      each.kind === 'events' && (n === undefined || i++ === n) ? how(each) : [each],
    ),
  }));
}

for (const [name, [guarantee, spoil]] of Object.entries(spoils))
  await t.test(`${name}: found`, async (t) => {
    let found = 0;
    for (let seed = 1; seed <= 10; seed++) {
      // Both keys of one txn, so that revisions of two events are there.
      const twoKeys = name.includes('split');
      const watches = tell(twoKeys ? { key: 'p', rangeEnd: 'q' } : { prevKv: true }, seed, log);
      const all = watches.flatMap((each) => each.responses.filter((response) => response.kind === 'events'));
      const n = all.findIndex((each) => (twoKeys ? each.events.length === 2 : each.events.length > 2));
      if (n < 0 || watches.length < 2) continue;
      found++;
      const problems = checkWatchGuarantees(spoil(watches, n), log, { completeTo: log.lastRevision });
      t.match(problems.join('\n'), guarantee, `seed ${seed}`);
    }
    t.ok(found > 0, `${found} histories`);
  });

await t.test('the log is put together from what several were told', async (t) => {
  const tellings = [...log.entries()];
  const { lastRevision } = log;
  const good = mergeRevisionLog([...tellings, ...tellings.slice(5, 20)], { lastRevision });
  t.same(good.problems, []);
  t.equal(good.log.lastRevision, lastRevision);
  const gap = mergeRevisionLog(tellings.toSpliced(7, 1), { lastRevision });
  t.match(gap.problems.join(), /no watcher was told of revision 9/u);
  const [revision, events] = tellings[30] ?? [0, []];
  const other: KvEvent[] = events.map((each) => ({ type: each.type, kv: { ...each.kv, value: 'other' } }));
  t.match(mergeRevisionLog([...tellings, [revision, other]], { lastRevision }).problems.join(), /was told as/u);
  const wrong: Store['log'] = new RevisionLog();
  const kv = { key: 'a', value: '', createRevision: 2, modRevision: 2, version: 2, lease: '' };
  t.throws(() => wrong.append(2, [{ type: 'PUT', kv }]), /version 2; expected 2, 1/u);
  t.throws(() => new RevisionLog().append(2, [{ type: 'DELETE', kv }]), /not there/u);
});
