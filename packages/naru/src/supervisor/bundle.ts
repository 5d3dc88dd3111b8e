/**
 * A file per component. A process that reads its sources reads hundreds of files, and spends most of its start on that; one
 * that reads its bundle starts in half the time.
 */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { Plugin } from 'esbuild';

/** What a cluster consists of: packages with a `src/main.ts`. */
export const components = ['kv-raft', 'apiserver', 'controller-manager', 'scheduler', 'kubelet', 'kube-proxy'] as const;

/** Files that went into the bundles, relative to the root, and when they were last changed. */
type Inputs = Readonly<Record<string, number>>;

const folderOf = (root: string): string => join(root, 'dist');
const inputsOf = (root: string): string => join(folderOf(root), 'inputs.json');

/** CommonJS packages call it; a module has none. */
const banner = `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);`;

/** In Go's syntax, which knows no flag `u`. */
const sourceFiles = new RegExp(String.raw`/packages/[^/]+/src/.*\.ts$`);

/** Sources find files beside them by their own folder, not by the bundle's. */
const ownDirname: Plugin = {
  name: 'own-dirname',
  setup(build) {
    build.onLoad({ filter: sourceFiles }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      if (!text.includes('import.meta.dirname')) return undefined;
      return { loader: 'ts', contents: text.replaceAll('import.meta.dirname', JSON.stringify(dirname(path))) };
    });
  },
};

async function changedMs(file: string): Promise<number | undefined> {
  return await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}

async function isFresh(root: string): Promise<boolean> {
  let inputs: Inputs;
  try {
    inputs = JSON.parse(await readFile(inputsOf(root), 'utf8')) as Inputs;
  } catch {
    return false;
  }
  const same = await Promise.all(
    Object.entries(inputs).map(async ([file, ms]) => (await changedMs(join(root, file))) === ms),
  );
  const made = await Promise.all(components.map(async (name) => await changedMs(bundleOf(root, name))));
  return same.every(Boolean) && !made.includes(undefined);
}

/** Written next to it and renamed: other processes read whole files only. */
async function replaceFile(file: string, contents: string | Uint8Array): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, contents);
  await rename(temporary, file);
}

/** The bundle of a component in the checkout at `root`. */
export function bundleOf(root: string, component: string): string {
  return join(folderOf(root), `${component}.mjs`);
}

/**
 * Makes the bundles of the checkout at `root`, unless they are there and no file that went into them has changed since.
 * @throws Error when the bundler is not installed, or cannot read the sources
 */
export async function bundleComponents(root: string): Promise<void> {
  if (await isFresh(root)) return;
  const startedMs = Date.now();
  const { build, stop } = await import('esbuild');
  try {
    const { outputFiles, metafile } = await build({
      absWorkingDir: root,
      entryPoints: components.map((name) => ({ in: join('packages', name, 'src', 'main.ts'), out: name })),
      outdir: folderOf(root),
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      // A native module.
      external: ['@node-rs/crc32'],
      banner: { js: banner },
      plugins: [ownDirname],
      logLevel: 'silent',
      metafile: true,
      write: false,
    });
    const inputs = [...Object.keys(metafile.inputs), relative(root, import.meta.filename)];
    const times = await Promise.all(inputs.map(async (file) => [file, await changedMs(join(root, file))] as const));
    await mkdir(folderOf(root), { recursive: true });
    for (const { path, contents } of outputFiles) await replaceFile(bundleOf(root, basename(path, '.mjs')), contents);
    // What changed meanwhile may be in the bundles or not.
    if (times.every(([, ms = 0]) => ms < startedMs))
      await replaceFile(inputsOf(root), JSON.stringify(Object.fromEntries(times)));
  } finally {
    await stop();
  }
}
