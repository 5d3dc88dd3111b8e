import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { Members, type MemberProcess } from './members.ts';

t.setTimeout(480_000);

const DEADLINE_MS = 90_000;
/** Between two looks at a cluster of processes, which need the machine for themselves. */
const POLL_MS = 200;

async function until<T>(fn: () => Promise<Exclude<T, false> | false>): Promise<Exclude<T, false>> {
  return await eventually(
    async () => {
      await delay(POLL_MS);
      return await fn();
    },
    { deadlineMs: DEADLINE_MS },
  );
}

/** Asks a member by the JSON gateway. */
async function ask(member: MemberProcess, path: string, body: object = {}): Promise<Response> {
  const init = { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(5000) };
  return await fetch(`${member.clientUrl}${path}`, init);
}

interface Answer {
  readonly status: number;
  readonly output: string;
}

/** What etcdctl prints, without what is each cluster's own: ids, addresses, times. */
async function etcdctl(endpoints: readonly MemberProcess[], argv: readonly string[]): Promise<Answer> {
  const urls = endpoints.map(({ clientUrl }) => clientUrl).join();
  const { status, output } = await new Promise<Answer>((resolve) => {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const options = { env, timeout: 20_000 };
    execFile('etcdctl', [`--endpoints=${urls}`, '--command-timeout=8s', ...argv], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ status: code, output: stdout + stderr });
    });
  });
  return { status, output };
}

function mask({ status, output }: Answer): Answer {
  const lines = output
    .split('\n')
    .filter((line) => !line.startsWith('{"level"'))
    .map((line) =>
      line
        .replaceAll(/(?<=ETCD_INITIAL_CLUSTER=").*(?=")/gu, (list) => list.split(',').toSorted().join())
        // An id is made of the URLs and the second: within the same one it is the id that is found taken.
        .replaceAll(/member ID already exist|Peer URLs already exists/gu, 'MEMBER EXISTS')
        .replaceAll(/:\d{5}/gu, ':PORT')
        .replaceAll(/ *\b[0-9a-f]{12,16}\b/gu, ' ID'),
    );
  return { status, output: lines.toSorted().join('\n') };
}

type Step = (argv: readonly string[], endpoints?: readonly MemberProcess[]) => Promise<Answer>;

