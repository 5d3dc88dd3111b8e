import t from 'tap';
import { parseFlags, UsageError } from '@naru/component';
import {
  checkFlags,
  checkInitialCluster,
  flags,
  parseAutoCompaction,
  parseInitialCluster,
  unsupportedFlags,
} from '../src/flags.ts';

function check(...argv: readonly string[]): unknown {
  const values = parseFlags(flags, argv);
  checkFlags(values);
  const initialCluster = parseInitialCluster(values);
  checkInitialCluster(values, initialCluster);
  return { initialCluster, autoCompaction: parseAutoCompaction(values) };
}

await t.test('bad flags are refused by name', async (t) => {
  const cases: readonly (readonly [RegExp, ...string[]])[] = [
    [/--no-such-flag/u, '--no-such-flag'],
    [/--listen-client-urls/u, '--listen-client-urls', 'nonsense'],
    [/--listen-peer-urls/u, '--listen-peer-urls', 'unix:///a'],
    [/--initial-cluster/u, '--initial-cluster', 'b=http://127.0.0.1:1'],
    [/--initial-cluster/u, '--initial-cluster', 'default'],
    [/--initial-advertise-peer-urls/u, '--initial-cluster', 'default=http://127.0.0.1:1'],
    [/--initial-cluster-state/u, '--initial-cluster-state', 'old'],
    [/--election-timeout/u, '--heartbeat-interval', '100', '--election-timeout', '200'],
    [/--cert-file/u, '--listen-client-urls', 'https://127.0.0.1:0'],
    [/--peer-cert-file/u, '--listen-peer-urls', 'https://127.0.0.1:0'],
    [/--trusted-ca-file/u, '--client-cert-auth'],
    [/--peer-trusted-ca-file/u, '--peer-client-cert-auth'],
    [/--auto-compaction-retention/u, '--auto-compaction-retention', 'soon'],
    [/--auto-compaction-retention/u, '--auto-compaction-mode=revision', '--auto-compaction-retention=1h'],
    [/--auto-compaction-mode/u, '--auto-compaction-mode', 'daily'],
    [/--max-txn-ops/u, '--max-txn-ops', '0'],
    [/--quota-backend-bytes/u, '--quota-backend-bytes', '2G'],
  ];
  for (const [message, ...argv] of cases) {
    t.throws(() => check(...argv), { message }, argv.join(' '));
    t.throws(() => check(...argv), UsageError);
  }
});

await t.test('flags mean what they mean to etcd', async (t) => {
  t.match(check(), { initialCluster: [{ name: 'default', peerUrls: ['http://localhost:2380'] }] });
  t.match(
    check(
      '--name=a',
      '--initial-advertise-peer-urls=http://h:1,http://h:2',
      '--initial-cluster=a=http://h:1,b=http://h:3,a=http://h:2',
      '--auto-compaction-retention=2',
    ),
    {
      initialCluster: [
        { name: 'a', peerUrls: ['http://h:1', 'http://h:2'] },
        { name: 'b', peerUrls: ['http://h:3'] },
      ],
      autoCompaction: { mode: 'periodic', retentionMs: 7_200_000 },
    },
  );
  t.match(check('--auto-compaction-retention', '90s'), { autoCompaction: { retentionMs: 90_000 } });
  t.match(check('--auto-compaction-mode', 'revision', '--auto-compaction-retention', '1000'), {
    autoCompaction: { mode: 'revision', retention: 1000 },
  });
  t.match(check('--auto-compaction-retention', '0'), { autoCompaction: undefined });
});
await t.test('flags of etcd that are missing are refused by name', async (t) => {
  const parse = (flag: string) => (): unknown => parseFlags(flags, [flag], { unsupported: unsupportedFlags });
  t.throws(parse('--wal-dir=/x'), /^flag --wal-dir is not supported$/u);
  t.throws(parse('--nonsense'), /^unknown flag: --nonsense$/u);
  t.same(
    unsupportedFlags.filter((each) => Object.hasOwn(flags, each)),
    [],
  );
});
