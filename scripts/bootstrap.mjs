// Makes a fresh clone run on any Node >= 20: installs the locked dependencies (the pinned Node among them) when they are
// missing or out of date, generates what is generated, and then runs the given TypeScript file with the pinned Node.
//
//   node scripts/bootstrap.mjs FILE.ts [ARGUMENT…]

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The Node that package-lock.json pins, or this one where no pinned build exists for the platform. */
export function pinnedNode() {
  const pinned = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return existsSync(pinned) ? pinned : process.execPath;
}

function digestOf(...files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** Whether node_modules holds what package-lock.json says; packages for other platforms may be missing. */
function isInstalled() {
  const hidden = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const installed = JSON.parse(readFileSync(hidden, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.link === true) return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

function install() {
  if (isInstalled()) return;
  process.stderr.write('naru: installing dependencies (npm ci)…\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  execFileSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] });
}

function generate() {
  const stamp = join(root, 'packages', 'api', 'generated', '.digest');
  const digest = digestOf(
    'package-lock.json',
    'scripts/generate.ts',
    'packages/api/src/resources.ts',
    'packages/api/data/schema-facts.json',
    'packages/api/data/schema-supplement.json',
  );
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  execFileSync(pinnedNode(), [join(root, 'scripts', 'generate.ts')], { cwd: root, stdio: ['ignore', 2, 2] });
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}

/** Prepares the clone and runs `file` (relative to the root) with the pinned Node; exits with its exit status. */
export function runPinned(file, args) {
  try {
    install();
    if (!file.endsWith('generate.ts')) generate();
  } catch (error) {
    process.stderr.write(`naru: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
  const child = spawn(pinnedNode(), [join(root, file), ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`naru: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2);
  if (file === undefined) {
    process.stderr.write('usage: node scripts/bootstrap.mjs FILE.ts [ARGUMENT…]\n');
    process.exit(2);
  }
  runPinned(file, args);
}
