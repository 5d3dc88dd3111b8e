import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const sleeper = join(import.meta.dirname, 'fixtures', 'sleeper.ts');

interface Run {
  readonly child: ChildProcess;
  output: string;
  readonly exit: Promise<number | null>;
}

function start(...args: readonly string[]): Run {
  const child = spawn(process.execPath, [sleeper, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const run = { child, output: '', exit: new Promise<number | null>((resolve) => child.on('close', resolve)) };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (run.output += text));
  }
  return run;
}

async function listening(run: Run): Promise<number> {
  return await new Promise((resolve, reject) => {
    run.child.stdout?.on('data', () => {
      const port = /"port":(\d+).*"msg":"listening"/u.exec(run.output)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    run.child.on('close', () => reject(new Error(run.output)));
  });
}

await t.test('SIGTERM disposes in order and exits 0; checks and metrics are served until then', async (t) => {
  const run = start();
  const url = `http://127.0.0.1:${await listening(run)}`;
  t.equal(await (await fetch(`${url}/healthz`)).text(), 'ok');
  const ready = await fetch(`${url}/readyz`);
  t.equal(ready.status, 500);
  const text = await ready.text();
  t.match(text, '[+]good ok');
  t.match(text, '[-]bad failed: reason withheld');
  t.notMatch(text, 'not yet', 'why is for the log only');
  t.match(await (await fetch(`${url}/metrics`)).text(), 'process_cpu_seconds_total');
  run.child.kill('SIGTERM');
  t.equal(await run.exit, 0);
  t.match(run.output, /disposed[^]*stopped/u);
});

await t.test('--help exits 0, a bad flag exits 2 with its name and no stack', async (t) => {
  const help = start('--help');
  t.equal(await help.exit, 0);
  t.match(help.output, '--log-level');
  const bad = start('--prot=1');
  t.equal(await bad.exit, 2);
  t.equal(bad.output, 'sleeper: unknown flag: --prot\n');
});

await t.test('a component that fails ends the process with 1 and says why once', async (t) => {
  const run = start('--fail');
  t.equal(await run.exit, 1);
  t.equal(run.output.split('broken on purpose').length - 1 > 0, true);
  t.equal(run.output.split('process failed').length - 1, 1);
});
