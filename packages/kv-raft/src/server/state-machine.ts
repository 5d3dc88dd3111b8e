import { refuseCommand } from '../auth/access.ts';
import type { AuthOperation } from '../auth/auth-operation.ts';
import { AuthStore } from '../auth/auth-store.ts';
import { AUTH_TOKEN_TTL_MS_DEFAULT, SimpleTokens } from '../auth/simple-tokens.ts';
import type { CommandEntry, StateMachine } from '../consensus.ts';
import { LeaseClock } from '../lease/lease-clock.ts';
import { LeaseStore } from '../lease/lease-store.ts';
import { alarmTypes, decodeProposal, type Command, type Origin } from '../mvcc/command.ts';
import { refuse, type OperationResult, type Refusal } from '../mvcc/operation.ts';
import { mayPut } from '../mvcc/request.ts';
import type { Alarm } from '../mvcc/snapshot.ts';
import { MvccStore } from '../mvcc/store.ts';
import { executeTxn } from '../mvcc/txn.ts';
import type { Version } from '../mvcc/version.ts';
import { readSnapshot, writeSnapshot } from './snapshot-stream.ts';

/** What a command answers: an operation's result, the revision for those without one, a lease's time, or a refusal. */
export type CommandResult =
  | OperationResult
  | Refusal
  | { readonly type: 'done'; readonly revision: number }
  /** `ttl` is 0 when there is no such lease. */
  | { readonly type: 'renewed'; readonly revision: number; readonly ttl: number }
  | { readonly type: 'authenticated'; readonly revision: number; readonly token: string };

export interface StateMachineEvents {
  /** Changes of one or more revisions, in order, after all of them are applied. */
  changed(changes: readonly Version[]): void;
  /** The store was compacted: physical compaction is to be driven. */
  compacted(): void;
  /** Everything was replaced by a snapshot. */
  restored(): void;
  leadershipChanged(term: number | undefined): void;
}

/**
 * The replicated state: keys, leases, alarms, users. Synchronous and deterministic but for the clocks of leases and tokens,
 * which are local.
 */
export class KvStateMachine implements StateMachine<CommandResult> {
  readonly leaseClock = new LeaseClock();
  readonly tokens: SimpleTokens;
  /** Milliseconds of a clock that never goes backwards. */
  readonly #now: () => number;
  readonly #events: StateMachineEvents;
  #store = new MvccStore(new LeaseStore());
  #alarms = new Map<string, Alarm>();
  #auth = new AuthStore();
  #appliedIndex = 0;

  constructor(options: {
    readonly now: () => number;
    readonly events: StateMachineEvents;
    readonly authTokenTtlMs?: number;
  }) {
    this.#now = options.now;
    this.#events = options.events;
    this.tokens = new SimpleTokens(options.authTokenTtlMs ?? AUTH_TOKEN_TTL_MS_DEFAULT);
  }

  get store(): MvccStore {
    return this.#store;
  }

