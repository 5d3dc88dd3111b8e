import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { parseNodePortAddresses, selectNodePortAddresses } from '../src/node-addresses.ts';

await t.test('NodePort addresses: the node’s own, or those of the machine in the CIDRs', (t) => {
  const select = (values: string[], nodeIPs: string[]) =>
    selectNodePortAddresses(parseNodePortAddresses(values), nodeIPs);
  t.same(select(['primary'], ['127.10.0.1']), ['127.10.0.1']);
  t.same(select([], ['127.10.0.1']), ['127.10.0.1']);
  t.same(select(['primary'], []), []);
  t.same(select(['127.0.0.0/8'], ['127.10.0.1']), ['127.10.0.1', '127.0.0.1']);
  t.same(select(['127.10.0.1/32', '127.0.0.1/32'], ['127.10.0.1']), ['127.10.0.1', '127.0.0.1']);
  t.same(select(['127.10.0.0/16'], ['127.10.0.1']), ['127.10.0.1']);
  t.same(select(['203.0.113.0/24'], ['127.10.0.1']), []);
  for (const bad of ['127.0.0.1', 'x/8', '127.0.0.0/33', '127.0.0.0/'])
    t.throws(() => parseNodePortAddresses([bad]), { name: 'UsageError', message: /--nodeport-addresses/u }, bad);
  t.end();
});

await t.test('a bad flag exits with 2 and is named', (t) => {
  const main = join(import.meta.dirname, '..', 'src', 'main.ts');
  const cases: readonly [string[], RegExp][] = [
    [[], /required flag: --kubeconfig/u],
    [['--master=http://127.0.0.1:1', '--node-ip=nowhere'], /--node-ip/u],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    t.equal(status, 2);
    t.match(stderr, message);
  }
  t.end();
});
