import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

async function freePorts(
  range: { readonly from: number; readonly to: number },
  count: number,
  members: readonly MemberProcess[] = [],
): Promise<number[]> {
  const ports: number[] = [];
  // Those of members that are down are kept for them.
  const taken = new Set(members.flatMap(({ clientUrl, peerUrl }) => [clientUrl, peerUrl]));
  for (let port = range.from; port <= range.to && ports.length < count; port++) {
    if (taken.has(`http://127.0.0.1:${port}`)) continue;
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ host: '127.0.0.1', port }, () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  if (ports.length < count) throw new Error('too few free ports');
  return ports;
}

const PORTS_DEFAULT = { from: 23870, to: 23899 };

function memberOf(name: string, ports: readonly number[]): MemberProcess {
  const [client, peer] = ports.map((port) => `http://127.0.0.1:${port}`);
  return { name, clientUrl: client ?? '', peerUrl: peer ?? '', child: undefined, output: '' };
}

/** As --initial-cluster has it. */
function clusterOf(members: readonly MemberProcess[]): string {
  return members.map((each) => `${each.name}=${each.peerUrl}`).join();
}

/** One kv-raft process. */
export interface MemberProcess {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  child: ChildProcess | undefined;
  output: string;
}

export interface MembersOptions {
  readonly flags?: readonly string[];
  /** How many members begin; default 3. */
  readonly size?: number;
  readonly ports?: { readonly from: number; readonly to: number };
  /** What runs a member; another program must know etcd's flags. Default: kv-raft. */
  readonly command?: readonly [string, ...string[]];
}

/** kv-raft processes over plain http with data folders of their own: three, and those that join. */
export class Members implements AsyncDisposable {
  readonly members: MemberProcess[];
  readonly dataDir: string;
  readonly #flags: readonly string[];

  readonly #command: readonly [string, ...string[]];

  readonly #initialCluster: string;
  readonly #ports: MembersOptions['ports'];

  private constructor(members: MemberProcess[], dataDir: string, options: MembersOptions) {
    this.members = members;
    this.dataDir = dataDir;
    this.#initialCluster = clusterOf(members);
    this.#ports = options.ports;
    this.#flags = options.flags ?? [];
    this.#command = options.command ?? [process.execPath, MAIN];
  }

  static async start(...flags: readonly string[]): Promise<Members> {
    return await Members.startWith({ flags });
  }

  static async startWith(options: MembersOptions): Promise<Members> {
    const cluster = await Members.prepare(options);
    await cluster.startAll();
    return cluster;
  }

  /** Members with addresses and a folder, not started. */
  static async prepare(options: MembersOptions): Promise<Members> {
    const size = options.size ?? 3;
    const ports = await freePorts(options.ports ?? PORTS_DEFAULT, 2 * size);
    const members = ['a', 'b', 'c', 'd', 'e'].slice(0, size).map((name, i) => memberOf(name, ports.slice(2 * i)));
    return new Members(members, await mkdtemp(join(tmpdir(), 'naru-kv-')), options);
  }

  /** Starts all, and resolves when one leads. */
  async startAll(): Promise<void> {
    for (const member of this.members) this.startMember(member);
    await this.leader();
  }

  get urls(): readonly string[] {
    return this.members.map((each) => each.clientUrl);
  }

  /** A member that is to join: with addresses, not started. */
  async newMember(name: string): Promise<MemberProcess> {
    const member = memberOf(name, await freePorts(this.#ports ?? PORTS_DEFAULT, 2, this.members));
    this.members.push(member);
    return member;
  }

  /** Starts a member that was added, which must know of all `members`. */
  joinMember(member: MemberProcess, members: readonly MemberProcess[]): void {
    this.startMember(member, ['--initial-cluster-state=existing', `--initial-cluster=${clusterOf(members)}`]);
  }

  startMember(member: MemberProcess, flags: readonly string[] = []): void {
    const argv = [
      `--name=${member.name}`,
      `--data-dir=${join(this.dataDir, member.name)}`,
      `--listen-client-urls=${member.clientUrl}`,
      `--advertise-client-urls=${member.clientUrl}`,
      `--listen-peer-urls=${member.peerUrl}`,
      `--initial-advertise-peer-urls=${member.peerUrl}`,
      ...(flags.some((flag) => flag.startsWith('--initial-cluster='))
        ? []
        : [`--initial-cluster=${this.#initialCluster}`]),
      ...this.#flags,
      ...flags,
    ];
    const [program, ...first] = this.#command;
    const child = spawn(program, [...first, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    const note = (chunk: Buffer): void => {
      member.output = (member.output + chunk.toString()).slice(-100_000);
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    member.child = child;
  }

  /** Ends a member; resolves with its exit status, null if a signal ended it. */
  async stopMember(member: MemberProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const { child } = member;
    if (child === undefined) return null;
    member.child = undefined;
    if (child.exitCode !== null) return child.exitCode;
    const exited = once(child, 'exit') as Promise<[number | null]>;
    child.kill(signal);
    const [code] = await exited;
    return code;
  }

  /** The leader, once all living members agree on one. */
  async leader(): Promise<MemberProcess> {
    return await eventually(
      async () => {
        const living = this.members.filter((each) => each.child !== undefined);
        const dead = living.find((each) => each.child?.exitCode !== null);
        if (dead !== undefined) throw new Error(`member ${dead.name} ended: ${dead.output.slice(-2000)}`);
        const told = await Promise.all(
          living.map(async (member) => {
            await using client = new EtcdClient({ endpoints: [member.clientUrl] });
            const { leader, header } = await client.status();
            return { member, leader, id: header.memberId };
          }),
        );
        if (new Set(told.map((each) => each.leader)).size !== 1) throw new Error('no agreement');
        const leader = told.find((each) => each.id === each.leader);
        if (leader === undefined) throw new Error('the leader is none of the living');
        return leader.member;
      },
      { deadlineMs: 60_000 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(async (each) => await this.stopMember(each, 'SIGKILL')));
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

/** Runs kv-raft with flags that end it at once. */
export async function runMain(...argv: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}