/** Takes a cluster through all changes; what is told on the way goes to `note`. */
async function tour(cluster: Members, note: (what: string, answer: unknown) => void): Promise<void> {
  const [a, b, c] = cluster.members as [MemberProcess, MemberProcess, MemberProcess];
  const run: Step = async (argv, endpoints = [a, b]) => await etcdctl(endpoints, argv);
  const tell: Step = async (argv, endpoints) => {
    const answer = await run(argv, endpoints);
    note(argv.map((each) => each.replaceAll(/:\d{5}|\b[0-9a-f]{12,16}\b/gu, '…')).join(' '), mask(answer));
    return answer;
  };
  /** Repeats what is refused for a while: members must have been connected for long enough, a learner must catch up. */
  const succeed: Step = async (argv, endpoints) =>
    await until(async () => {
      const answer = await run(argv, endpoints);
      if (answer.status !== 0) throw new Error(answer.output);
      note(argv.slice(0, 2).join(' '), mask(answer));
      return answer;
    });
  const idOf = async (member: MemberProcess): Promise<string> => {
    const { output } = await run(['member', 'list']);
    return (
      output
        .split('\n')
        .find((line) => line.includes(member.peerUrl))
        ?.split(',')[0] ?? ''
    );
  };
  const started = async (member: MemberProcess): Promise<void> => {
    await until(async () => {
      const { members } = (await (await ask(a, '/v3/cluster/member/list')).json()) as {
        readonly members: readonly { readonly name?: string; readonly peerURLs: readonly string[] }[];
      };
      return members.some(({ name, peerURLs }) => name === member.name && peerURLs.includes(member.peerUrl));
    });
  };
  const healthy = async (members: readonly MemberProcess[]): Promise<void> => {
    for (const member of members) await until(async () => (await fetch(`${member.clientUrl}/health`)).ok);
  };

  await run(['put', 'before', 'all']);
  const d = await cluster.newMember('d');
  await tell(['member', 'add', 'd', '--peer-urls=nonsense']);
  await succeed(['member', 'add', 'd', '--learner', `--peer-urls=${d.peerUrl}`]);
  await tell(['member', 'add', 'd', `--peer-urls=${d.peerUrl}`]);
  await tell(['member', 'add', 'e', '--learner', '--peer-urls=http://127.0.0.1:65001']);
  const dId = await idOf(d);
  await tell(['member', 'promote', dId]);
  cluster.joinMember(d, cluster.members);
  await started(d);
  await tell(['get', 'before'], [d]);
  const before = Buffer.from('before').toString('base64');
  await until(async () => {
    const response = await ask(d, '/v3/kv/range', { key: before, serializable: true });
    return ((await response.json()) as { readonly count?: string }).count === '1';
  });
  await tell(['put', 'x', 'y'], [d]);
  await succeed(['member', 'promote', dId]);
  await tell(['member', 'promote', dId]);
  await tell(['get', 'before'], [d]);

  await tell(['member', 'update', '1234567890abcdef', '--peer-urls=http://127.0.0.1:65001']);
  await tell(['member', 'update', dId, `--peer-urls=${a.peerUrl}`]);
  await tell(['member', 'update', dId, `--peer-urls=${d.peerUrl.replace('127.0.0.1', 'localhost')}`]);
  await tell(['member', 'update', dId, `--peer-urls=${d.peerUrl}`]);
  await tell(['member', 'remove', '1234567890abcdef']);

  // A member dies, and another takes its place.
  const cId = await idOf(c);
  await cluster.stopMember(c, 'SIGKILL');
  await healthy([a, b, d]);
  await tell(['member', 'remove', cId], [a, b, d]);
  const e = await cluster.newMember('e');
  await succeed(['member', 'add', 'e', `--peer-urls=${e.peerUrl}`], [a, b, d]);
  cluster.joinMember(e, [a, b, d, e]);
  await started(e);
  await succeed(['get', 'before'], [e]);
  await cluster.stopMember(e, 'SIGTERM');
  cluster.joinMember(e, [a, b, d, e]);
  await succeed(['put', 'after', 'the restart'], [e]);

  // One that is removed ends by itself, and again when it is started with its old data.
  await succeed(['member', 'remove', dId]);
  note('the removed member ends', await exitOf(d));
  cluster.startMember(d);
  note('and again', await exitOf(d));
  await healthy([a, b, e]);
  await tell(['member', 'list'], [a, b, e]);
  await tell(['get', '', '--prefix'], [a, b, e]);
}

async function exitOf(member: MemberProcess): Promise<{ readonly code: number | null; readonly told: boolean }> {
  const { child } = member;
  if (child !== undefined && child.exitCode === null)
    await once(child, 'exit', { signal: AbortSignal.timeout(DEADLINE_MS) });
  member.child = undefined;
  return { code: child?.exitCode ?? null, told: member.output.includes('permanently removed from the cluster') };
}

await t.test('etcdctl changes the members as it does those of etcd', async (t) => {
  const record = async (options: Parameters<typeof Members.startWith>[0]): Promise<[string, unknown][]> => {
    const told: [string, unknown][] = [];
    await using cluster = await Members.startWith(options);
    try {
      await tour(cluster, (what, answer) => told.push([what, answer]));
    } catch (cause) {
      const outputs = cluster.members.map(({ name, output }) => `${name}: ${output.slice(-1500)}`).join('\n');
      throw new Error(`after ${told.length} steps, ${JSON.stringify(told.at(-1))}: ${String(cause)}\n${outputs}`, {
        cause,
      });
    }
    return told;
  };
  const etcd = await record({ ports: { from: 21_030, to: 21_059 }, command: ['etcd'] });
  const ours = await record({ ports: { from: 21_000, to: 21_029 } });
  for (const [i, [what, answer]] of etcd.entries()) t.strictSame(ours[i], [what, answer], what);
  t.equal(ours.length, etcd.length);
});
