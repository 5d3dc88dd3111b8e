import { isDeepStrictEqual, inspect } from 'node:util';
import { crc32 } from 'node:zlib';
import type { CommandEntry } from '../../src/consensus.ts';
import { decodeCommand, type Command } from '../../src/mvcc/command.ts';
import { NO_END, type Operation, type TxnOperation } from '../../src/mvcc/operation.ts';
import { recordPayloads } from '../../src/mvcc/snapshot.ts';
import type { KvStateMachine } from '../../src/server/state-machine.ts';
import { ModelStore, type ModelKv } from '../mvcc/model.ts';
import { modelKv } from './model-words.ts';

/** A command at its place in the log, as whoever applied it first had it. */
export interface AppliedCommand {
  readonly index: number;
  readonly content: string;
  /** What every member must answer, in the model's words; undefined where the model does not know. */
  readonly expected: unknown;
  readonly revision: number;
  /** What is replicated besides keys, as text. */
  readonly rest: string;
  /** No leader of a later term can lack this entry. */
  readonly term: number;
}

interface LeaseRecord {
  /** Index of the command that granted or last renewed it. */
  renewedIndex: number;
  /** Somebody asked for its end. */
  revokeRequested: boolean;
  /** A client was told that it lives until then. */
  guaranteedUntil: number;
  revokedAt: number | undefined;
}

/** Commands between two comparisons of a member's whole state with the model's. */
const FULL_CHECK_COMMANDS = 16;

/**
 * Knows what is right: the one log that all members apply, and by a plain model what every command must answer and every
 * revision must hold. Everything that members and clients see is held against it.
 */
export class Oracle {
  readonly model = new ModelStore();
  readonly #now: () => number;
  readonly #clockRateMax: number;
  readonly #log: AppliedCommand[] = [];
  readonly #positions = new Map<number, number>();
  readonly #tags = new Map<string, AppliedCommand>();
  readonly #leases = new Map<bigint, LeaseRecord>();
  readonly #ttls = new Map<bigint, number>();
  readonly #alarms = new Set<string>();
  readonly #hashes = new Map<string, number>();
  readonly #unchecked = new Map<string, number>();
  /** The highest revision that any client was told of. */
  acknowledgedRevision = 1;
  breach: Error | undefined;
  #digest = 0;
  termMax = 0;
  readonly counts = { fullChecks: 0, restores: 0 };

  readonly #trace: ((line: string) => void) | undefined;

  constructor(options: {
    readonly now: () => number;
    readonly clockRateMax: number;
    /** Told of everything that is noted. */
    readonly trace?: ((line: string) => void) | undefined;
  }) {
    this.#trace = options.trace;
    this.#now = options.now;
    this.#clockRateMax = options.clockRateMax;
  }

  fail(reason: string): void {
    this.breach ??= new Error(`at ${this.#now()} ms: ${reason}`);
  }

  /** Adds to what two runs of one seed must have in common. */
  note(text: string): void {
    const line = `${this.#now()} ${text}\n`;
    this.#trace?.(line);
    this.#digest = crc32(line, this.#digest);
  }

  get digest(): string {
    return this.#digest.toString(16);
  }

  get commandCount(): number {
    return this.#log.length;
  }

  /** The command at `index`, if any member has applied it. */
  applied(index: number): AppliedCommand | undefined {
    return this.#log[this.#positions.get(index) ?? -1];
  }

  byTag(tag: string): AppliedCommand | undefined {
    return this.#tags.get(tag);
  }

