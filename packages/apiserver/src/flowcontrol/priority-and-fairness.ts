/**
 * API Priority and Fairness (flowcontrol.apiserver.k8s.io): each request belongs to a flow of a FlowSchema, and takes seats of
 * a priority level, now or when its flow's turn has come. Each server does this on its own.
 */
import { createHash } from 'node:crypto';
import {
  flowSchemas,
  priorityLevelConfigurations,
  type FlowSchema,
  type KubeObject,
  type PriorityLevelConfiguration,
} from '@naru/api';
import type { Clock } from '@naru/component';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import { requestKindOf, type RequestKind } from '../server/inflight-limits.ts';
import type { ServerMetrics } from '../server/metrics.ts';
import type { RequestInfo } from '../server/request-info.ts';
import { TooManyRequests, type LimitedRequest, type RequestLimiter } from '../server/request-limiter.ts';
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from './bootstrap-configuration-data.ts';
import {
  FlowTally,
  registerFlowControlMetrics,
  type LevelFigures,
  type RejectionReason,
} from './flow-control-metrics.ts';
import {
  currentLimits,
  nominalLimits,
  seatsMaxOf,
  smoothDemand,
  type LevelLimits,
} from './queuing/concurrency-limits.ts';
import { distinguisherValue, FlowClassifier } from './queuing/flow-classifier.ts';
import { newTicket, QueueSet, type Ticket } from './queuing/queue-set.ts';
import { dealHand } from './queuing/shuffle-sharding.ts';
import { estimateSeats } from './queuing/work-estimate.ts';

/** How often seats are lent anew. */
const BORROWING_INTERVAL_MS = 10_000;
/** Flows of a FlowSchema whose hands are remembered. */
const FLOWS_MAX = 4096;

export interface PriorityAndFairnessOptions {
  /** `--max-requests-inflight` and `--max-mutating-requests-inflight` together. */
  readonly serverLimit: number;
  /** How long a request may wait for its seats. */
  readonly requestWaitLimitMs: number;
  readonly clock: Clock;
  readonly metrics: ServerMetrics;
  /** How many objects there are of a request's resource; undefined: nobody knows. */
  readonly countOf: (info: RequestInfo) => number | undefined;
}

/** The one hand of a level without queues of its own. */
const onlyHand = [0] as const;

interface Level {
  config: PriorityLevelConfiguration;
  /** Undefined: requests that find no seat are refused. */
  queuing: Queuing | undefined;
  limits: LevelLimits;
  /** Seats of the widest request. */
  seatsMax: number;
  smoothedDemand: number;
  highDemand: number;
  readonly queues: QueueSet;
  /** Of flows, by schema and what tells its flows apart. */
  readonly hands: Map<string, Map<string, readonly number[]>>;
  readonly tallies: Map<string, FlowTally>;
}

export class PriorityAndFairness implements RequestLimiter, ObjectObserver {
  readonly resources = [flowSchemas, priorityLevelConfigurations];
  readonly #options: PriorityAndFairnessOptions;
  readonly #schemas = new Map<string, FlowSchema>();
  readonly #configs = new Map<string, PriorityLevelConfiguration>();
  readonly #levels = new Map<string, Level>();
  #classifier = new FlowClassifier([]);
  #isStale = true;
  readonly #inflight = { mutating: 0, readOnly: 0 };

