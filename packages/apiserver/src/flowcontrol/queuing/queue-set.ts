/**
 * The seats of one priority level and the queues for them: fair queuing over the flows that wait. PURE: time is an argument.
 *
 * A queue's virtual time says how much work it has been given; R, the virtual time of the set, advances as fast as a queue
 * that always has work is served. The queue whose next request would be done first goes first (WFQ, KEP-1040).
 */

/** What a request is taken to last until it is over. */
const ESTIMATED_SERVICE_MS = 3;

export interface QueuingConfig {
  /** Requests that may wait in one queue. */
  readonly queueLengthLimit: number;
}

/** A request on its way through a QueueSet. */
export interface Ticket {
  readonly seats: number;
  /** The queues that it may wait in. */
  readonly hand: readonly number[];
  state: 'new' | 'waiting' | 'executing' | 'over';
  queue: Queue | undefined;
  arrivedMs: number;
  startedMs: number;
  /** R when it arrived. */
  arrivalR: number;
  /** Called when its wait ends well. */
  start: (() => void) | undefined;
}

interface Queue {
  readonly index: number;
  /** Invariant: in order of arrival. */
  readonly waiting: Ticket[];
  waitingSeats: number;
  executing: number;
  seatsInUse: number;
  nextDispatchR: number;
}

export type Refusal = 'queue-full' | 'concurrency-limit';

/** How many seats were wanted over a period: what borrowing goes by. */
export interface SeatDemand {
  readonly average: number;
  readonly deviation: number;
  readonly high: number;
}

export function newTicket(seats: number, hand: readonly number[]): Ticket {
  return {
    seats,
    hand,
    state: 'new',
    queue: undefined,
    arrivedMs: 0,
    startedMs: 0,
    arrivalR: 0,
    start: undefined,
  };
}

export class QueueSet {
  #limit: number;
  /** Undefined: whoever finds no seat is refused. */
  #queuing: QueuingConfig | undefined;
  /** Invariant: those queues only that hold or execute a request. */
  readonly #queues = new Map<number, Queue>();
  #seatsInUse = 0;
  #seatsWaiting = 0;
  #waiting = 0;
  #executing = 0;
  #virtualMs = 0;
  #lastMs: number;
  #periodStartMs: number;
  #demandArea = 0;
  #demandSquares = 0;
  #demandHigh = 0;

  constructor(limit: number, queuing: QueuingConfig | undefined, nowMs: number) {
    this.#limit = limit;
    this.#queuing = queuing;
    this.#lastMs = nowMs;
    this.#periodStartMs = nowMs;
  }

  get limit(): number {
    return this.#limit;
  }

  get seatsInUse(): number {
    return this.#seatsInUse;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get executing(): number {
    return this.#executing;
  }

  get activeQueues(): number {
    return this.#queues.size;
  }

  /** New limits count for what comes; who waits already stays. */
  configure(limit: number, queuing: QueuingConfig | undefined, nowMs: number): void {
    this.#advance(nowMs);
    this.#limit = limit;
    this.#queuing = queuing;
    this.#dispatch(nowMs);
  }

