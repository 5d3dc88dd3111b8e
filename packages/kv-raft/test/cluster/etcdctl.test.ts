import { spawn } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@naru/testkit';
import t, { type Test } from 'tap';
import { Members } from './members.ts';

t.setTimeout(240_000);

const ours = await Members.startWith({ ports: { from: 23900, to: 23919 }, flags: ['--bcrypt-cost=4'] });
const etcd = await Members.startWith({
  ports: { from: 23920, to: 23939 },
  command: ['etcd'],
  flags: ['--bcrypt-cost=4'],
});
t.teardown(async () => {
  await ours[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Run {
  readonly stdin?: string | Buffer;
  /** Interrupts the program when its output contains this. */
  readonly until?: string;
  /** Asks the first member alone, as some commands must. */
  readonly firstEndpoint?: boolean;
  /** Default 20 s. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 20_000;

async function etcdctl(cluster: Members, argv: readonly string[], run: Run = {}): Promise<Answer> {
  const endpoints = run.firstEndpoint === true ? cluster.urls.slice(0, 1) : cluster.urls;
  const child = spawn('etcdctl', [`--endpoints=${endpoints.join()}`, '--dial-timeout=5s', ...argv], {
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (run.until !== undefined && stdout.includes(run.until)) child.kill('SIGINT');
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new Error('etcdctl is missing: install etcd-client', { cause: error })));
    child.once('close', resolve);
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), run.deadlineMs ?? DEADLINE_MS);
  child.stdin.on('error', () => {});
  child.stdin.end(run.stdin ?? '');
  const status = await closed;
  clearTimeout(deadline);
  return { status, stdout, stderr };
}

/** Ids, addresses, times and sizes are each cluster's own. */
function mask(text: string): string {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('{"level"'))
    .map((line) =>
      line
        .replaceAll(/127\.0\.0\.1:\d+/gu, 'HOST')
        .replaceAll(
          /"(cluster_id|member_id|raft_term|ID|lease|raftTerm|raftIndex|raftAppliedIndex|leader)":\d+/gu,
          '"$1":N',
        )
        // Padded to 16 digits.
        .replaceAll(/ *\b[0-9a-f]{12,16}\b/gu, ' ID')
        .replaceAll(/took = [\d.µmns]+/gu, 'took = T')
        .replaceAll(/remaining\(\d+s\)/gu, 'remaining(R)')
        .replaceAll(/(?<=^(http:\/\/)?HOST, )\d+$/gu, 'HASH')
        // An id is made of the URLs and the second: within the same one it is the id that is found taken.
        .replaceAll(/member ID already exist|Peer URLs already exists/gu, 'MEMBER EXISTS')
        // etcd tells them in no order.
        .replaceAll(/(?<=keys\(\[).*(?=\]\))/gu, (keys) => keys.split(' ').toSorted().join(' '))
        .replaceAll(
          /ID, 3\.4\.\d+, [\d.]+ [kM]?B, (true|false), (true|false), \d+, \d+, \d+, /gu,
          'ID, V, SIZE, $1, $2, N, N, N, ',
        )
        .replaceAll(/\d{4}-\d\d-\d\d[ T][\d:.]+\S*/gu, 'TIME'),
    )
    .join('\n');
}

async function compare(
  t: Test,
  argv: readonly string[],
  run: Run = {},
  sorted = false,
): Promise<readonly [Answer, Answer]> {
  const expected = await etcdctl(etcd, argv, run);
  const actual = await etcdctl(ours, argv, run);
  same(t, actual, expected, argv, sorted);
  return [actual, expected];
}

/** Those of members come in the order of their ids. */
function same(t: Test, actual: Answer, expected: Answer, argv: readonly string[], sorted = false): void {
  const lines = (text: string): readonly string[] => {
    const all = mask(text).split('\n');
    return sorted ? all.toSorted() : all;
  };
  const essence = (answer: Answer): object => ({
    status: answer.status,
    stdout: lines(answer.stdout),
    stderr: lines(answer.stderr),
  });
  t.same(essence(actual), essence(expected), `etcdctl ${argv.join(' ')}`);
}

/** The same steps on both, each with ids of its own. */
async function both(
  t: Test,
  steps: (cluster: Members) => AsyncGenerator<readonly [readonly string[], Answer]>,
): Promise<void> {
  const expected = steps(etcd);
  for await (const [argv, answer] of steps(ours)) {
    const next = await expected.next();
    if (next.done === true) throw new Error('etcd has fewer steps');
    same(t, answer, next.value[1], argv);
  }
}

await t.test('keys: put, get, del, txn', async (t) => {
  for (let i = 0; i < 5; i++) await compare(t, ['put', `k/${i}`, `v${9 - i}`]);
  await compare(t, ['put', 'k/1', 'again', '--prev-kv']);
  await compare(t, ['put', 'other'], { stdin: Buffer.from([0, 255, 1, 0x0a]) });
  await compare(t, ['put', 'k/2', '--ignore-value']);
  await compare(t, ['put', 'missing', '--ignore-value']);
  const gets = [
    ['k/1'],
    ['k/1', '-w', 'json'],
    ['k/1', '-w', 'fields', '--print-value-only=false', '--hex'],
    ['nothing'],
    ['k/', '--prefix'],
    ['k/', '--prefix', '--limit=2'],
    ['k/', '--prefix', '--limit=2', '-w', 'json'],
    ['k/', '--prefix', '--keys-only'],
    ['k/', '--prefix', '--count-only', '-w', 'json'],
    ['k/', '--prefix', '--print-value-only'],
    ['k/', '--prefix', '--rev=4'],
    ['k/', '--prefix', '--consistency=s'],
    ['k/3', '--from-key'],
    ['k/1', 'k/3'],
    ['', '--prefix', '-w', 'json'],
    ['k/1', '--rev=1000'],
  ];
  for (const order of ['ASCEND', 'DESCEND'])
    for (const by of ['KEY', 'VERSION', 'CREATE', 'MODIFY', 'VALUE'])
      gets.push(['k/', '--prefix', `--order=${order}`, `--sort-by=${by}`]);
  for (const get of gets.filter((each) => !each.includes('fields'))) await compare(t, ['get', ...get]);
  const txn =
    'mod("k/1") > "0"\nvalue("k/0") = "v9"\nversion("k/none") = "0"\n\nput k/1 won\nget k/ --prefix\ndel k/4\n\nget other\n\n';
  await compare(t, ['txn'], { stdin: txn });
  await compare(t, ['txn', '-w', 'json'], { stdin: 'create("k/0") < "1"\n\nput no no\n\nput k/0 lost\nget k/0\n\n' });
  await compare(t, ['txn'], { stdin: '\nput twice 1\nput twice 2\n\n\n' });
  await compare(t, ['del', 'k/4']);
  await compare(t, ['del', 'k/2', '--prev-kv']);
  await compare(t, ['del', 'k/0', 'k/2']);
  await compare(t, ['del', 'k/', '--prefix', '--prev-kv', '-w', 'json']);
  await compare(t, ['put', '', 'x']);
  await compare(t, ['put', 'big'], { stdin: 'x'.repeat(1.7 * 1024 * 1024) });
  await compare(t, ['put', 'big'], { stdin: 'x'.repeat(1.2 * 1024 * 1024) });
  await compare(t, ['get', 'big']);
});

await t.test('watches from now, from a revision, of a prefix; compaction', async (t) => {
  const until = 'END';
  for (const cluster of [etcd, ours]) {
    await etcdctl(cluster, ['put', 'w/1', 'one']);
    await etcdctl(cluster, ['put', 'w/1', 'two']);
    await etcdctl(cluster, ['del', 'w/1']);
    await etcdctl(cluster, ['put', 'w/2', until]);
  }
  await compare(t, ['watch', 'w/', '--prefix', '--rev=2'], { until });
  await compare(t, ['watch', 'w/', '--prefix', '--rev=2', '--prev-kv'], { until });
  await compare(t, ['watch', 'w/1', 'w/3', '--rev=2', '-w', 'json'], { until: Buffer.from(until).toString('base64') });
  await compare(t, ['compaction', '5']);
  await compare(t, ['compaction', '5']);
  await compare(t, ['compaction', '9', '--physical']);
  await compare(t, ['compaction', '1000000']);
  await compare(t, ['get', 'k/1', '--rev=3']);
  await compare(t, ['watch', 'k/1', '--rev=3']);
});

await t.test('leases, locks and elections', async (t) => {
  await both(t, async function* (cluster) {
    let id = '';
    const step = async (argv: readonly string[], run: Run = {}): Promise<[readonly string[], Answer]> => {
      const answer = await etcdctl(cluster, argv, run);
      return [argv, answer];
    };
    const grant = await step(['lease', 'grant', '600']);
    id = /lease (\w+) granted/u.exec(grant[1].stdout)?.[1] ?? '';
    yield grant;
    yield await step(['put', 'leased/1', 'x', `--lease=${id}`]);
    yield await step(['put', 'leased/2', 'x', `--lease=${id}`]);
    yield await step(['put', 'leased/3', 'x', '--lease=1234567890abcdef']);
    yield await step(['get', 'leased/1', '-w', 'json']);
    yield await step(['lease', 'list']);
    yield await step(['lease', 'timetolive', id]);
    yield await step(['lease', 'timetolive', id, '--keys']);
    yield await step(['lease', 'keep-alive', '--once', id]);
    yield await step(['lease', 'revoke', id]);
    yield await step(['lease', 'revoke', id]);
    yield await step(['lease', 'keep-alive', '--once', id]);
    yield await step(['lease', 'timetolive', id]);
    yield await step(['get', 'leased/', '--prefix']);
    yield await step(['lease', 'grant', '99999999999']);
    yield await step(['lock', 'mutex', 'sh', '-c', 'echo have $ETCD_LOCK_KEY at $ETCD_LOCK_REV']);
    yield await step(['lock', 'mutex', 'false']);
    yield await step(['elect', 'race', 'candidate'], { until: 'candidate' });
    yield await step(['lease', 'list']);
  });
});

await t.test('the cluster: endpoints, members, alarms, moving the leader', async (t) => {
  for (const argv of [['status'], ['health'], ['hashkv']]) await compare(t, ['endpoint', ...argv], {}, true);
  await compare(t, ['member', 'list'], {}, true);
  await compare(t, ['alarm', 'list']);
  await compare(t, ['alarm', 'disarm']);
  await compare(t, ['defrag'], {}, true);
  await compare(t, ['move-leader', '1234']);
  for (const cluster of [etcd, ours]) {
    const before = await cluster.leader();
    const list = (await etcdctl(cluster, ['member', 'list'])).stdout.split('\n').map((line) => line.split(', '));
    const target = list.find(([, , name]) => name !== undefined && name !== before.name);
    const answer = await etcdctl(cluster, ['move-leader', target?.[0] ?? '']);
    t.match(answer.stdout, /^Leadership transferred from \w+ to \w+\n$/u);
    t.equal(answer.status, 0);
    t.equal((await cluster.leader()).name, target?.[2], 'the target leads');
  }
  const hashes = (await etcdctl(ours, ['endpoint', 'hashkv'])).stdout
    .trim()
    .split('\n')
    .map((line) => line.split(', ')[1]);
  t.equal(hashes.length, 3);
  t.equal(new Set(hashes).size, 1, 'all members have the same keys');
});

await t.test('a watch that is told what is put after it', async (t) => {
  for (const cluster of [etcd, ours]) {
    const seen = new AbortController();
    // It does not say when it is ready: keys are put until it tells one.
    const writing = (async () => {
      while (!seen.signal.aborted) await etcdctl(cluster, ['put', 'live/x', 'LIVE']);
    })();
    const answer = await etcdctl(cluster, ['watch', '--prefix', 'live/'], { until: 'LIVE\n' });
    seen.abort();
    await writing;
    t.match(answer.stdout, /^PUT\nlive\/x\nLIVE\n/u);
  }
});

await t.test('members: added as learner, promoted, updated, removed', async (t) => {
  await both(t, async function* (cluster) {
    const step = async (...argv: readonly string[]): Promise<[readonly string[], Answer]> => [
      argv,
      await etcdctl(cluster, argv),
    ];
    // Where members were out of touch, as on a busy machine, they have to be in touch again for 5 s.
    const added = await eventually(async () => {
      const first = await step('member', 'add', 'new', '--peer-urls=http://127.0.0.1:1', '--learner');
      if (first[1].stderr.includes('unhealthy cluster')) throw new Error(first[1].stderr);
      return first;
    });
    // Which cluster it is told to join has this cluster's names and ports.
    yield [added[0], { ...added[1], stdout: added[1].stdout.replace(/^ETCD_INITIAL_CLUSTER=.*$/mu, '') }];
    const id = /Member +(\w+) added/u.exec(added[1].stdout)?.[1] ?? '';
    yield await step('member', 'add', 'again', '--peer-urls=http://127.0.0.1:1', '--learner');
    yield await step('member', 'add', 'second', '--peer-urls=http://127.0.0.1:2', '--learner');
    yield await step('member', 'promote', id);
    const list = await step('member', 'list');
    yield [
      list[0],
      {
        ...list[1],
        stdout: list[1].stdout
          .split('\n')
          .filter((line) => line.includes(id))
          .join('\n'),
      },
    ];
    // etcd 3.4 forgets here that it is a learner.
    yield await step('member', 'update', id, '--peer-urls=http://127.0.0.1:3');
    yield await step('member', 'remove', id);
    yield await step('member', 'remove', id);
    yield await step('member', 'promote', '1234');
    yield await step('member', 'update', '1234', '--peer-urls=http://127.0.0.1:3');
  });
});

await t.test('a snapshot is saved, and its file whole', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'naru-etcdctl-'));
  t.teardown(async () => await rm(folder, { recursive: true }));
  for (const [name, cluster] of [
    ['etcd', etcd],
    ['ours', ours],
  ] as const) {
    const file = join(folder, name);
    // Of one member only.
    const { status, stdout } = await etcdctl(cluster, ['snapshot', 'save', file], { firstEndpoint: true });
    t.equal(status, 0);
    t.match(stdout, new RegExp(`Snapshot saved at ${file}\n$`, 'u'));
    t.equal((await stat(file)).size % 512, 32, 'it ends with its SHA-256');
  }
});

