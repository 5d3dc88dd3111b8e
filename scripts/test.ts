// `npm test`: the checks and every test. Ends with one line `N passed, N failed`; exits 0 only if nothing failed and
// something passed. With arguments it runs only those test files (`npm test packages/api/test/quantity.test.ts`).
import { spawn } from 'node:child_process';
import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { ensurePrograms } from './programs.ts';

const root = join(import.meta.dirname, '..');
/** Tests of whole clusters, each in a run of its own: they need the machine for themselves. */
const clusterTests = ['test/e2e', 'test/interop', 'test/robustness'] as const;
let passed = 0;
let failed = 0;

async function exitCode(command: string, args: readonly string[], onLine?: (line: string) => void): Promise<number> {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', onLine === undefined ? 'inherit' : 'pipe', 'inherit'],
  });
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine?.(line);
  });
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function count(ok: boolean): void {
  if (ok) passed++;
  else failed++;
}

/** Prints a line per test file and the whole output of those that fail; counts the tests inside each file. */
async function runTap(files: readonly string[]): Promise<void> {
  let block: string[] = [];
  const code = await exitCode(
    process.execPath,
    [join(root, 'node_modules', '.bin', 'tap'), 'run', '--reporter=tap', ...files],
    (line) => {
      block.push(line);
      const inner = /^ {4}(not )?ok \d/u.exec(line);
      if (inner !== null) count(inner[1] === undefined);
      const outer = /^(not )?ok \d+ - (\S+\.test\.ts)(.*)$/u.exec(line);
      if (outer === null) return;
      const [, not, file, rest = ''] = outer;
      process.stdout.write(`${not === undefined ? 'ok    ' : 'FAILED'} ${file}${rest}\n`);
      if (not !== undefined) {
        process.stdout.write(`${block.join('\n')}\n`);
        if (!block.some((each) => /^ {4}not ok/u.test(each))) count(false);
      }
      block = [];
    },
  );
  if (code !== 0 && failed === 0) {
    process.stdout.write(`${block.join('\n')}\n`);
    count(false);
  }
}

const files = process.argv.slice(2);
process.env['PATH'] = await ensurePrograms();
if (files.length > 0) await runTap(files);
else {
  count((await exitCode(process.execPath, [join(root, 'scripts', 'check.ts')])) === 0);
  await runTap([]);
  for (const folder of clusterTests) {
    const tests = await Array.fromAsync(glob(`${folder}/*.test.ts`, { cwd: root }));
    if (tests.length > 0) await runTap(['--jobs=1', '--timeout=900', ...tests.toSorted()]);
  }
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
