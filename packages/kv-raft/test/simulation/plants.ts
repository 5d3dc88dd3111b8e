/** A bug that was planted on purpose: one snippet of one source file, and what takes its place. */
export interface Plant {
  readonly name: string;
  /** Under packages/kv-raft/src. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Seeds, from 1 on, within which the simulation must find it. */
  readonly budget: number;
  /** Under packages/kv-raft/test: finds it instead: whole members come there never, or in too few seeds. */
  readonly test?: string;
}

/** Each must be found by the simulation: one that is not shows that the simulation is too weak. */
export const plants: readonly Plant[] = [
  {
    name: 'acknowledge-before-fsync',
    file: 'wal/wal.ts',
    find: '    await this.#file.datasync();\n    onSync',
    replace: '    this.#file.datasync().catch(() => undefined);\n    onSync',
    budget: 40,
  },
  {
    name: 'acknowledge-entries-before-fsync',
    file: 'raft/state.ts',
    find: "      case 'MsgAppResp':\n        this.messagesAfterPersist",
    replace: '        this.messagesAfterPersist',
    budget: 40,
  },
  {
    name: 'skip-current-term-commit-rule',
    file: 'raft/replication.ts',
    find: 'if (index <= before || state.log.term(index) !== state.term) return;',
    replace: 'if (index <= before) return;',
    budget: 120,
  },
  {
    name: 'forget-the-vote',
    file: 'wal/record.ts',
    find: '.u64(item.hardState.vote)',
    replace: '.u64(0n)',
    budget: 40,
  },
  {
    name: 'vote-before-fsync',
    file: 'raft/state.ts',
    find: '  send(message: Message): void {\n',
    replace:
      '  send(message: Message): void {\n' +
      "    if (message.type === 'MsgVoteResp' && message.to !== this.id) return void this.messages.push(message);\n",
    budget: 40,
  },
  {
    name: 'vote-twice-in-a-term',
    file: 'raft/election.ts',
    find: 'state.vote === NONE && state.leaderId === NONE',
    replace: 'state.leaderId === NONE',
    budget: 40,
  },
  {
    name: 'apply-twice-after-a-restart',
    file: 'driver/open-member.ts',
    find: 'return { index: header.index, term: header.term, confState: header.confState };',
    replace: 'return { index: header.index - 1, term: header.term, confState: header.confState };',
    budget: 40,
  },
  {
    name: 'apply-while-a-snapshot-is-restored',
    file: 'raft/log.ts',
    find: 'return !this.#restoring && this.#applying',
    replace: 'return this.#applying',
    budget: 1,
    test: 'raft/configuration.test.ts',
  },
  {
    name: 'drop-a-watch-event',
    file: 'watch/watch-hub.ts',
    find: 'watcher.next = Math.max(watcher.next, first);',
    replace: 'watcher.next = Math.max(watcher.next, first + 1);',
    budget: 15,
  },
  {
    name: 'deliver-half-a-revision',
    file: 'watch/watch-hub.ts',
    find: '      group.pending = [];\n',
    replace: '      group.pending = events.splice(2);\n',
    budget: 15,
  },
  {
    name: 'progress-before-events',
    file: 'watch/watch-hub.ts',
    find: 'if (!stream.progressRequested || stream.lagging.size > 0) return;',
    replace: 'if (!stream.progressRequested) return;',
    budget: 15,
  },
  {
    name: 'read-without-a-quorum',
    file: 'raft/read-index.ts',
    find: 'state.reads.takeAcked(state.tracker.ackedRound())',
    replace: 'state.reads.takeAcked(state.reads.round)',
    budget: 1,
    test: 'raft/configuration.test.ts',
  },
  {
    name: 'read-before-the-own-term',
    file: 'raft/read-index.ts',
    find: 'if (!hasCommittedInTerm(state)) state.reads.postpone(read);\n  else openRound',
    replace: 'openRound',
    budget: 40,
  },
  {
    name: 'read-before-it-is-applied',
    file: 'driver/pending-reads.ts',
    find: 'if (state.index <= applied) for',
    replace: 'if (applied >= 0) for',
    budget: 40,
  },
  {
    name: 'lease-expires-early',
    file: 'lease/lease-clock.ts',
    find: 'nowMs + lease.ttl * 1000',
    replace: 'nowMs + lease.ttl * 700',
    budget: 15,
  },
  {
    name: 'lease-is-not-renewed',
    file: 'server/state-machine.ts',
    find: 'lease.renewedIndex = index;\n          this.leaseClock.renew(lease, this.#now());',
    replace: 'lease.renewedIndex = index;',
    budget: 15,
  },
  {
    name: 'lease-never-expires-after-a-change-of-the-leader',
    file: 'server/lease-server.ts',
    find: 'this.#cancel = leading ?',
    replace: 'this.#cancel ??= leading ?',
    budget: 15,
  },
  {
    name: 'lease-ended-by-a-late-decision',
    file: 'server/state-machine.ts',
    find: 'lease !== undefined && lease.renewedIndex !== command.renewedIndex',
    replace: 'false',
    budget: 100,
  },
  {
    name: 'quorum-of-one-less',
    file: 'raft/quorum.ts',
    find: 'return Math.floor(size / 2) + 1;',
    replace: 'return Math.floor(size / 2);',
    budget: 15,
  },
  {
    name: 'quorum-of-half',
    file: 'raft/quorum.ts',
    find: 'return Math.floor(size / 2) + 1;',
    replace: 'return Math.ceil(size / 2);',
    budget: 200,
  },
  {
    name: 'commit-without-the-outgoing-majority',
    file: 'raft/quorum.ts',
    find: 'return Math.min(reachedByMajority(config.voters, valueOf), reachedByMajority(config.votersOutgoing, valueOf));',
    replace: 'return reachedByMajority(config.voters, valueOf);',
    budget: 1,
    test: 'raft/configuration.test.ts',
  },
  {
    name: 'elect-without-the-outgoing-majority',
    file: 'raft/quorum.ts',
    find: 'const outgoing = votesOf(config.votersOutgoing, votes);',
    replace: 'const outgoing = incoming;',
    budget: 1,
    test: 'raft/configuration.test.ts',
  },
  {
    name: 'cut-the-log-where-it-matches',
    file: 'raft/log.ts',
    find: 'if (conflict !== -1) this.append(conflict === 0 ? entries : entries.slice(conflict));',
    replace: 'this.append(entries.filter((entry) => entry.index > this.committed));',
    budget: 40,
  },
  {
    name: 'append-without-the-term-before',
    file: 'raft/log.ts',
    find: 'if (!this.matches(index, term)) return undefined;',
    replace: 'if (index > this.lastIndex) return undefined;',
    budget: 1,
    test: 'raft/property.test.ts',
  },
  {
    name: 'snapshot-without-some-keys',
    file: 'mvcc/snapshot.ts',
    find: 'if (versions.length === 0) return true;',
    replace: 'if (versions.length === 0 || seen === 5) return true;',
    budget: 15,
  },
  {
    name: 'snapshot-with-another-index-than-its-data',
    file: 'driver/applier.ts',
    find: 'const metadata = { index, term: this.#appliedTerm,',
    replace: 'const metadata = { index: index - 1, term: this.#appliedTerm,',
    budget: 40,
  },
  {
    name: 'torn-tail-not-cut',
    file: 'wal/replay.ts',
    find: 'await cut(disk, path, end);',
    replace: '',
    budget: 40,
  },
  {
    name: 'accept-damage-in-the-middle',
    file: 'wal/replay.ts',
    find: 'if (hasRecordAfter(await readWhole(disk, path), end, replay.sequence))',
    replace: 'if (size < 0)',
    budget: 15,
  },
  {
    name: 'trust-the-cache-after-a-failed-sync',
    file: 'wal/replay.ts',
    find: 'if (replay.lastRecord !== undefined) await',
    replace: 'if (replay.sequence < 0) await',
    budget: 100,
  },
  {
    name: 'compaction-drops-live-versions',
    file: 'mvcc/store.ts',
    find: 'let keepFrom = indexAt(record, this.#compactRevision);',
    replace: 'let keepFrom = indexAt(record, this.#compactRevision) + 1;',
    budget: 15,
  },
  {
    name: 'compare-before-the-proposal',
    file: 'server/kv-server.ts',
    find: "const result = await this.#proposer.propose<'txn'>(operation",
    replace:
      'const { succeeded } = executeTxn(this.#machine.store, { ...operation, success: [], failure: [] });\n' +
      '    const taken = succeeded ? operation.success : operation.failure;\n' +
      "    const result = await this.#proposer.propose<'txn'>({ ...operation, compare: [], success: taken }",
    budget: 40,
  },
  {
    name: 'propose-again-what-may-be-done',
    file: 'server/proposer.ts',
    find: "if (error.code !== 'no-leader' || signal.aborted)",
    replace: "if ((error.code !== 'no-leader' && error.code !== 'leader-lost') || signal.aborted)",
    budget: 15,
  },
];
