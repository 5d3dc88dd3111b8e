import { crc32 } from 'node:zlib';
import type { Message, MsgApp } from '../../src/raft/message.ts';
import type { Oracle } from './oracle.ts';

interface Term {
  readonly leader: bigint;
  /** Commit index of its leader's first append. */
  firstCommit: number | undefined;
  /** Index of its first entry. */
  firstIndex: number | undefined;
}

/** Entries that are remembered for the check that logs match. */
const ENTRIES_KEPT = 20_000;

/** Raft's own promises, seen in what members say to each other: whether it arrives or not. */
export class WireOracle {
  readonly #oracle: Oracle;
  readonly #terms = new Map<number, Term>();
  /** For whom each member voted, by term and member. */
  readonly #votes = new Map<string, bigint>();
  /** By index and term: what the entry is, and the term before it. */
  readonly #entries = new Map<string, number>();
  readonly #before = new Map<string, number>();

  constructor(oracle: Oracle) {
    this.#oracle = oracle;
  }

  get termCount(): number {
    return this.#terms.size;
  }

  sent(message: Message): void {
    const { from, term } = message;
    if (message.type !== 'MsgPreVote' && message.type !== 'MsgPreVoteResp')
      this.#oracle.termMax = Math.max(this.#oracle.termMax, term);
    switch (message.type) {
      case 'MsgVote':
        this.#voted(from, term, from);
        return;
      case 'MsgVoteResp':
        if (!message.reject) this.#voted(from, term, message.to);
        return;
      case 'MsgHeartbeat':
      case 'MsgSnap':
      case 'MsgTimeoutNow':
        this.#leads(from, term);
        return;
      case 'MsgApp':
        this.#append(message, this.#leads(from, term));
        return;
      default:
    }
  }

  /** Election safety (Raft thesis, 3.2): one leader in a term. */
  #leads(id: bigint, term: number): Term {
    let known = this.#terms.get(term);
    if (known === undefined) {
      known = { leader: id, firstCommit: undefined, firstIndex: undefined };
      this.#terms.set(term, known);
      this.#oracle.note(`${id} leads term ${term}`);
    }
    if (known.leader !== id) this.#oracle.fail(`${known.leader} and ${id} lead term ${term}`);
    return known;
  }

  /** One vote of each member in a term. */
  #voted(id: bigint, term: number, candidate: bigint): void {
    const key = `${term}/${id}`;
    const known = this.#votes.get(key);
    if (known !== undefined && known !== candidate)
      this.#oracle.fail(`${id} votes for ${known} and for ${candidate} in term ${term}`);
    this.#votes.set(key, candidate);
  }

  #append(message: MsgApp, term: Term): void {
    this.#holds(message, message.index, message.logTerm);
    let before = message.logTerm;
    for (const entry of message.entries) {
      this.#holds(message, entry.index, entry.term);
      this.#matches(`${entry.index}/${entry.term}`, this.#entries, crc32(entry.data, entry.type.length));
      this.#matches(`${entry.index}/${entry.term}`, this.#before, before);
      before = entry.term;
      if (entry.term === message.term)
        term.firstIndex = Math.min(term.firstIndex ?? Number.POSITIVE_INFINITY, entry.index);
    }
    term.firstCommit ??= message.commit;
    // Raft thesis, 3.6.2: a leader commits by counting only what is of its own term.
    if (message.commit > term.firstCommit && message.commit < (term.firstIndex ?? Number.POSITIVE_INFINITY))
      this.#oracle.fail(`the leader of term ${message.term} commits ${message.commit} of an earlier term by counting`);
    if (this.#entries.size > ENTRIES_KEPT) {
      this.#entries.clear();
      this.#before.clear();
    }
  }

  /** Leader completeness (Raft thesis, 3.2): what was applied is in the log of every later leader. */
  #holds(message: MsgApp, index: number, term: number): void {
    const applied = this.#oracle.applied(index);
    if (applied === undefined || message.term <= applied.term) return;
    const committed = Number.parseInt(applied.content, 10);
    if (committed !== term)
      this.#oracle.fail(`the leader of term ${message.term} has ${index} of term ${term}; applied was ${committed}`);
  }

  /** Log matching (Raft thesis, 3.2): entries of one index and term are the same, and so is all before them. */
  #matches(key: string, known: Map<string, number>, value: number): void {
    const other = known.get(key);
    if (other !== undefined && other !== value) this.#oracle.fail(`two logs differ at ${key} or before`);
    known.set(key, value);
  }
}
