/**
 * One operation as its client saw it. `call` and `return` are of one monotonic clock, in any unit; equal times count as
 * concurrent.
 */
export interface Operation<I, O> {
  readonly client: string;
  readonly input: I;
  /** Undefined: the answer was lost; it may have been applied at any time after `call`, or never. */
  readonly output: O | undefined;
  readonly call: number;
  /** Infinity if there was no answer. */
  readonly return: number;
}

/** What a history is checked against: a sequential object. */
export interface Model<S, I, O> {
  readonly initial: S;
  /**
   * The state after the operation, or undefined if it cannot have this output in this state. For an unknown output:
   * whatever it does. Must be pure and return the same state object when nothing changes.
   */
  step(state: S, input: I, output: O | undefined): S | undefined;
  /** Equal for equal states only. */
  key(state: S): string;
}