  /** A request comes. Unless refused, it executes or waits, as its state says. */
  arrive(ticket: Ticket, nowMs: number): Refusal | undefined {
    this.#advance(nowMs);
    ticket.arrivedMs = nowMs;
    ticket.arrivalR = this.#virtualMs;
    const fits = this.#waiting === 0 && this.#hasSeats(ticket.seats);
    if (this.#queuing === undefined && !fits) return 'concurrency-limit';
    const queue = this.#leastBusy(ticket.hand);
    if (!fits && this.#queuing !== undefined && queue.waiting.length >= this.#queuing.queueLengthLimit)
      return 'queue-full';
    ticket.queue = queue;
    this.#queues.set(queue.index, queue);
    if (fits) this.#begin(ticket, queue, nowMs);
    else {
      ticket.state = 'waiting';
      queue.waiting.push(ticket);
      queue.waitingSeats += ticket.seats;
      this.#waiting++;
      this.#seatsWaiting += ticket.seats;
      this.#noteDemand();
      // It may be its turn before those who came earlier, and narrower than they.
      this.#dispatch(nowMs);
    }
    return undefined;
  }

  /** A request that executed is over. */
  finish(ticket: Ticket, nowMs: number): void {
    const { queue } = ticket;
    if (ticket.state !== 'executing' || queue === undefined) return;
    this.#advance(nowMs);
    ticket.state = 'over';
    this.#seatsInUse -= ticket.seats;
    this.#executing--;
    queue.executing--;
    queue.seatsInUse -= ticket.seats;
    // It was charged by the estimate.
    queue.nextDispatchR += (nowMs - ticket.startedMs - ESTIMATED_SERVICE_MS) * ticket.seats;
    this.#dropIdle(queue);
    this.#dispatch(nowMs);
  }

  /** A request waits no more. */
  abandon(ticket: Ticket, nowMs: number): void {
    const { queue } = ticket;
    if (ticket.state !== 'waiting' || queue === undefined) return;
    this.#advance(nowMs);
    ticket.state = 'over';
    queue.waiting.splice(queue.waiting.indexOf(ticket), 1);
    this.#leaveQueue(ticket, queue);
    this.#dropIdle(queue);
    // What it stood before may be narrower.
    this.#dispatch(nowMs);
  }

  /** The demand since the last call. */
  takeDemand(nowMs: number): SeatDemand {
    this.#advance(nowMs);
    const spanMs = nowMs - this.#periodStartMs;
    const demand = this.#seatsInUse + this.#seatsWaiting;
    const average = spanMs > 0 ? this.#demandArea / spanMs : demand;
    const variance = spanMs > 0 ? this.#demandSquares / spanMs - average * average : 0;
    const high = this.#demandHigh;
    this.#periodStartMs = nowMs;
    this.#demandArea = 0;
    this.#demandSquares = 0;
    this.#demandHigh = demand;
    return { average, deviation: Math.sqrt(Math.max(0, variance)), high };
  }

  #dispatch(nowMs: number): void {
    while (this.#waiting > 0) {
      const queue = this.#nextQueue();
      const ticket = queue?.waiting[0];
      // The one whose turn it is waits for its seats: narrower ones do not overtake, or it would starve.
      if (queue === undefined || ticket === undefined || !this.#hasSeats(ticket.seats)) break;
      queue.waiting.shift();
      this.#leaveQueue(ticket, queue);
      this.#begin(ticket, queue, nowMs);
      ticket.start?.();
    }
  }

  #begin(ticket: Ticket, queue: Queue, nowMs: number): void {
    ticket.state = 'executing';
    ticket.startedMs = nowMs;
    queue.nextDispatchR = Math.max(queue.nextDispatchR, ticket.arrivalR) + ticket.seats * ESTIMATED_SERVICE_MS;
    queue.executing++;
    queue.seatsInUse += ticket.seats;
    this.#executing++;
    this.#seatsInUse += ticket.seats;
    this.#noteDemand();
  }

  #leaveQueue(ticket: Ticket, queue: Queue): void {
    queue.waitingSeats -= ticket.seats;
    this.#seatsWaiting -= ticket.seats;
    this.#waiting--;
  }

  #dropIdle(queue: Queue): void {
    if (queue.waiting.length === 0 && queue.executing === 0) this.#queues.delete(queue.index);
  }

  /** One that is wider than the whole level gets it when it is empty. */
  #hasSeats(seats: number): boolean {
    return seats > this.#limit ? this.#seatsInUse === 0 && this.#limit > 0 : this.#seatsInUse + seats <= this.#limit;
  }

  #leastBusy(hand: readonly number[]): Queue {
    let best: Queue | undefined;
    let bestSeats = Infinity;
    for (const index of hand) {
      const queue = this.#queues.get(index);
      if (queue === undefined) return this.#newQueue(index);
      const seats = queue.waitingSeats + queue.seatsInUse;
      if (seats < bestSeats) [best, bestSeats] = [queue, seats];
    }
    return best ?? this.#newQueue(0);
  }

  #newQueue(index: number): Queue {
    return { index, waiting: [], waitingSeats: 0, executing: 0, seatsInUse: 0, nextDispatchR: this.#virtualMs };
  }

  #nextQueue(): Queue | undefined {
    let best: Queue | undefined;
    let bestFinish = Infinity;
    for (const queue of this.#queues.values()) {
      const [head] = queue.waiting;
      if (head === undefined) continue;
      const finish = Math.max(queue.nextDispatchR, head.arrivalR) + head.seats * ESTIMATED_SERVICE_MS;
      const isEarlier = finish === bestFinish && head.arrivedMs < (best?.waiting[0]?.arrivedMs ?? Infinity);
      if (finish < bestFinish || isEarlier) [best, bestFinish] = [queue, finish];
    }
    return best;
  }

  #advance(nowMs: number): void {
    const spanMs = nowMs - this.#lastMs;
    if (spanMs <= 0) return;
    this.#lastMs = nowMs;
    const demand = this.#seatsInUse + this.#seatsWaiting;
    if (demand === 0) return;
    this.#demandArea += demand * spanMs;
    this.#demandSquares += demand * demand * spanMs;
    this.#virtualMs += (spanMs * Math.min(demand, this.#limit)) / this.#queues.size;
  }

  #noteDemand(): void {
    this.#demandHigh = Math.max(this.#demandHigh, this.#seatsInUse + this.#seatsWaiting);
  }
}
