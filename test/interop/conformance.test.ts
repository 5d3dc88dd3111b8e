// Kubernetes' own conformance tests (e2e.test of 1.20) on hollow nodes: those of the lists in test/conformance.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { ProcessCluster } from '@naru/testkit';
import { missingPrograms, upstreamProgram } from './upstream-programs.ts';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 26_900;
const PROGRAMS = 8;
const program = upstreamProgram('e2e.test');
const kubectl = missingPrograms('kubectl') === false ? upstreamProgram('kubectl') : 'kubectl';
const skip = missingPrograms('e2e.test');
const options = { skip, timeout: 1_800_000 };
const isSerial = (name: string): boolean => name.includes('[Serial]');

/** Runs the tests of these names. Returns PASSED or FAILED for each that has run. */
async function runTests(
  names: readonly string[],
  options: { readonly kubeconfig: string; readonly reportDir: string },
): Promise<ReadonlyMap<string, string>> {
  const focus = names.map((name) => RegExp.escape(name)).join('|');
  const child = spawn(
    program,
    [
      '--provider=skeleton',
      `--kubeconfig=${options.kubeconfig}`,
      `--kubectl-path=${kubectl}`,
      '--kube-api-content-type=application/json',
      '--node-schedulable-timeout=2m',
      '--disable-log-dump',
      '--ginkgo.noColor',
      `--ginkgo.focus=${focus}`,
      '--ginkgo.skip=SKIP-NOTHING',
      `--report-dir=${options.reportDir}`,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const stop = (): boolean => child.kill('SIGKILL');
  process.once('exit', stop);
  const exited = once(child, 'exit');
  const results = new Map<string, string>();
  for await (const line of createInterface({ input: child.stdout })) {
    const result = /"msg":"(PASSED|FAILED) ([^"]*)"/u.exec(line);
    if (result?.[1] !== undefined && result[2] !== undefined) results.set(result[2], result[1]);
  }
  await exited;
  process.off('exit', stop);
  return results;
}

/** The names in these lists of test/conformance. */
async function readLists(lists: readonly string[]): Promise<readonly string[]> {
  const texts = await Promise.all(
    lists.map(async (each) => await readFile(join(root, 'test', 'conformance', `${each}.txt`), 'utf8')),
  );
  return texts.flatMap((text) => text.split('\n')).filter((line) => line !== '' && !line.startsWith('#'));
}

await t.test('a cluster of hollow nodes passes the conformance tests that need no containers', options, async (t) => {
  const list = await readLists((process.env['CONFORMANCE_LISTS'] ?? 'api,hollow').split(','));
  const report = await mkdtemp(join(tmpdir(), 'naru-conformance-'));
  await using cluster = await ProcessCluster.start({
    root,
    portBase: PORT_BASE,
    flags: ['--kv', '1', '--apiservers', '1', '--nodes', '2', '--runtime', 'hollow'],
  });
  const results = new Map<string, string>();
  const run = async (names: readonly string[], share: string): Promise<void> => {
    if (names.length === 0) return;
    const where = { kubeconfig: cluster.kubeconfig, reportDir: join(report, share) };
    for (const [name, result] of await runTests(names, where)) results.set(name, result);
  };
  // Mostly they wait, each in a namespace of its own: so several programs share the list. Serial ones want the nodes for themselves.
  const [serial, others] = [list.filter(isSerial), list.filter((name) => !isSerial(name))];
  await Promise.all(
    Array.from({ length: PROGRAMS }, async (_, i) => {
      await run(
        others.filter((_name, at) => at % PROGRAMS === i),
        String(i),
      );
    }),
  );
  await run(serial, 'serial');
  await rm(report, { recursive: true, force: true });
  for (const name of list) t.equal(results.get(name) ?? 'not run', 'PASSED', name);
});
