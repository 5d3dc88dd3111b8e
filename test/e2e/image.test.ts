/** What the Dockerfile makes, made in a folder: docker-compose.yml's commands can be run in it. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { parse } from 'yaml';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

interface Compose {
  readonly services: Readonly<Record<string, { readonly command: readonly string[] }>>;
}

/** The checkout without what .dockerignore names. */
async function copyContext(to: string): Promise<void> {
  const ignored = (await readFile(join(root, '.dockerignore'), 'utf8')).split('\n').filter((line) => line !== '');
  const isIgnored = (path: string): boolean =>
    ignored.some((each) => (each.startsWith('**/') ? path.split(sep).includes(each.slice(3)) : path === each));
  await cp(root, to, { recursive: true, filter: (from) => !isIgnored(relative(root, from)) });
}

/** The shell commands of the Dockerfile. */
async function buildCommands(): Promise<readonly string[]> {
  const text = (await readFile(join(root, 'Dockerfile'), 'utf8')).replaceAll('\\\n', ' ');
  return [...text.matchAll(/^RUN (.*)$/gmu)].map(([, command = '']) => command);
}

await t.test('the image holds what the services run', async (t) => {
  // Not under the root, which is copied.
  const image = await mkdtemp(join(tmpdir(), 'naru-image-'));
  t.teardown(async () => await rm(image, { recursive: true, force: true }));
  await copyContext(image);
  const env = {
    ...process.env,
    PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
    npm_config_cache: join(image, '.npm'),
  };
  for (const command of await buildCommands()) await run('sh', ['-ec', command], { cwd: image, env });
  const { services } = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as Compose;
  const helps = new Map<string, string>();
  for (const [name, { command }] of Object.entries(services)) {
    const [program = '', ...args] = command;
    if (program === '-e') continue;
    const subcommand = args.filter((each) => !each.startsWith('-'));
    const line = [program, ...subcommand, '--help'];
    const help = helps.get(line.join(' ')) ?? (await run('node', line, { cwd: image, env })).stdout;
    helps.set(line.join(' '), help);
    const flags = args.filter((each) => each.startsWith('--')).map((each) => each.replace(/=.*$/su, ''));
    t.strictSame(
      flags.filter((each) => !new RegExp(`${each}\\b`, 'u').test(help)),
      [],
      `${name}: ${program} knows its flags`,
    );
  }
  t.ok(helps.size >= 7, 'every component is run');
});
