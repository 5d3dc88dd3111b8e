// `npm run check [-- FOLDER…]`: format, lint, types and boundaries, all at once; prints what fails and exits 1 if anything
// did. With folders, only what concerns them.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkBoundaries } from './boundaries.ts';

const root = join(import.meta.dirname, '..');
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);

const folders = process.argv.slice(2).map((folder) => folder.replace(/\/$/u, ''));

/** Keeps of a tool's output the lines about the chosen folders. */
function ofFolders(lines: readonly string[]): string[] {
  if (folders.length === 0) return [...lines];
  return lines.filter((line) => folders.some((folder) => line.startsWith(`${folder}/`)));
}

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

async function run(name: string, command: string, args: readonly string[]): Promise<Outcome> {
  const start = performance.now();
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { name, ok: code === 0, output, seconds: (performance.now() - start) / 1000 };
}

async function types(): Promise<Outcome> {
  const outcome = await run('types', bin('tsc'), ['-p', 'tsconfig.json', '--pretty', 'false']);
  if (outcome.ok || folders.length === 0) return outcome;
  const output = ofFolders(outcome.output.split('\n'));
  return { ...outcome, ok: output.length === 0, output: output.join('\n') };
}

async function boundaries(): Promise<Outcome> {
  const start = performance.now();
  const problems = ofFolders(await checkBoundaries(root));
  const seconds = (performance.now() - start) / 1000;
  return { name: 'boundaries', ok: problems.length === 0, output: problems.join('\n'), seconds };
}

const outcomes = await Promise.all([
  run('format', bin('prettier'), [
    '--check',
    '--cache',
    '--cache-location',
    '.cache/prettier',
    '--log-level',
    'warn',
    ...(folders.length === 0 ? ['.'] : folders),
  ]),
  run('lint', bin('oxlint'), ['--type-aware', '--quiet', ...folders]),
  types(),
  boundaries(),
]);
for (const { name, ok, output, seconds } of outcomes) {
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(1)} s)\n`);
  if (!ok) process.stdout.write(`${output.trimEnd()}\n`);
}
process.exitCode = outcomes.every(({ ok }) => ok) ? 0 : 1;