  get auth(): AuthStore {
    return this.#auth;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get alarms(): readonly Alarm[] {
    return [...this.#alarms.values()];
  }

  apply(entries: readonly CommandEntry[]): readonly CommandResult[] {
    const results: CommandResult[] = [];
    const changes: Version[] = [];
    for (const entry of entries) {
      const { command, origin } = decodeProposal(entry.data);
      const result = this.#execute(command, origin, entry.index);
      for (const change of this.#store.commit()) changes.push(change);
      this.#appliedIndex = entry.index;
      results.push(result);
    }
    if (changes.length > 0) this.#events.changed(changes);
    return results;
  }

  snapshot(): { readonly index: number; readonly chunks: AsyncIterable<Uint8Array> } {
    const store = this.#store;
    const header = {
      appliedIndex: this.#appliedIndex,
      revision: store.revision,
      compactRevision: store.compactRevision,
      leases: Array.from(store.leases.values(), ({ id, ttl, renewedIndex }) => ({ id, ttl, renewedIndex })),
      alarms: this.alarms,
      auth: this.#auth.encode(),
    };
    return { index: this.#appliedIndex, chunks: writeSnapshot(store, header, store.pin()) };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { store, header } = await readSnapshot(chunks);
    this.#store = store;
    this.#alarms = new Map(header.alarms.map((alarm) => [alarmKey(alarm), alarm]));
    this.#auth = header.auth === undefined ? new AuthStore() : AuthStore.decode(header.auth);
    this.tokens.clear();
    this.#appliedIndex = header.appliedIndex;
    this.leaseClock.extendAll(store.leases.values(), this.#now());
    this.#events.restored();
  }

  leadershipChanged(term: number | undefined): void {
    if (term !== undefined) this.leaseClock.extendAll(this.#store.leases.values(), this.#now());
    this.#events.leadershipChanged(term);
  }

  #execute(command: Command, origin: Origin, index: number): CommandResult {
    const refusal = this.#refusedByAlarm(command);
    if (refusal !== undefined) return refusal;
    const store = this.#store;
    if (this.#auth.enabled && origin !== 'cluster') {
      const info = origin === 'anonymous' ? undefined : origin;
      const code = refuseCommand({ auth: this.#auth, leases: store.leases }, info, command);
      if (code !== undefined) return refuse(code);
    }
    switch (command.type) {
      case 'put':
        return store.put(command);
      case 'deleteRange':
        return store.deleteRange(command);
      case 'txn':
        return executeTxn(store, command);
      case 'compaction':
        return this.#compact(command.revision);
      case 'leaseGrant':
        return this.#grant(command.id, command.ttl, index);
      case 'leaseRevoke':
        return this.#revoke(command.id);
      case 'leaseExpire': {
        const lease = store.leases.get(command.id);
        // Renewed since it was found to have expired: who renewed it was promised its whole time.
        const isRenewed = lease !== undefined && lease.renewedIndex !== command.renewedIndex;
        return isRenewed ? { type: 'done', revision: store.revision } : this.#revoke(command.id);
      }
      case 'leaseKeepAlive': {
        const lease = store.leases.get(command.id);
        if (lease !== undefined) {
          lease.renewedIndex = index;
          this.leaseClock.renew(lease, this.#now());
        }
        return { type: 'renewed', revision: store.revision, ttl: lease?.ttl ?? 0 };
      }
      case 'alarm':
        if (command.activate) this.#alarms.set(alarmKey(command), { memberId: command.memberId, alarm: command.alarm });
        else this.#alarms.delete(alarmKey(command));
        return { type: 'done', revision: store.revision };
      case 'auth':
        return this.#executeAuth(command.operation, index);
      default:
        return command satisfies never;
    }
  }

  #refusedByAlarm(command: Command): Refusal | undefined {
    if (this.#alarms.size === 0 || command.type === 'alarm' || command.type === 'auth') return undefined;
    const active = new Set(Array.from(this.#alarms.values(), (each) => each.alarm));
    if (active.has('CORRUPT')) return refuse('corrupt');
    const grows =
      command.type === 'leaseGrant' || ((command.type === 'put' || command.type === 'txn') && mayPut(command));
    return active.has('NOSPACE') && grows ? refuse('noSpace') : undefined;
  }

  #executeAuth(operation: AuthOperation, index: number): CommandResult {
    const code = this.#auth.execute(operation);
    if (code !== undefined) return refuse(code);
    const { revision } = this.#store;
    switch (operation.action) {
      case 'authenticate': {
        const token = `${operation.tokenPrefix}.${index}`;
        this.tokens.assign(token, operation.name, this.#now());
        return { type: 'authenticated', revision, token };
      }
      case 'disable':
        this.tokens.clear();
        break;
      case 'userDelete':
      case 'userChangePassword':
        this.tokens.revoke(operation.name);
        break;
      default:
        break;
    }
    return { type: 'done', revision };
  }

  #compact(revision: number): CommandResult {
    const refusal = this.#store.compact(revision);
    if (refusal !== undefined) return refusal;
    this.#events.compacted();
    return { type: 'done', revision: this.#store.revision };
  }

  #grant(id: bigint, ttl: number, index: number): CommandResult {
    if (this.#store.leases.has(id)) return refuse('leaseExists');
    this.leaseClock.renew(this.#store.leases.grant(id, ttl, index), this.#now());
    return { type: 'done', revision: this.#store.revision };
  }

  #revoke(id: bigint): CommandResult {
    if (!this.#store.revokeLease(id)) return refuse('leaseNotFound');
    this.leaseClock.remove(id);
    return { type: 'done', revision: this.#store.readRevision };
  }
}

function alarmKey(alarm: Alarm): string {
  return `${alarm.memberId}/${alarmTypes.indexOf(alarm.alarm)}`;
}
