import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '@naru/testkit';
import t from 'tap';

interface Answer {
  readonly id: number;
  readonly leader?: boolean;
  readonly items?: readonly string[];
  readonly count?: number;
  readonly error?: string;
}

/** A member in a process that can be killed. */
class MemberProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #id = 0;
  leads = false;
  isReady = false;

  constructor(name: string, dataDir: string, urls: readonly string[]) {
    this.name = name;
    const script = join(import.meta.dirname, 'member-process.ts');
    const child = spawn(process.execPath, [script, name, dataDir, ...urls], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#exited = once(child, 'exit');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.isReady = true;
      if (answer.leader !== undefined) this.leads = answer.leader;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    child.stdin.on('error', () => undefined);
  }

  /** Resolves without an answer when the process dies first. */
  async ask(request: { readonly put?: string }): Promise<Answer> {
    const id = ++this.#id;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const gone = this.#exited.then(() => ({ id, error: 'killed' }));
    return await Promise.race([answered, gone]);
  }

  async kill(): Promise<void> {
    this.leads = false;
    this.isReady = false;
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

async function freeUrls(count: number): Promise<string[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
      return server;
    }),
  );
  const urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return urls;
}

await t.test(
  'members are killed while a client writes: what was acknowledged is there, once and in order',
  async (t) => {
    const scratch = await mkdtemp(join(tmpdir(), 'kv-raft-kill-'));
    const urls = await freeUrls(3);
    const names = ['m1', 'm2', 'm3'];
    const members = new Map<string, MemberProcess>();
    const start = (name: string): void => {
      members.set(name, new MemberProcess(name, join(scratch, name), urls));
    };
    t.teardown(async () => {
      for (const member of members.values()) await member.kill();
      await rm(scratch, { recursive: true });
    });
    for (const name of names) start(name);
    const leader = async (): Promise<MemberProcess> =>
      await eventually(() => [...members.values()].find((member) => member.leads) ?? false);

    const acknowledged: string[] = [];
    const progress = { writing: true, next: 0 };
    const write = async (): Promise<void> => {
      while (progress.writing) {
        const ready = [...members.values()].filter((member) => member.isReady);
        const member = ready[progress.next % Math.max(1, ready.length)];
        if (member === undefined) {
          await new Promise((done) => setTimeout(done, 5));
          continue;
        }
        const item = `item ${progress.next++}`;
        const answer = await member.ask({ put: item });
        if (answer.count !== undefined) acknowledged.push(item);
        else await new Promise((done) => setTimeout(done, 5));
      }
    };
    const writers = [write(), write(), write(), write()];

    // Each time one more is acknowledged than before: the cluster is at work, whatever was killed.
    const goOn = async (): Promise<void> => {
      const before = acknowledged.length;
      await eventually(() => acknowledged.length >= before + 30, { deadlineMs: 60_000 });
    };
    await goOn();
    for (let round = 0; round < 3; round++) {
      const victim = await leader();
      await victim.kill();
      await goOn();
      start(victim.name);
      await goOn();
    }
    const follower = names.find((name) => members.get(name)?.leads === false) ?? '';
    await members.get(follower)?.kill();
    await goOn();
    start(follower);
    for (const member of members.values()) await member.kill();
    for (const name of names) start(name);
    await goOn();
    progress.writing = false;
    await Promise.all(writers);

    const lists = await Promise.all(
      names.map(
        async (name) =>
          await eventually(async () => (await members.get(name)?.ask({}))?.items ?? false, { deadlineMs: 60_000 }),
      ),
    );
    for (const [i, items] of lists.entries()) {
      t.equal(new Set(items).size, items.length, `${names[i]} has nothing twice`);
      const there = new Set(items);
      t.strictSame(
        acknowledged.filter((item) => !there.has(item)),
        [],
        `${names[i]} has all ${acknowledged.length} acknowledged`,
      );
    }
    const shortest = Math.min(...lists.map((items) => items.length));
    t.equal(new Set(lists.map((items) => items.slice(0, shortest).join())).size, 1, 'all have the same order');
  },
);
