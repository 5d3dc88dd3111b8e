import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isEtcdError } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { setTimeout as delay } from 'node:timers/promises';
import type { DiskFault } from './member-hook.ts';
import { Network, type Host } from './network.ts';
import type { Undo } from './undo.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'packages', 'kv-raft', 'src', 'main.ts');
const HOOK = join(import.meta.dirname, 'member-hook.ts');
const PORTS = { from: 23_000, to: 23_859 } as const;
const OUTPUT_MAX = 40_000;
/** Processes that start on a busy machine. */
const LEADER_DEADLINE_MS = 120_000;

export interface Member {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly dataDir: string;
  readonly host: Host | undefined;
  readonly flags: readonly string[];
  child: ChildProcess | undefined;
  output: string;
  isPaused: boolean;
  /** Whether an end of the process is the test's doing. */
  mayEnd: boolean;
}

export interface ClusterOptions {
  readonly size: number;
  /** Each member in a network namespace of its own. Needs root. */
  readonly namespaces: boolean;
  /** Data folders on file systems of this size. Needs root. */
  readonly diskBytes?: number | undefined;
  /** A bug of packages/kv-raft/test/simulation/plants.ts. */
  readonly plant?: string | undefined;
  readonly flags?: readonly string[];
}

/** kv-raft processes that can be hurt in many ways. */
export class Cluster implements AsyncDisposable {
  /** Those that belong to the cluster now. */
  readonly members: Member[] = [];
  readonly network: Network | undefined;
  /** What went wrong with processes by themselves. */
  readonly problems: string[] = [];
  readonly #options: ClusterOptions;
  readonly #undo: Undo;
  readonly #folder: string;
  readonly #ports = new Set<number>();
  #named = 0;