  get liveLeases(): readonly bigint[] {
    return [...this.#ttls.keys()];
  }

  /** A member whose last command was at `previous` applies `entry`. */
  apply(name: string, previous: number, entry: CommandEntry): AppliedCommand {
    const content = `${entry.term} ${Buffer.from(entry.data).toString('latin1')}`;
    const position = this.#positions.get(entry.index) ?? this.#log.length;
    const before = this.#log[position - 1]?.index ?? 0;
    if (before !== previous)
      this.fail(`${name} applies index ${entry.index} after ${previous}, but the command before it is at ${before}`);
    const known = this.#log[position];
    if (known !== undefined) {
      if (known.content !== content)
        this.fail(`index ${entry.index} was applied as ${inspect(known.content)}, at ${name} as ${inspect(content)}`);
      return known;
    }
    if (entry.index <= before) this.fail(`${name} applies index ${entry.index}, which nobody else has`);
    const command = decodeCommand(entry.data);
    const applied: AppliedCommand = {
      index: entry.index,
      content,
      expected: this.#execute(command, entry.index),
      revision: this.model.revision,
      rest: this.#rest(),
      term: this.termMax,
    };
    this.#positions.set(entry.index, this.#log.length);
    this.#log.push(applied);
    for (const tag of new Set(tagsOf(command))) {
      if (this.#tags.has(tag))
        this.fail(`${tag} is in the log twice: at ${this.#tags.get(tag)?.index} and ${entry.index}`);
      this.#tags.set(tag, applied);
    }
    this.note(`applied ${entry.index} ${content}`);
    return applied;
  }

  #rest(): string {
    const leases = [...this.#ttls].map(([id, ttl]) => `${id}:${ttl}`).sort();
    return `compacted ${this.model.compacted} leases ${leases.join()} alarms ${[...this.#alarms].sort().join()}`;
  }

  #execute(command: Command, index: number): unknown {
    const { model } = this;
    switch (command.type) {
      case 'put':
      case 'txn':
        if (this.#alarms.size > 0 && mayPut(command)) return { error: 'noSpace' };
        return model.run(command);
      case 'deleteRange':
        return model.run(command);
      case 'compaction': {
        const error = model.compact(command.revision);
        return error === undefined ? { revision: model.revision } : { error };
      }
      case 'leaseGrant':
        if (this.#alarms.size > 0) return { error: 'noSpace' };
        if (model.leases.has(command.id)) return { error: 'leaseExists' };
        model.leases.add(command.id);
        this.#ttls.set(command.id, command.ttl);
        this.#lease(command.id).renewedIndex = index;
        return { revision: model.revision };
      case 'leaseRevoke':
        return this.#revoke(command.id);
      case 'leaseExpire':
        if (this.#ttls.has(command.id) && this.#lease(command.id).renewedIndex !== command.renewedIndex)
          return { revision: model.revision };
        return this.#revoke(command.id);
      case 'leaseKeepAlive':
        this.#lease(command.id).renewedIndex = index;
        return { revision: model.revision, ttl: this.#ttls.get(command.id) ?? 0 };
      case 'alarm': {
        if (command.alarm === 'CORRUPT') this.fail('a member raises the CORRUPT alarm');
        const alarm = `${command.memberId}/${command.alarm}`;
        if (command.activate) this.#alarms.add(alarm);
        else this.#alarms.delete(alarm);
        return { revision: model.revision };
      }
      default:
        return undefined;
    }
  }

  #revoke(id: bigint): unknown {
    if (!this.model.revoke(id)) return { error: 'leaseNotFound' };
    this.#ttls.delete(id);
    const lease = this.#lease(id);
    lease.revokedAt = this.#now();
    this.#checkLease(id, lease);
    return { revision: this.model.revision };
  }

  #lease(id: bigint): LeaseRecord {
    let lease = this.#leases.get(id);
    if (lease === undefined) {
      lease = { renewedIndex: 0, revokeRequested: false, guaranteedUntil: 0, revokedAt: undefined };
      this.#leases.set(id, lease);
    }
    return lease;
  }

  /** A client was answered that the lease, asked for or renewed at `askedAt`, has its whole time. */
  leaseRenewed(id: bigint, askedAt: number, ttl: number): void {
    const lease = this.#lease(id);
    // A fast clock counts the time down early.
    lease.guaranteedUntil = Math.max(lease.guaranteedUntil, askedAt + (ttl * 1000) / this.#clockRateMax);
    this.#checkLease(id, lease);
  }

  leaseRevokeRequested(id: bigint): void {
    this.#lease(id).revokeRequested = true;
  }

  #checkLease(id: bigint, lease: LeaseRecord): void {
    if (lease.revokedAt === undefined || lease.revokeRequested) return;
    if (lease.revokedAt < lease.guaranteedUntil - 1)
      this.fail(`lease ${id} expired at ${lease.revokedAt}, but was promised until ${lease.guaranteedUntil}`);
  }

  /** Compares a member's whole state with the model's, every now and then, or now. */
  check(name: string, machine: KvStateMachine, options: { readonly now: boolean }): void {
    const waited = (this.#unchecked.get(name) ?? 0) + 1;
    this.#unchecked.set(name, waited);
    if (!options.now && waited < FULL_CHECK_COMMANDS) return;
    this.#unchecked.set(name, 0);
    this.counts.fullChecks++;
    if (machine.appliedIndex === 0) return;
    const { store } = machine;
    const applied = this.applied(machine.appliedIndex);
    if (applied === undefined)
      return this.fail(`${name} is at index ${machine.appliedIndex}, which nobody has applied`);
    const where = `${name} at index ${applied.index}`;
    if (store.revision !== applied.revision)
      return this.fail(`${where} is at revision ${store.revision}, not ${applied.revision}`);
    const leases = Array.from(store.leases.values(), ({ id, ttl }) => `${id}:${ttl}`).sort();
    const alarms = machine.alarms.map(({ memberId, alarm }) => `${memberId}/${alarm}`).sort();
    const rest = `compacted ${store.compactRevision} leases ${leases.join()} alarms ${alarms.join()}`;
    if (rest !== applied.rest) return this.fail(`${where} has ${rest}, not ${applied.rest}`);
    this.#checkRevision(where, machine, store.revision);
    if (store.compactRevision > 0 && store.compactRevision < store.revision)
      this.#checkRevision(where, machine, store.compactRevision);
    this.#checkHash(where, machine);
    return undefined;
  }

  /** What the member has at `revision` is what the model has. */
  #checkRevision(where: string, machine: KvStateMachine, revision: number): void {
    const found: ModelKv[] = [];
    machine.store.visit({ key: '', end: NO_END }, revision, (version) => {
      found.push(modelKv(version));
    });
    const expected = this.stateAt(revision);
    if (!isDeepStrictEqual(found, expected))
      this.fail(`${where} has at revision ${revision} ${inspect(found)}, not ${inspect(expected)}`);
  }

  /** Members with equal revisions have equal hashes, over all that is not compacted. */
  #checkHash(where: string, { store }: KvStateMachine): void {
    const at = { revision: store.revision, compactRevision: store.compactRevision };
    let hash = 0;
    // Where records are cut into payloads may differ.
    for (const payload of recordPayloads(store, at)) hash = crc32(payload.subarray(1), hash);
    const key = `${at.revision}/${at.compactRevision}`;
    const known = this.#hashes.get(key);
    if (known !== undefined && known !== hash) this.fail(`${where} has another hash at revision ${key} than others`);
    this.#hashes.set(key, hash);
  }

  /** Every key at `revision`, in order. */
  stateAt(revision: number): readonly ModelKv[] {
    const state = this.model.states[revision];
    return state === undefined ? [] : [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}

function mayPut(operation: Operation): boolean {
  if (operation.type === 'put') return true;
  if (operation.type !== 'txn') return false;
  return [...operation.success, ...operation.failure].some(mayPut);
}

/** Every value that a client writes is written once only. */
function* tagsOf(command: Command | Operation): Generator<string> {
  if (command.type === 'put') yield command.value.toString();
  if (command.type === 'txn') yield* tagsOfTxn(command);
}

function* tagsOfTxn(txn: TxnOperation): Generator<string> {
  for (const operation of [...txn.success, ...txn.failure]) yield* tagsOf(operation);
}