  constructor(options: PriorityAndFairnessOptions) {
    this.#options = options;
    for (const schema of mandatoryFlowSchemas) this.#schemas.set(schema.metadata.name ?? '', schema);
    for (const level of mandatoryPriorityLevels) this.#configs.set(level.metadata.name ?? '', level);
    registerFlowControlMetrics(options.metrics.registry, {
      tallies: () => [...this.#levels.values()].flatMap((level) => [...level.tallies.values()]),
      levels: () => [...this.#levels.values()].map(figuresOf),
    });
  }

  observe({ type, resource, object }: ObjectChange): void {
    if (resource.resource === flowSchemas.resource) keep(this.#schemas, type, object, mandatoryFlowSchemas);
    else keep(this.#configs, type, object, mandatoryPriorityLevels);
    this.#isStale = true;
  }

  take(request: LimitedRequest): (() => void) | Promise<() => void> {
    const { info, user, query, response } = request;
    const isWatch = info.verb === 'watch';
    if (request.longRunning && !isWatch) return () => undefined;
    if (this.#isStale) this.#digest();
    const compiled = this.#classifier.classify(user, info);
    const levelName = compiled?.schema.spec?.priorityLevelConfiguration.name ?? '';
    const level = this.#levels.get(levelName);
    // Only who is neither authenticated nor anonymous is in no group of the catch-all.
    if (compiled === undefined || level === undefined) throw new TooManyRequests();
    const schemaName = compiled.schema.metadata.name ?? '';
    response.setHeader('X-Kubernetes-PF-FlowSchema-UID', compiled.schema.metadata.uid ?? '');
    response.setHeader('X-Kubernetes-PF-PriorityLevel-UID', level.config.metadata.uid ?? '');
    const { queuing, seatsMax } = level;
    const hand = queuing === undefined ? onlyHand : handOf(level, schemaName, distinguisherValue(compiled, user, info));
    const ticket = newTicket(estimateSeats(info, query, this.#options.countOf, seatsMax), hand);
    let tally = level.tallies.get(schemaName);
    if (tally === undefined) level.tallies.set(schemaName, (tally = new FlowTally(levelName, schemaName)));
    const refusal = level.queues.arrive(ticket, this.#options.clock.monotonic());
    if (refusal !== undefined) throw reject(tally, refusal);
    const stay: Stay = { level, tally, ticket, type: isWatch ? 'watch' : 'regular', kind: requestKindOf(info.verb) };
    return ticket.state === 'executing' ? this.#begin(stay) : this.#wait(stay, request);
  }

  /** Lends seats anew from time to time, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(BORROWING_INTERVAL_MS, { signal }).catch(() => undefined);
      if (!signal.aborted) this.adjust();
    }
  }

  /** Gives seats to the levels that need them. */
  adjust(): void {
    const { clock, serverLimit } = this.#options;
    const nowMs = clock.monotonic();
    let exempt = 0;
    const limited: Level[] = [];
    for (const level of this.#levels.values()) {
      const demand = level.queues.takeDemand(nowMs);
      level.smoothedDemand = smoothDemand(level.smoothedDemand, demand);
      level.highDemand = demand.high;
      if (isExempt(level.config)) exempt += Math.max(level.limits.min, demand.high);
      else limited.push(level);
    }
    const demands = limited.map(({ limits, smoothedDemand, highDemand }) => ({
      limits,
      smoothed: smoothedDemand,
      high: highDemand,
    }));
    const limits = currentLimits(demands, Math.max(0, serverLimit - exempt));
    for (const [i, level] of limited.entries()) level.queues.configure(limits[i] ?? 1, level.queuing, nowMs);
  }

  /** The figures of a level, for tests and whoever looks. */
  level(name: string): LevelFigures | undefined {
    if (this.#isStale) this.#digest();
    const level = this.#levels.get(name);
    return level === undefined ? undefined : figuresOf(level);
  }

  /** Brings levels and schemas to what the objects say. A level that is gone serves those that are in it to the end. */
  #digest(): void {
    this.#isStale = false;
    const { clock, serverLimit } = this.#options;
    const nowMs = clock.monotonic();
    const limitsByName = nominalLimits([...this.#configs.values()], serverLimit);
    for (const [name, config] of this.#configs) {
      const limits = limitsByName.get(name);
      if (limits === undefined) continue;
      const seats = isExempt(config) ? Infinity : Math.max(1, limits.initial);
      const queuing = queuingOf(config);
      const seatsMax = seatsMaxOf(limits.nominal, queuing?.handSize ?? 1);
      const level = this.#levels.get(name);
      if (level === undefined)
        this.#levels.set(name, {
          config,
          queuing,
          limits,
          seatsMax,
          smoothedDemand: 0,
          highDemand: 0,
          queues: new QueueSet(seats, queuing, nowMs),
          hands: new Map(),
          tallies: new Map(),
        });
      else if (level.config !== config || level.limits.nominal !== limits.nominal) {
        level.config = config;
        level.queuing = queuing;
        level.limits = limits;
        level.seatsMax = seatsMax;
        level.hands.clear();
        level.queues.configure(seats, queuing, nowMs);
      }
    }
    for (const name of this.#levels.keys()) if (!this.#configs.has(name)) this.#levels.delete(name);
    const schemas = [...this.#schemas.values()];
    // Upstream: a schema of a level that is not there matches nothing.
    this.#classifier = new FlowClassifier(
      schemas.filter(({ spec }) => this.#configs.has(spec?.priorityLevelConfiguration.name ?? '')),
    );
  }

  #begin({ level, tally, ticket, type, kind }: Stay): () => void {
    const { clock, metrics } = this.#options;
    metrics.setInflight(kind, ++this.#inflight[kind]);
    tally.dispatched++;
    tally.executing++;
    tally.seatsInUse += ticket.seats;
    tally.waits.true.observe((ticket.startedMs - ticket.arrivedMs) / 1000);
    return () => {
      if (ticket.state !== 'executing') return;
      const nowMs = clock.monotonic();
      metrics.setInflight(kind, --this.#inflight[kind]);
      tally.executing--;
      tally.seatsInUse -= ticket.seats;
      tally.executions[type].observe((nowMs - ticket.startedMs) / 1000);
      level.queues.finish(ticket, nowMs);
    };
  }

  async #wait(stay: Stay, { response }: LimitedRequest): Promise<() => void> {
    const { level, tally, ticket } = stay;
    const { clock, requestWaitLimitMs } = this.#options;
    tally.waiting++;
    const turn = Promise.withResolvers<RejectionReason | undefined>();
    const giveUp = (reason: RejectionReason): void => {
      level.queues.abandon(ticket, clock.monotonic());
      turn.resolve(reason);
    };
    const leave = (): void => giveUp('cancelled');
    ticket.start = () => turn.resolve(undefined);
    const cancel = clock.after(requestWaitLimitMs, () => giveUp('time-out'));
    response.once('close', leave);
    const reason = await turn.promise;
    cancel();
    response.off('close', leave);
    tally.waiting--;
    if (reason === undefined) return this.#begin(stay);
    tally.waits.false.observe((clock.monotonic() - ticket.arrivedMs) / 1000);
    throw reject(tally, reason);
  }
}

interface Stay {
  readonly level: Level;
  readonly tally: FlowTally;
  readonly ticket: Ticket;
  readonly type: 'regular' | 'watch';
  readonly kind: RequestKind;
}

function keep<T extends KubeObject>(
  kept: Map<string, T>,
  type: ObjectChange['type'],
  object: KubeObject,
  mandatory: readonly T[],
): void {
  const { name = '' } = object.metadata;
  if (type !== 'DELETED') {
    kept.set(name, object as T);
    return;
  }
  const own = mandatory.find((each) => each.metadata.name === name);
  if (own === undefined) kept.delete(name);
  else kept.set(name, own);
}

function isExempt({ spec }: PriorityLevelConfiguration): boolean {
  return spec?.type === 'Exempt';
}

interface Queuing {
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

/** Undefined: requests that find no seat are refused. */
function queuingOf({ spec }: PriorityLevelConfiguration): Queuing | undefined {
  const response = spec?.limited?.limitResponse;
  if (spec?.type !== 'Limited' || response?.type !== 'Queue') return undefined;
  const { queues = 64, handSize = 8, queueLengthLimit = 50 } = response.queuing ?? {};
  return { queues, handSize, queueLengthLimit };
}

function handOf(level: Level, schema: string, distinguisher: string): readonly number[] {
  let hands = level.hands.get(schema);
  if (hands === undefined) level.hands.set(schema, (hands = new Map()));
  let hand = hands.get(distinguisher);
  if (hand === undefined) {
    if (hands.size >= FLOWS_MAX) hands.clear();
    const hash = createHash('sha256').update(`${schema}\0${distinguisher}`).digest().readBigUInt64LE(0);
    hand = level.queuing === undefined ? onlyHand : dealHand(hash, level.queuing.queues, level.queuing.handSize);
    hands.set(distinguisher, hand);
  }
  return hand;
}

function figuresOf({ config, limits, queues, smoothedDemand, highDemand }: Level): LevelFigures {
  const { nominal, min, max } = limits;
  const current = isExempt(config) ? nominal : queues.limit;
  return {
    name: config.metadata.name ?? '',
    nominal,
    min,
    max,
    current,
    demandHigh: highDemand,
    demandSmoothed: smoothedDemand,
  };
}

function reject(tally: FlowTally, reason: RejectionReason): TooManyRequests {
  tally.rejected[reason]++;
  return new TooManyRequests();
}