  private constructor(options: ClusterOptions, undo: Undo) {
    this.#options = options;
    this.#undo = undo;
    this.#folder = mkdtempSync(join(tmpdir(), 'naru-rob-'));
    undo.add(() => rmSync(this.#folder, { recursive: true, force: true }));
    this.network = options.namespaces ? new Network(undo) : undefined;
  }

  static async start(options: ClusterOptions, undo: Undo): Promise<Cluster> {
    const cluster = new Cluster(options, undo);
    for (let i = 0; i < options.size; i++) cluster.members.push(await cluster.#newMember());
    const initialCluster = `--initial-cluster=${clusterOf(cluster.members)}`;
    for (const [i, member] of cluster.members.entries())
      cluster.members[i] = { ...member, flags: [...member.flags, initialCluster] };
    for (const member of cluster.members) cluster.startMember(member);
    try {
      await cluster.leader();
      return cluster;
    } catch (error) {
      const outputs = cluster.members.map(({ name, output }) => `${name}: ${output.slice(-1500)}`);
      throw new Error([...cluster.problems, ...outputs].join('\n'), { cause: error });
    }
  }

  get urls(): readonly string[] {
    return this.members.map((each) => each.clientUrl);
  }

  /** Those that run and are not paused. */
  get running(): readonly Member[] {
    return this.members.filter((each) => each.child !== undefined && !each.isPaused);
  }

  async #newMember(): Promise<Member> {
    const name = `m${++this.#named}`;
    const host = this.network?.addHost();
    const [clientPort, peerPort] = host === undefined ? await this.#freePorts(2) : [PORTS.from, PORTS.from + 1];
    const address = host?.address ?? '127.0.0.1';
    const dataDir = join(this.#folder, name);
    mkdirSync(dataDir);
    if (this.#options.diskBytes !== undefined) {
      this.#undo.add(() => execFileSync('umount', ['--lazy', dataDir]));
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${this.#options.diskBytes}`, 'naru-rob', dataDir]);
    }
    const clientUrl = `http://${address}:${clientPort}`;
    const peerUrl = `http://${address}:${peerPort}`;
    const flags = [
      `--name=${name}`,
      `--data-dir=${join(dataDir, 'data')}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      ...(this.#options.flags ?? []),
    ];
    return {
      name,
      clientUrl,
      peerUrl,
      dataDir,
      host,
      flags,
      child: undefined,
      output: '',
      isPaused: false,
      mayEnd: false,
    };
  }

  async #freePorts(count: number): Promise<number[]> {
    const ports: number[] = [];
    const width = PORTS.to - PORTS.from + 1;
    for (let i = 0; i < width && ports.length < count; i++) {
      const port = PORTS.from + ((process.pid * 20 + i) % width);
      if (this.#ports.has(port) || !(await isFree(port))) continue;
      this.#ports.add(port);
      ports.push(port);
    }
    if (ports.length < count) throw new Error('too few free ports');
    return ports;
  }

  startMember(member: Member): void {
    const argv = ['--import', HOOK, MAIN, ...member.flags];
    const [program, args] =
      member.host === undefined
        ? [process.execPath, argv]
        : ['ip', ['netns', 'exec', member.host.namespace, process.execPath, ...argv]];
    const { plant } = this.#options;
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...(plant === undefined ? {} : { NARU_ROBUSTNESS_PLANT: plant }) },
    });
    this.#undo.add(() => child.kill('SIGKILL'));
    const note = (chunk: Buffer): void => {
      member.output = (member.output + chunk.toString()).slice(-OUTPUT_MAX);
    };
    child.stdout?.on('data', note);
    child.stderr?.on('data', note);
    child.once('exit', (code, signal) => {
      if (member.child !== child) return;
      member.child = undefined;
      if (!member.mayEnd)
        this.problems.push(`member ${member.name} ended by itself (${code ?? signal}): ${member.output.slice(-1500)}`);
    });
    member.mayEnd = false;
    member.isPaused = false;
    member.child = child;
  }

  /** Ends a process; resolves with its exit status, null if a signal ended it. */
  async stopMember(member: Member, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const { child } = member;
    if (child === undefined) return null;
    member.mayEnd = true;
    const exited = once(child, 'exit') as Promise<[number | null]>;
    if (member.isPaused) this.resume(member);
    child.kill(signal);
    const [code] = await exited;
    return code;
  }

  pause(member: Member): void {
    member.isPaused = true;
    member.child?.kill('SIGSTOP');
  }

  resume(member: Member): void {
    member.isPaused = false;
    member.child?.kill('SIGCONT');
  }

  /** Has a member's disk misbehave. */
  setDisk(member: Member, fault: DiskFault): void {
    if (member.child?.connected === true) member.child.send(fault);
  }

  /** Who leads by most accounts, if anybody answers. */
  async leaderNow(): Promise<Member | undefined> {
    const votes = new Map<bigint, number>();
    const ids = new Map<bigint, Member>();
    await Promise.all(
      this.running.map(async (member) => {
        const status = await statusOf(member).catch(() => undefined);
        if (status === undefined) return;
        ids.set(status.header.memberId, member);
        votes.set(status.leader, (votes.get(status.leader) ?? 0) + 1);
      }),
    );
    const [most] = [...votes].filter(([id]) => id !== 0n).toSorted((a, b) => b[1] - a[1]);
    return most === undefined ? undefined : ids.get(most[0]);
  }

  /** The leader, once all members agree on one. */
  async leader(): Promise<Member> {
    return await eventually(
      async () => {
        await delay(100);
        const told = await Promise.all(
          this.members.map(async (member) => ({ member, status: await statusOf(member) })),
        );
        if (new Set(told.map((each) => each.status.leader)).size !== 1) throw new Error('no agreement on the leader');
        const leader = told.find((each) => each.status.header.memberId === each.status.leader);
        if (leader === undefined) throw new Error('the leader is none of the members');
        return leader.member;
      },
      { deadlineMs: LEADER_DEADLINE_MS },
    );
  }

  /** Takes a dead member's place by one with an empty disk. */
  async replace(member: Member): Promise<Member> {
    await this.stopMember(member, 'SIGKILL');
    const others = this.members.filter((each) => each !== member);
    const list = await firstAnswer(others, '/v3/cluster/member/list', {});
    const known = (list as { members: { ID: string; name?: string }[] }).members.find(
      (each) => each.name === member.name,
    );
    if (known === undefined) throw new Error(`member ${member.name} is not listed`);
    const ask = async (path: string, body: object): Promise<unknown> =>
      await eventually(
        async () => {
          await delay(200);
          return await firstAnswer(others, path, body);
        },
        { deadlineMs: 60_000 },
      );
    await ask('/v3/cluster/member/remove', { ID: known.ID }).catch((error: unknown) => {
      // An answer that was lost: it is gone.
      if (!String(error).includes('member not found')) throw error;
    });
    const fresh = await this.#newMember();
    this.members.splice(this.members.indexOf(member), 1, fresh);
    await ask('/v3/cluster/member/add', { peerURLs: [fresh.peerUrl] }).catch((error: unknown) => {
      if (!String(error).includes('Peer URLs already exists')) throw error;
    });
    const flags = [...fresh.flags, '--initial-cluster-state=existing', `--initial-cluster=${clusterOf(this.members)}`];
    const joined: Member = { ...fresh, flags };
    this.members.splice(this.members.indexOf(fresh), 1, joined);
    this.startMember(joined);
    return joined;
  }

  /** Everything runs, nothing is hurt. */
  heal(): void {
    this.network?.heal();
    for (const member of this.members) {
      if (member.isPaused) this.resume(member);
      this.setDisk(member, { syncDelayMs: 0, errorCode: undefined });
      rmSync(join(member.dataDir, 'ballast'), { force: true });
      if (member.child === undefined) this.startMember(member);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(async (each) => await this.stopMember(each, 'SIGKILL')));
    this.#undo.run();
  }
}

function clusterOf(members: readonly Member[]): string {
  return members.map((each) => `${each.name}=${each.peerUrl}`).join();
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => resolve(true));
  });
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}

async function statusOf(member: Member): ReturnType<EtcdClient['status']> {
  await using client = new EtcdClient({ endpoints: [member.clientUrl] });
  return await client.status({ signal: AbortSignal.timeout(2000) });
}

/** Asks by the JSON gateway. @throws Error with what the member says */
export async function ask(member: Member, path: string, body: object): Promise<unknown> {
  const init = { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(8000) };
  const response = await fetch(`${member.clientUrl}${path}`, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} at ${member.name}: ${text}`);
  return JSON.parse(text);
}

async function firstAnswer(members: readonly Member[], path: string, body: object): Promise<unknown> {
  let last: unknown;
  for (const member of members)
    try {
      return await ask(member, path, body);
    } catch (error) {
      last = error;
      if (isEtcdError(error)) break;
    }
  throw last;
}
