import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import {
  changedStore,
  checkLinearizability,
  checkRevisionOrder,
  checkWatchGuarantees,
  describeOperation,
  eventually,
  KvModel,
  mergeRevisionLog,
  partitionByKey,
  SeededRandom,
  type CheckResult,
  type KvInput,
  type KvOperation,
  type KvOutput,
} from '@naru/testkit';
import { ask, Cluster } from './cluster.ts';
import { diskFaults, networkFaults, processFaults, type Fault, type NemesisContext } from './nemesis.ts';
import { Traffic } from './traffic.ts';
import { Undo } from './undo.ts';
import { Watchers } from './watchers.ts';

export interface ScenarioOptions {
  readonly seed: number;
  readonly size?: number;
  /** Their names, one after the other; with `durationMs` they are drawn from these until the time is over. */
  readonly faults: readonly string[];
  readonly durationMs?: number;
  /** How long a fault lasts: at least, at most. */
  readonly faultMs?: readonly [number, number];
  readonly namespaces?: boolean;
  /** Each member's data folder is a file system of this size. */
  readonly diskBytes?: number;
  readonly plant?: string;
  readonly clients?: number;
  readonly pauseMs?: number;
  readonly flags?: readonly string[];
  readonly log?: (line: string) => void;
}

export interface ScenarioReport {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly operations: number;
  readonly unanswered: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly revisions: number;
  readonly watches: number;
  readonly events: number;
  readonly faults: readonly string[];
  readonly steps: number;
  readonly undecided: number;
  readonly seconds: number;
}

const all: Readonly<Record<string, Fault>> = { ...processFaults, ...networkFaults, ...diskFaults };
const PROGRESS_DEADLINE_MS = 60_000;
/** Answers that each scenario must get before, between and after faults. */
const PROGRESS = 30;
const STEPS_MAX = 2_000_000;

/** Why file systems for data folders cannot be made here; undefined if they can. */
export function whyNoMounts(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  try {
    execFileSync(
      'sh',
      ['-c', 'd=$(mktemp -d) && mount -t tmpfs -o size=1m naru-rob "$d" && umount "$d"; s=$?; rmdir "$d"; exit $s'],
      {
        stdio: 'ignore',
      },
    );
    return undefined;
  } catch {
    return 'tmpfs cannot be mounted';
  }
}

/** Runs clients and watchers under faults, heals, demands progress, and checks all that they saw. */
export async function runScenario(options: ScenarioOptions): Promise<ScenarioReport> {
  const started = performance.now();
  const undo = new Undo();
  try {
    await using cluster = await Cluster.start(
      {
        size: options.size ?? 3,
        namespaces: options.namespaces ?? false,
        diskBytes: options.diskBytes,
        plant: options.plant,
        flags: ['--snapshot-count=300', ...(options.flags ?? [])],
      },
      undo,
    );
    return await new Scenario(options, cluster, started).run();
  } finally {
    undo.run();
  }
}

class Scenario {
  readonly #options: ScenarioOptions;
  readonly #cluster: Cluster;
  readonly #started: number;
  readonly #problems: string[] = [];
  readonly #faults: string[] = [];
  #steps = 0;
  #undecided = 0;

  constructor(options: ScenarioOptions, cluster: Cluster, started: number) {
    this.#options = options;
    this.#cluster = cluster;
    this.#started = started;
  }

  async run(): Promise<ScenarioReport> {
    const { seed, clients = 8, pauseMs = 25, faultMs = [800, 2500] } = this.#options;
    const random = new SeededRandom(seed);
    const urls = (): readonly string[] => this.#cluster.urls;
    const traffic = new Traffic({
      seed,
      urls,
      clients,
      grpcClients: 2,
      readers: this.#cluster.members.length,
      keys: 5,
      pauseMs,
    });
    const watchers = new Watchers(urls, this.#cluster.members.length);
    const context: NemesisContext = {
      cluster: this.#cluster,
      random,
      traffic,
      watchers,
      durationMs: () => random.integer(...faultMs),
      compactRevision: 0,
    };
    let lastRevision: number;
    try {
      await this.#progress(traffic, 'before any fault');
      for (const name of this.#schedule(random)) await this.#hurt(name, context);
      this.#cluster.heal();
      await this.#cluster.leader();
      await this.#progress(traffic, 'after all faults');
    } finally {
      await traffic.stop();
      lastRevision = await this.#settle(watchers).catch((error: unknown) => {
        this.#problems.push(String(error));
        return traffic.revision;
      });
      await watchers.stop();
    }
    await this.#compareHashes();
    return this.#check(traffic, watchers, context, lastRevision);
  }

