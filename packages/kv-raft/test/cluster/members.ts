import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EtcdClient } from '@naru/etcd';
import { eventually } from '@naru/testkit';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

async function freePorts(range: { readonly from: number; readonly to: number }, count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let port = range.from; port <= range.to && ports.length < count; port++) {
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
  readonly ports?: { readonly from: number; readonly to: number };
  /** What runs a member; another program must know etcd's flags. Default: kv-raft. */
  readonly command?: readonly [string, ...string[]];
}

/** Three kv-raft processes over plain http with data folders of their own. */
export class Members implements AsyncDisposable {
  readonly members: readonly MemberProcess[];
  readonly #dataDir: string;
  readonly #flags: readonly string[];

  readonly #command: readonly [string, ...string[]];

  private constructor(members: readonly MemberProcess[], dataDir: string, options: MembersOptions) {
    this.members = members;
    this.#dataDir = dataDir;
    this.#flags = options.flags ?? [];
    this.#command = options.command ?? [process.execPath, MAIN];
  }

  static async start(...flags: readonly string[]): Promise<Members> {
    return await Members.startWith({ flags });
  }

  static async startWith(options: MembersOptions): Promise<Members> {
    const ports = await freePorts(options.ports ?? { from: 23870, to: 23899 }, 6);
    const members = ['a', 'b', 'c'].map((name, i) => ({
      name,
      clientUrl: `http://127.0.0.1:${ports[2 * i] ?? 0}`,
      peerUrl: `http://127.0.0.1:${ports[2 * i + 1] ?? 0}`,
      child: undefined,
      output: '',
    }));
    const cluster = new Members(members, await mkdtemp(join(tmpdir(), 'naru-kv-')), options);
    for (const member of members) cluster.startMember(member);
    await cluster.leader();
    return cluster;
  }

  get urls(): readonly string[] {
    return this.members.map((each) => each.clientUrl);
  }

  startMember(member: MemberProcess): void {
    const argv = [
      `--name=${member.name}`,
      `--data-dir=${join(this.#dataDir, member.name)}`,
      `--listen-client-urls=${member.clientUrl}`,
      `--advertise-client-urls=${member.clientUrl}`,
      `--listen-peer-urls=${member.peerUrl}`,
      `--initial-advertise-peer-urls=${member.peerUrl}`,
      `--initial-cluster=${this.members.map((each) => `${each.name}=${each.peerUrl}`).join()}`,
      ...this.#flags,
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
    await rm(this.#dataDir, { recursive: true, force: true });
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