await t.test('check perf: 150 writes a second for a minute', async (t) => {
  // What it finds depends on what else the machine does; that it gets through does not.
  const essence = ({ stdout, stderr }: Answer): readonly string[] =>
    `${stdout}${stderr}`.match(/Throughput|Slowest request|Stddev|panic|[Ee]rror/gu) ?? [];
  const [expected, actual] = await Promise.all(
    [etcd, ours].map(
      async (cluster) =>
        await etcdctl(cluster, ['check', 'perf', '--load=s', '--auto-compact'], { deadlineMs: 90_000 }),
    ),
  );
  t.same(essence(actual as Answer), essence(expected as Answer));
  t.strictSame(essence(actual as Answer), ['Throughput', 'Slowest request', 'Stddev']);
});

await t.test('users, roles and what they may', async (t) => {
  const steps: readonly string[][] = [
    ['user', 'list'],
    ['auth', 'enable'],
    ['user', 'add', 'root', '--new-user-password=rootpw'],
    ['user', 'add', 'root', '--new-user-password=rootpw'],
    ['user', 'add', 'alice', '--new-user-password=alicepw'],
    ['user', 'add', 'cert', '--no-password'],
    ['user', 'get', 'alice'],
    ['user', 'get', 'nobody'],
    ['user', 'list'],
    ['role', 'add', 'team'],
    ['role', 'add', 'team'],
    ['role', 'grant-permission', 'team', 'readwrite', 'team/', '--prefix'],
    ['role', 'grant-permission', 'team', 'read', 'pub/a', 'pub/m'],
    ['role', 'grant-permission', 'team', 'write', 'inbox'],
    ['role', 'grant-permission', 'team', 'read', 'z', '--from-key'],
    ['role', 'grant-permission', 'nothing', 'read', 'x'],
    ['role', 'get', 'team'],
    ['role', 'get', 'nothing'],
    ['role', 'list'],
    ['user', 'grant-role', 'alice', 'team'],
    ['user', 'grant-role', 'alice', 'nothing'],
    ['user', 'get', 'alice', '--detail'],
    ['role', 'revoke-permission', 'team', 'z', '--from-key'],
    ['role', 'revoke-permission', 'team', 'z', '--from-key'],
    ['auth', 'enable'],
    ['get', 'team/x'],
    ['--user=root:wrong', 'get', 'team/x'],
    ['--user=alice:alicepw', 'put', 'team/x', '1'],
    ['--user=alice:alicepw', 'get', 'team/', '--prefix'],
    ['--user=alice:alicepw', 'put', 'inbox', '1'],
    ['--user=alice:alicepw', 'get', 'inbox'],
    ['--user=alice:alicepw', 'get', '', '--prefix'],
    ['--user=alice:alicepw', 'del', 'pub/b'],
    ['--user=alice:alicepw', 'watch', 'secret'],
    ['--user=alice:alicepw', 'user', 'list'],
    ['--user=alice:alicepw', 'user', 'get', 'alice'],
    ['--user=alice:alicepw', 'role', 'get', 'team'],
    ['--user=alice:alicepw', 'role', 'add', 'more'],
    ['--user=alice:alicepw', 'member', 'add', 'x', '--peer-urls=http://127.0.0.1:9'],
    ['--user=alice:alicepw', 'snapshot', 'save', '/dev/null/x'],
    ['--user=root:rootpw', 'role', 'get', 'root'],
    ['--user=root:rootpw', 'user', 'list'],
    ['--user=root:rootpw', 'get', '', '--prefix', '--keys-only', '--limit=3'],
    ['--user=root:rootpw', 'user', 'delete', 'root'],
    ['--user=root:rootpw', 'user', 'revoke-role', 'alice', 'team'],
    ['--user=root:rootpw', 'user', 'revoke-role', 'alice', 'team'],
    ['--user=alice:alicepw', 'get', 'team/x'],
    ['--user=root:rootpw', 'role', 'delete', 'team'],
    ['--user=root:rootpw', 'user', 'delete', 'alice'],
    ['--user=alice:alicepw', 'get', 'team/x'],
    ['--user=root:rootpw', 'auth', 'disable'],
    ['get', 'team/x'],
    ['user', 'delete', 'root'],
  ];
  for (const argv of steps) {
    const one = argv.includes('snapshot');
    await compare(t, argv, one ? { firstEndpoint: true } : {});
  }
});

t.end();
