import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { componentCommand, componentEnvironment } from '../../packages/naru/src/supervisor/component-command.ts';
import { cpuSecondsOf, residentMiBOf } from '../process-figures.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const READY_DEADLINE_MS = 60_000;
const OUTPUT_CHARACTERS_KEPT = 4000;

export type StoreName = 'kv-raft' | 'etcd';

/** One member's process. */
export interface StoreMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  child: ChildProcess | undefined;
  /** The end of what it logged. */
  output: string;
}

/** Ports of loopback that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    server.listen({ host: '127.0.0.1', port: 0 });
    await once(server, 'listening');
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

/** Members of kv-raft or of etcd, three unless told otherwise, with the same flags: plain http on loopback, new data folders on one disk, fsync on. */
export class StoreCluster implements AsyncDisposable {
  readonly store: StoreName;
  readonly members: readonly StoreMember[];
  readonly #program: readonly [string, ...string[]];
  readonly #dataDir: string;

  private constructor(
    store: StoreName,
    members: readonly StoreMember[],
    from: { readonly program: readonly [string, ...string[]]; readonly dataDir: string },
  ) {
    this.store = store;
    this.members = members;
    this.#program = from.program;
    this.#dataDir = from.dataDir;
  }

  static async start(store: StoreName, names: readonly string[] = ['a', 'b', 'c']): Promise<StoreCluster> {
    const ports = await freePorts(2 * names.length);
    const members = names.map((name, i) => ({
      name,
      clientUrl: `http://127.0.0.1:${ports[2 * i] ?? 0}`,
      peerUrl: `http://127.0.0.1:${ports[2 * i + 1] ?? 0}`,
      child: undefined,
      output: '',
    }));
    const program =
      store === 'etcd'
        ? (['etcd', '--log-level=error'] as const)
        : (await componentCommand(REPOSITORY, console.error))('kv-raft');
    const dataDir = await mkdtemp(join(tmpdir(), 'naru-bench-'));
    const cluster = new StoreCluster(store, members, { program, dataDir });
    for (const member of members) cluster.startMember(member);
    await cluster.leader();
    return cluster;
  }

  startMember(member: StoreMember): void {
    const flags = [
      `--name=${member.name}`,
      `--data-dir=${join(this.#dataDir, member.name)}`,
      `--listen-client-urls=${member.clientUrl}`,
      `--advertise-client-urls=${member.clientUrl}`,
      `--listen-peer-urls=${member.peerUrl}`,
      `--initial-advertise-peer-urls=${member.peerUrl}`,
      `--initial-cluster=${this.members.map((each) => `${each.name}=${each.peerUrl}`).join()}`,
    ];
    const [program, ...first] = this.#program;
    const child = spawn(program, [...first, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: componentEnvironment(REPOSITORY, process.env),
    });
    const note = (chunk: Buffer): void => {
      member.output = (member.output + chunk.toString()).slice(-OUTPUT_CHARACTERS_KEPT);
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    const endWithParent = (): boolean => child.kill('SIGKILL');
    process.once('exit', endWithParent);
    child.once('exit', () => process.off('exit', endWithParent));
    member.child = child;
  }

  /** Ends a member's process and waits until it is gone. */
  async stopMember(member: StoreMember, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { child } = member;
    member.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  /** The leader, once all living members agree on one. */
  async leader(): Promise<StoreMember> {
    return await eventually(
      async () => {
        const living = this.members.filter((each) => each.child !== undefined);
        for (const { child, name, output } of living)
          if (child?.exitCode !== null) throw new Error(`${this.store} ${name} ended: ${output}`);
        const told = await Promise.all(
          living.map(async (member) => {
            await using client = new EtcdClient({ endpoints: [member.clientUrl] });
            const { leader, header } = await client.status();
            return { member, leader, id: header.memberId };
          }),
        );
        const leader = told.find((each) => each.id === each.leader);
        if (leader === undefined || new Set(told.map((each) => each.leader)).size !== 1) throw new Error('no leader');
        return leader.member;
      },
      { deadlineMs: READY_DEADLINE_MS },
    );
  }

  /** CPU seconds that all members have used so far. */
  async cpuSeconds(): Promise<number> {
    const each = await Promise.all(this.members.map(async ({ child }) => await cpuSecondsOf(child?.pid)));
    return each.reduce((sum, seconds) => sum + seconds, 0);
  }

  /** Resident memory of each member in MiB. */
  async residentMiB(): Promise<readonly number[]> {
    return await Promise.all(this.members.map(async ({ child }) => await residentMiBOf(child?.pid)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(async (each) => await this.stopMember(each, 'SIGKILL')));
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}
