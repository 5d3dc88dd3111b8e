import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { UsageError } from '@naru/component';
import { selectControllers } from '../src/controllers.ts';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

await t.test('--controllers takes names of both ages, and refuses what is none', (t) => {
  const all = selectControllers(['*']).length;
  t.ok(all >= 20);
  t.equal(selectControllers(['*', '-garbage-collector-controller']).length, all - 1);
  t.equal(selectControllers(['*', '-garbagecollector']).length, all - 1);
  t.equal(selectControllers(['deployment', 'replicaset-controller']).length, 2);
  t.equal(selectControllers(['*', 'bootstrapsigner', 'token-cleaner-controller']).length, all + 2, 'off by default');
  t.throws(() => selectControllers(['*', '-nonsense']), UsageError);
  t.end();
});

await t.test('bad flags and configuration end the process with 2 and the flag’s name', (t) => {
  for (const [args, message] of [
    [[], /required flag: --kubeconfig/u],
    [['--kubeconfig=/nowhere'], /--kubeconfig: .*ENOENT/u],
    [['--kubeconfig=/nowhere', '--controllers=nonsense'], /"--controllers" flag: "nonsense"/u],
    [['--kubeconfig=/nowhere', '--allocate-node-cidrs'], /--cluster-cidr is required/u],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    t.equal(status, 2);
    t.match(stderr, message);
  }
  t.end();
});
