import type { Operation } from './operation.ts';

/**
 * The answered operations that are not linearized yet, as a doubly linked list of their calls and returns in the order of
 * time. What may be linearized next are the calls in front of the first return.
 */
export class PrecedenceList<I, O> {
  /** By their calls. */
  readonly operations: readonly Operation<I, O>[];
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #callNode: Int32Array;
  readonly #returnNode: Int32Array;
  /** Of a node: the operation that it calls, or -1 for a return. */
  readonly #called: Int32Array;
  readonly #time: Float64Array;
  readonly #tail: number;

  constructor(operations: readonly Operation<I, O>[]) {
    this.operations = operations.toSorted((a, b) => a.call - b.call);
    const events = this.operations.flatMap((each, operation) => [
      { operation, time: each.call, isReturn: 0 },
      { operation, time: each.return, isReturn: 1 },
    ]);
    events.sort((a, b) => a.time - b.time || a.isReturn - b.isReturn);
    this.#tail = events.length + 1;
    this.#next = Int32Array.from({ length: this.#tail + 1 }, (_, i) => i + 1);
    this.#previous = Int32Array.from({ length: this.#tail + 1 }, (_, i) => i - 1);
    this.#called = new Int32Array(this.#tail + 1).fill(-1);
    this.#time = new Float64Array(this.#tail + 1).fill(Infinity);
    this.#callNode = new Int32Array(this.operations.length);
    this.#returnNode = new Int32Array(this.operations.length);
    for (const [i, { operation, time, isReturn }] of events.entries()) {
      const node = i + 1;
      this.#time[node] = time;
      if (isReturn === 1) this.#returnNode[operation] = node;
      else {
        this.#callNode[operation] = node;
        this.#called[node] = operation;
      }
    }
  }

  get isEmpty(): boolean {
    return this.#next[0] === this.#tail;
  }

  /** When the first of the operations in the list returned. */
  get firstReturn(): number {
    let node = this.#next[0] ?? this.#tail;
    while (node !== this.#tail && this.#called[node] !== -1) node = this.#next[node] ?? this.#tail;
    return this.#time[node] ?? Infinity;
  }

  /** The next operation that no other in the list precedes, after `after` (-1: the first); undefined if there is none. */
  nextCandidate(after: number): number | undefined {
    if (after >= this.operations.length) return undefined;
    const node = this.#next[after === -1 ? 0 : (this.#callNode[after] ?? 0)] ?? this.#tail;
    const operation = this.#called[node] ?? -1;
    return operation === -1 ? undefined : operation;
  }

  remove(operation: number): void {
    for (const node of [this.#callNode[operation] ?? 0, this.#returnNode[operation] ?? 0]) {
      const next = this.#next[node] ?? 0;
      const previous = this.#previous[node] ?? 0;
      this.#next[previous] = next;
      this.#previous[next] = previous;
    }
  }

  /** Takes back the last `remove`. */
  restore(operation: number): void {
    for (const node of [this.#returnNode[operation] ?? 0, this.#callNode[operation] ?? 0]) {
      this.#next[this.#previous[node] ?? 0] = node;
      this.#previous[this.#next[node] ?? 0] = node;
    }
  }
}
