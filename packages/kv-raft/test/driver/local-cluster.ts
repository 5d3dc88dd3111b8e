import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@naru/component';
import { eventually } from '@naru/testkit';
import type { Member } from '../../src/driver/member.ts';
import { openMember } from '../../src/driver/open-member.ts';
import { clusterClient } from '../../src/peer/cluster-client.ts';
import { HttpTransport } from '../../src/peer/http-transport.ts';
import type { Message } from '../../src/raft/message.ts';
import { ListMachine } from './list-machine.ts';

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

export interface Running {
  readonly member: Member<number>;
  readonly machine: ListMachine;
}

export interface LocalClusterOptions {
  readonly snapshotCount?: number;
  /** How many members begin; default 3. */
  readonly size?: number;
  readonly strictReconfigCheck?: boolean;
  /** Whether a message is lost after it was sent. */
  readonly loses?: (message: Message) => boolean;
}

class LossyTransport extends HttpTransport {
  readonly #loses: (message: Message) => boolean;

  constructor(options: ConstructorParameters<typeof HttpTransport>[0], loses: (message: Message) => boolean) {
    super(options);
    this.#loses = loses;
  }

  override send(messages: readonly Message[]): readonly Message[] {
    return super.send(messages.filter((each) => !this.#loses(each)));
  }
}

/** Members in this process, over real sockets and files: m1, m2, m3 begin, others may join. */
export class LocalCluster implements AsyncDisposable {
  readonly directory: string;
  /** Of each member, by its number. */
  readonly urls: readonly string[];
  readonly running = new Map<string, Running>();
  readonly #options: LocalClusterOptions;

  private constructor(directory: string, ports: readonly number[], options: LocalClusterOptions) {
    this.directory = directory;
    this.urls = ports.map((port) => `http://127.0.0.1:${port}`);
    this.#options = options;
  }

  static async start(options: LocalClusterOptions = {}): Promise<LocalCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'kv-raft-members-'));
    const cluster = new LocalCluster(directory, await freePorts(6), options);
    await Promise.all(cluster.firstNames.map((name) => cluster.open(name)));
    return cluster;
  }

  get firstNames(): readonly string[] {
    return ['m1', 'm2', 'm3'].slice(0, this.#options.size ?? 3);
  }

  urlOf(name: string): string {
    return this.urls[Number(name.slice(1)) - 1] ?? '';
  }

  /** Opens a member; with `joining`, one that was added, with the names of all members. */
  async open(name: string, joining?: readonly string[]): Promise<Running> {
    return await this.openAt(name, this.urlOf(name), joining);
  }

  /** Opens a member that listens at `url`. */
  async openAt(name: string, url: string, joining?: readonly string[]): Promise<Running> {
    const machine = new ListMachine();
    const member = await openMember({
      name,
      dataDir: join(this.directory, name),
      initialCluster: (joining ?? this.firstNames).map((each) => ({ name: each, peerUrls: [this.urlOf(each)] })),
      initialClusterState: joining === undefined ? 'new' : 'existing',
      fetchCluster: clusterClient({}),
      advertiseClientUrls: [`http://client.${name}`],
      heartbeatIntervalMs: 50,
      electionTimeoutMs: 1000,
      snapshotCount: this.#options.snapshotCount ?? 100_000,
      snapshotCatchUpEntries: 10,
      strictReconfigCheck: this.#options.strictReconfigCheck ?? false,
      stateMachine: machine,
      transport: (ids) => {
        const { loses = () => false } = this.#options;
        return new LossyTransport({ ids, listenUrls: [url], logger: silentLogger() }, loses);
      },
      logger: silentLogger(),
    });
    const running = { member, machine };
    this.running.set(name, running);
    return running;
  }

  async stop(name: string): Promise<void> {
    const running = this.running.get(name);
    this.running.delete(name);
    await running?.member[Symbol.asyncDispose]();
  }

  /** Deletes a member's data dir. */
  async forget(name: string): Promise<void> {
    await rm(join(this.directory, name), { recursive: true });
  }

  get(name: string): Running {
    const running = this.running.get(name);
    if (running === undefined) throw new Error(`${name} is not running`);
    return running;
  }

  async leader(): Promise<string> {
    let name: string | undefined;
    await eventually(() => {
      name = [...this.running].find(([, { member }]) => member.isLeader)?.[0];
      return name !== undefined;
    });
    return name ?? '';
  }

  async allHave(items: readonly string[]): Promise<void> {
    const expected = items.join();
    await eventually(() => [...this.running.values()].every(({ machine }) => machine.items.join() === expected));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.running.keys()].map((name) => this.stop(name)));
    await rm(this.directory, { recursive: true });
  }
}