  *#schedule(random: SeededRandom): Generator<string> {
    const { faults, durationMs } = this.#options;
    if (durationMs === undefined) yield* faults;
    else for (const until = performance.now() + durationMs; performance.now() < until;) yield random.pick(faults);
  }

  async #hurt(name: string, context: NemesisContext): Promise<void> {
    const fault = all[name];
    if (fault === undefined) throw new Error(`no fault ${name}; there are: ${Object.keys(all).join(', ')}`);
    this.#faults.push(name);
    this.#options.log?.(`${((performance.now() - this.#started) / 1000).toFixed(1)} s ${name}`);
    try {
      await fault(context);
    } catch (error) {
      this.#problems.push(`${name}: ${String(error)}`);
    }
    this.#cluster.heal();
    // Sometimes the next fault comes before the cluster has got over this one.
    if (context.random.chance(0.7)) await this.#progress(context.traffic, `after ${name}`);
  }

  async #progress(traffic: Traffic, when: string): Promise<void> {
    const before = traffic.answered;
    try {
      await eventually(
        async () => {
          await delay(50);
          return traffic.answered >= before + PROGRESS;
        },
        { deadlineMs: PROGRESS_DEADLINE_MS },
      );
    } catch {
      throw new Error(`no progress ${when}: ${traffic.answered - before} answers; ${this.#outputs()}`);
    }
  }

  #outputs(): string {
    return this.#cluster.members.map(({ name, output }) => `${name}: ${output.slice(-800)}`).join('\n');
  }

  /** Waits until nothing changes any more and all watchers have been told. @returns the last revision */
  async #settle(watchers: Watchers): Promise<number> {
    return await eventually(
      async () => {
        const read = async (): Promise<number> => {
          const answer = await ask(this.#cluster.members[0] ?? fail(), '/v3/kv/range', { key: 'AA==' });
          return Number((answer as { header: { revision: string } }).header.revision);
        };
        const revision = await read();
        await delay(100);
        if (watchers.next <= revision) throw new Error(`watchers were told up to ${watchers.next - 1} of ${revision}`);
        if ((await read()) !== revision) throw new Error('it changes still');
        return revision;
      },
      { deadlineMs: PROGRESS_DEADLINE_MS },
    );
  }

  async #compareHashes(): Promise<void> {
    const { members } = this.#cluster;
    await eventually(
      async () => {
        await delay(100);
        const answers = await Promise.all(
          members.map(async (each) => {
            const { header, hash } = (await ask(each, '/v3/maintenance/hash', {})) as {
              readonly header: { readonly revision: string };
              readonly hash: number;
            };
            return `${header.revision}/${hash}`;
          }),
        );
        if (new Set(answers).size > 1) throw new Error(`members differ: ${answers.join()}`);
      },
      { deadlineMs: 30_000 },
    ).catch((error: unknown) => this.#problems.push(String(error)));
  }

  #check(traffic: Traffic, watchers: Watchers, context: NemesisContext, lastRevision: number): ScenarioReport {
    const { history } = traffic;
    const records = watchers.records(lastRevision);
    const { log, problems } = mergeRevisionLog(watchers.tellings(lastRevision), { lastRevision });
    this.#problems.push(...this.#cluster.problems, ...traffic.problems, ...watchers.problems, ...problems);
    if (problems.length === 0) {
      const { compactRevision } = context;
      this.#problems.push(...checkWatchGuarantees(records, log, { compactRevision, completeTo: lastRevision }));
      const order = checkRevisionOrder(history, log);
      this.#problems.push(...order.problems);
      this.#linearizable('as a whole', wholeOf(order.resolved));
      this.#linearizable('by key, with fates from the log', byKey(order.resolved));
    }
    this.#linearizable('by key', byKey(history), true);
    return {
      seed: this.#options.seed,
      problems: this.#problems,
      operations: history.length,
      unanswered: history.filter((each) => each.output === undefined && each.client !== 'store').length,
      refused: Object.fromEntries(traffic.refused),
      revisions: lastRevision,
      watches: records.length,
      events: records.reduce((sum, each) => sum + each.responses.reduce((n, { events }) => n + events.length, 0), 0),
      faults: this.#faults,
      steps: this.#steps,
      undecided: this.#undecided,
      seconds: Math.round((performance.now() - this.#started) / 100) / 10,
    };
  }

  #linearizable(how: string, result: CheckResult<KvInput, KvOutput>, mayBeUndecided = false): void {
    this.#steps += result.steps;
    if (result.verdict === 'undecided') {
      this.#undecided++;
      if (!mayBeUndecided) this.#problems.push(`${how}: undecided after ${result.steps} steps`);
    }
    if (result.counterexample === undefined) return;
    const { partition, operations, longest } = result.counterexample;
    const last = operations.filter((each) => !longest.includes(each)).slice(-8);
    this.#problems.push(
      `not linearizable ${how}, partition ${partition}, ${operations.length} operations; after\n${[
        ...longest.slice(-6).map(describeOperation),
        'cannot follow:',
        ...last.map(describeOperation),
      ].join('\n')}`,
    );
  }
}

function fail(): never {
  throw new Error('no members');
}

function byKey(history: readonly KvOperation[]): CheckResult<KvInput, KvOutput> {
  return checkLinearizability(new KvModel({ revisions: 'opaque' }), partitionByKey(history), {
    stepsMax: STEPS_MAX / 10,
  });
}

/** Reads of the past and of single members are checked by their revisions. */
function wholeOf(history: readonly KvOperation[]): CheckResult<KvInput, KvOutput> {
  const current = history.filter(
    ({ input }) =>
      input.type !== 'txn' ||
      (input.serializable !== true && input.success.every((op) => op.type !== 'range' || op.revision === undefined)),
  );
  const answeredRevisions = new Set(
    current.flatMap(({ input, output }) =>
      output !== undefined && changedStore(input, output) === true ? [output.revision] : [],
    ),
  );
  const model = new KvModel({ revisions: 'checked', answeredRevisions });
  return checkLinearizability(model, new Map([['all', current]]), { stepsMax: STEPS_MAX });
}
