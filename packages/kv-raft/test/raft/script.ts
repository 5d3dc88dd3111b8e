import { encodeConfChange, type ConfChangeSingle } from '../../src/raft/conf-change.ts';
import { emptyConfState } from '../../src/raft/conf-change.ts';
import type { Entry, Message } from '../../src/raft/message.ts';
import { Cluster } from './cluster.ts';

/**
 * Runs scripts against a cluster of cores and prints what happens. Commands:
 *
 *   cluster VOTERS [LEARNERS]     begin anew
 *   campaign ID | tick ID [N] | propose ID TEXT | read ID CONTEXT | transfer ID TO | compact ID | restart ID
 *   conf ID +V… ~L… -R…           change voters, learners, removals; none: leave a joint configuration
 *   cut ID… | heal                drop what passes between these and the others
 *   deliver [N]                   pass messages on, all or N, and print each
 *   status | log ID
 */
export class Script {
  #cluster = new Cluster(1);
  #out: string[] = [];
  #seen = new Map<bigint, { state: string; applied: number; reads: number }>();

  run(line: string): string[] {
    this.#out = [];
    const [command = '', ...words] = line.trim().split(/\s+/u);
    this.#execute(command, words);
    this.#report();
    return this.#out;
  }

  #execute(command: string, words: readonly string[]): void {
    const [first = '', second = ''] = words;
    const id = Number(first);
    switch (command) {
      case 'cluster': {
        const ids = Array.from({ length: id + Number(second) }, (_, i) => BigInt(i + 1));
        const confState = { ...emptyConfState, voters: ids.slice(0, id), learners: ids.slice(id) };
        this.#cluster = new Cluster(ids.length, {}, confState);
        this.#seen.clear();
        return;
      }
      case 'campaign':
        this.#cluster.raft(id).campaign();
        return;
      case 'tick':
        for (let i = 0; i < Number(second || 1); i++) {
          this.#cluster.raft(id).tick();
          this.#cluster.collect();
        }
        return;
      case 'propose':
        this.#propose(id, 'normal', Buffer.from(words.slice(1).join(' ')));
        return;
      case 'conf': {
        const changes = words.slice(1).map((word): ConfChangeSingle => {
          const type = word.startsWith('+') ? 'add-voter' : word.startsWith('~') ? 'add-learner' : 'remove';
          return { type, id: BigInt(word.slice(1)) };
        });
        this.#propose(id, 'conf-change', encodeConfChange({ transition: 'auto', changes, context: new Uint8Array(0) }));
        return;
      }
      case 'read':
        this.#cluster.raft(id).readIndex(Number(second));
        return;
      case 'transfer':
        this.#cluster.raft(id).transferLeader(BigInt(second));
        return;
      case 'compact':
        this.#cluster.node(id).compact();
        return;
      case 'restart':
        this.#cluster.node(id).restart();
        return;
      case 'cut':
        this.#cluster.isolate(...words.map(Number));
        return;
      case 'heal':
        this.#cluster.isolate();
        return;
      case 'deliver':
        this.#deliver(first === '' ? Number.POSITIVE_INFINITY : id);
        return;
      case 'status':
        this.#status();
        return;
      case 'log':
        for (const entry of this.#cluster.node(id).disk.entries) this.#out.push(describeEntry(entry));
        return;
      default:
        throw new Error(`unknown command: ${command}`);
    }
  }

  #propose(id: number, type: Entry['type'], data: Uint8Array): void {
    const outcome = this.#cluster.raft(id).propose([{ type, data }], 1);
    this.#out.push(outcome.outcome === 'dropped' ? `dropped: ${outcome.reason}` : outcome.outcome);
  }

  #deliver(count: number): void {
    this.#cluster.collect();
    this.#report();
    for (let i = 0; i < count; i++) {
      const message = this.#cluster.queue.shift();
      if (message === undefined) return;
      const lost = this.#cluster.drop(message);
      this.#out.push(`${describe(message)}${lost ? ' (lost)' : ''}`);
      if (!lost) this.#cluster.raft(Number(message.to)).step(message);
      this.#cluster.collect();
      this.#report();
    }
  }

  #status(): void {
    for (const { raft } of this.#cluster.nodes.values()) {
      const { id, role, term, leaderId, commitIndex, appliedIndex, lastIndex } = raft.status;
      this.#out.push(
        `${id} ${role} term=${term} leader=${leaderId} commit=${commitIndex} applied=${appliedIndex} last=${lastIndex}`,
      );
    }
  }

  /** Prints what has changed at the nodes. */
  #report(): void {
    for (const node of this.#cluster.nodes.values()) {
      const { role, term, leaderId, confState } = node.raft.status;
      const conf = JSON.stringify(confState, (_key, value: unknown) =>
        typeof value === 'bigint' ? Number(value) : value,
      );
      const state = `${role} term=${term} leader=${leaderId}`;
      const seen = this.#seen.get(node.id) ?? { state: 'follower term=0 leader=0', applied: 0, reads: 0 };
      if (seen.state !== state) this.#out.push(`  ${node.id}: ${state}`);
      for (const entry of node.applied.slice(seen.applied)) {
        this.#out.push(`  ${node.id}: applies ${describeEntry(entry)}`);
        if (entry.type === 'conf-change') this.#out.push(`  ${node.id}: ${conf}`);
      }
      for (const { context, index } of node.readStates.slice(seen.reads))
        this.#out.push(`  ${node.id}: read ${context} at ${index}`);
      this.#seen.set(node.id, { state, applied: node.applied.length, reads: node.readStates.length });
    }
  }
}

function describeEntry({ index, term, type, data }: Entry): string {
  return `${index}/${term} ${type === 'normal' ? JSON.stringify(Buffer.from(data).toString()) : type}`;
}

function describe(message: Message): string {
  const { type, from, to, term, ...rest } = message;
  const fields = Object.entries(rest).map(([name, value]: [string, unknown]) => {
    if (name === 'entries') return `entries=[${(value as Entry[]).map(describeEntry).join(', ')}]`;
    if (name === 'proposals') return `proposals=${(value as unknown[]).length}`;
    if (name === 'snapshot') return `snapshot=${(value as { index: number }).index}`;
    return `${name}=${String(value)}`;
  });
  return [`${from}>${to} ${type} term=${term}`, ...fields].join(' ');
}
