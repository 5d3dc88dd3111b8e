// The boundaries of the architecture as data and a check: who may import whom, which folders are pure, how long files and
// functions may be, which names say nothing.
import { readFile, readdir } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';

/** What each package's src may import of ours. Components never import components. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  api: [],
  etcd: [],
  'etcd-client': ['etcd'],
  component: [],
  client: ['api', 'component'],
  testkit: ['api', 'etcd', 'component', 'client'],
  'kv-raft': ['etcd', 'component'],
  apiserver: ['api', 'etcd', 'etcd-client', 'component'],
  'controller-manager': ['api', 'client', 'component'],
  scheduler: ['api', 'client', 'component'],
  kubelet: ['api', 'client', 'component'],
  'kube-proxy': ['api', 'client', 'component'],
  naru: ['api', 'client', 'component', 'etcd'],
};

/** Folders and files that do no I/O and know no clock, randomness, logger, promise or async. */
const pureFolders: readonly string[] = [
  'packages/api/src',
  'packages/kv-raft/src/raft',
  'packages/kv-raft/src/mvcc',
  'packages/kv-raft/src/lease',
  'packages/kv-raft/src/auth',
  'packages/apiserver/src/registry/strategies',
  'packages/apiserver/src/flowcontrol/queuing',
  'packages/scheduler/src/plugins',
  'packages/kube-proxy/src/plan',
  'packages/kubelet/src/plan',
  'packages/testkit/src/linearizability',
];
/** Reads the generated schemas, two files of its own package, at first use: everything else of packages/api is pure. */
const impureByDesign: ReadonlySet<string> = new Set(['packages/api/src/schemas.ts']);
const pureFile = /^packages\/controller-manager\/src\/.*plan\.ts$/u;
const impure =
  /\b(async|await|Promise|setTimeout|setInterval|Math\.random|Date\.now|performance\.now|process\.)\b|new Date\(\)|from 'node:(?!assert|buffer)|from '(pino|undici|fastify)/u;

const bannedNames = /^(common|utils?|helpers?|shared|types|misc|lib)(\.ts)?$/u;
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
/** Data tables, exempt from the size limits. */
const dataTable = /(resources|columns|bootstrap-policy|defaults|[a-z-]*-data)\.ts$/u;

async function* sourceFiles(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name === 'generated' || entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

/** Source without comments and string contents, so that words in prose are not taken for code. */
function stripProse(source: string): string {
  return source
    .replaceAll(/\/\*[\s\S]*?\*\//gu, (comment) => comment.replaceAll(/[^\n]/gu, ' '))
    .replaceAll(/(^|\s)\/\/.*$/gmu, '');
}

function importsOf(source: string): string[] {
  return [...source.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/gu)].map((match) => match[1] ?? '');
}

function checkImports(root: string, file: string, source: string): string[] {
  const path = relative(root, file).split(sep).join('/');
  const owner = /^packages\/([^/]+)\/(src|test)\//u.exec(path);
  if (owner === null) return [];
  const [, name = '', part] = owner;
  const problems: string[] = [];
  for (const specifier of importsOf(source)) {
    const ours = /^@naru\/([^/]+)(\/.*)?$/u.exec(specifier);
    if (ours !== null) {
      const [, target = '', deep] = ours;
      if (deep !== undefined) problems.push(`${path}: deep import ${specifier}`);
      const allowed =
        part === 'test'
          ? [...(mayImport[name] ?? []), name, 'testkit', 'api', 'etcd', 'etcd-client', 'component', 'client']
          : (mayImport[name] ?? []);
      if (!allowed.includes(target)) problems.push(`${path}: ${name} may not import @naru/${target}`);
    } else if (specifier.startsWith('.')) {
      const target = relative(root, resolve(dirname(file), specifier))
        .split(sep)
        .join('/');
      if (!target.startsWith(`packages/${name}/`))
        problems.push(`${path}: relative import leaves the package: ${specifier}`);
    }
  }
  return problems;
}

function checkPure(path: string, source: string): string[] {
  if (impureByDesign.has(path)) return [];
  if (!pureFolders.some((folder) => path.startsWith(`${folder}/`)) && !pureFile.test(path)) return [];
  const found = impure.exec(stripProse(source));
  return found === null ? [] : [`${path}: pure code may not use ${JSON.stringify(found[0])}`];
}

function checkSizes(path: string, source: string): string[] {
  if (!path.includes('/src/') || dataTable.test(path)) return [];
  const lines = source.split('\n');
  const problems =
    lines.length - 1 > FILE_LINES_MAX ? [`${path}: ${lines.length - 1} lines, at most ${FILE_LINES_MAX}`] : [];
  // Prettier indents a function's closing brace as its first line, so the next such brace ends it.
  for (const [start, line] of lines.entries()) {
    const head =
      /^(\s*)(?:(?:export |default |static |async |override |get |set |private |protected )*(?:function\b.*|#?\w+\(.*|#?\w+<.*\(.*|\[Symbol\.\w+\]\(.*))$/u.exec(
        line,
      );
    if (head === null || /^\s*(if|for|while|switch|return|catch|await|else|do|yield|throw|new)\b/u.test(line)) continue;
    const indent = head[1] ?? '';
    if (!/^(\s*)(export |async )*function\b/u.test(line) && !line.endsWith('{')) continue;
    const end = lines.findIndex((each, i) => i > start && each.startsWith(`${indent}}`));
    if (end !== -1 && end - start + 1 > FUNCTION_LINES_MAX)
      problems.push(`${path}:${start + 1}: function of ${end - start + 1} lines, at most ${FUNCTION_LINES_MAX}`);
  }
  return problems;
}

/** All violations, one line each. */
export async function checkBoundaries(root: string): Promise<string[]> {
  const problems: string[] = [];
  for (const folder of ['packages', 'scripts', 'test', 'bench']) {
    for await (const file of sourceFiles(join(root, folder))) {
      const path = relative(root, file).split(sep).join('/');
      const source = await readFile(file, 'utf8');
      if (path.split('/').some((part) => bannedNames.test(part)) || bannedNames.test(basename(path)))
        problems.push(`${path}: a name that says nothing`);
      problems.push(...checkImports(root, file, source), ...checkPure(path, source), ...checkSizes(path, source));
    }
  }
  return problems;
}
