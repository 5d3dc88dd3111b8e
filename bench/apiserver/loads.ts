import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '@naru/testkit';
import { compareSides, none, type Figures, type Side } from '../compare.ts';
import type { Row } from '../row.ts';
import { wrk } from '../wrk.ts';
import { TOKEN, type ApiSystem } from './api-system.ts';
import { configMap, NAMESPACE, pod, statusPatch, TURN } from './objects.ts';
import type { WatchLoadOptions, WatchLoadResult } from './watch-load.ts';

/** How long and how often. */
export interface Effort {
  readonly seconds: number;
  readonly rounds: number;
  readonly starts: number;
  /** Lists take their time, and the median of several is wanted. */
  readonly listSeconds: number;
  readonly watchSeconds: number;
  readonly settleMs: number;
}

export type Systems = Readonly<Record<Side, ApiSystem>>;

export const PODS = 8000;
const CONNECTIONS = 32;
const PODS_PATH = `/api/v1/namespaces/${NAMESPACE}/pods`;
const WATCHERS = 500;
const LOOKING = 25;
const CHANGES_PER_SECOND = 200;
const json = 'application/json';
const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const strategicMerge = 'application/strategic-merge-patch+json';

export const podName = (turn: string): string => `web-6d4cf56db6-${turn}`;

/** What wrk sends, see requests.lua. */
interface Requests {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly body?: object;
  /** Of the body, or accepted. */
  readonly contentType: string;
  readonly first?: number;
  readonly count?: number;
  readonly connections?: number;
}

/** Runs wrk against some of the system's apiservers, the connections split between them. */
export async function load(
  system: ApiSystem,
  requests: Requests,
  seconds: number,
  urls: readonly string[] = [system.url],
): Promise<Readonly<Record<string, number>>> {
  const { method, path, body, contentType, first = 0, count = 1, connections = CONNECTIONS } = requests;
  const file = body === undefined ? '' : join(system.folder, 'body.json');
  if (body !== undefined) await writeFile(file, JSON.stringify(body));
  const [cpu, storeCpu] = [await system.cpuSeconds(), await system.storeCpuSeconds()];
  const results = await Promise.all(
    urls.map(
      async (url, i) =>
        await wrk({
          url,
          script: join(import.meta.dirname, 'requests.lua'),
          args: [method, path, file, contentType, TOKEN, String(first + i * count), String(count)],
          connections: connections / urls.length,
          seconds,
        }),
    ),
  );
  if (results.some((each) => !(each.perSecond > 0))) throw new Error(`${method} ${path}: no answer in ${seconds} s`);
  const perSecond = results.reduce((sum, each) => sum + each.perSecond, 0);
  const operations = perSecond * seconds;
  return {
    perSecond,
    p50Ms: Math.max(...results.map((each) => each.p50Ms)),
    p99Ms: Math.max(...results.map((each) => each.p99Ms)),
    cpuMicros: (((await system.cpuSeconds()) - cpu) * 1e6) / operations,
    storeCpuMicros: (((await system.storeCpuSeconds()) - storeCpu) * 1e6) / operations,
  };
}

async function compare(systems: Systems, effort: Effort, requests: (round: number) => Requests): Promise<Figures> {
  const round = { ours: 0, theirs: 0 };
  return await compareSides(
    effort.rounds,
    async (side) => await load(systems[side], requests(round[side]++), effort.seconds),
  );
}

function cpuRows(figures: Figures): readonly Row[] {
  return [
    { work: '  CPU of the apiserver', unit: 'µs/op', ...(figures['cpuMicros'] ?? none) },
    { work: '  CPU of the store', unit: 'µs/op', ...(figures['storeCpuMicros'] ?? none) },
  ];
}

function throughput(work: string, figures: Figures, must: number, aim: number): readonly Row[] {
  return [
    {
      work,
      unit: '/s',
      ...(figures['perSecond'] ?? none),
      must: { kind: 'at least', ratio: must },
      aim: { kind: 'at least', ratio: aim },
    },
    { work: '  latency p50', unit: 'ms', ...(figures['p50Ms'] ?? none) },
    { work: '  latency p99', unit: 'ms', ...(figures['p99Ms'] ?? none) },
    ...cpuRows(figures),
  ];
}

/** Names of a round are not those of another one. */
function creates(path: string, body: object): (round: number) => Requests {
  return (round) => ({ method: 'POST', path, body, contentType: json, first: (round + 1) * 1e6, count: 1e6 });
}

const configMapCreates = creates(`/api/v1/namespaces/${NAMESPACE}/configmaps`, configMap(`settings-${TURN}`));

type Measure = (systems: Systems, effort: Effort) => Promise<readonly Row[]>;

/** On systems that hold little. */
export const writeLoads = {
  configmap: async (systems, effort) => {
    const figures = await compare(systems, effort, configMapCreates);
    const [first, p50, p99, ...rest] = throughput('create ConfigMap (1 KB), 32 connections', figures, 1.2, 2);
    return [first, p50, { ...p99, must: { kind: 'at most', ratio: 1 } }, ...rest] as Row[];
  },
  pod: async (systems, effort) =>
    throughput(
      'create Pod, 32 connections',
      await compare(systems, effort, creates(PODS_PATH, pod(podName(TURN)))),
      1.5,
      3,
    ),
} as const satisfies Readonly<Record<string, Measure>>;

/** What is created here is deleted with the systems. */
export async function warmUp(systems: Systems, effort: Effort): Promise<void> {
  const bodies = [configMapCreates(30), creates(PODS_PATH, pod(podName(TURN)))(30)];
  for (const body of bodies)
    for (const side of ['ours', 'theirs'] as const) await load(systems[side], body, effort.seconds);
}

async function listRow(systems: Systems, effort: Effort, name: string, query: string, accept: string): Promise<Row[]> {
  const requests: Requests = { method: 'GET', path: `/api/v1/pods${query}`, contentType: accept, connections: 1 };
  const figures = await compareSides(1, async (side) => await load(systems[side], requests, effort.listSeconds));
  return [
    {
      work: `list ${PODS.toLocaleString('en')} Pods, ${name}`,
      unit: 'ms',
      ...(figures['p50Ms'] ?? none),
      must: { kind: 'at most', ratio: 0.33 },
      aim: { kind: 'at most', ratio: 0.1 },
    },
    ...cpuRows(figures),
  ];
}

/** On systems that hold PODS Pods. */
export const podLoads = {
  get: async (systems, effort) => {
    const path = `${PODS_PATH}/${podName('00000042')}`;
    const figures = await compare(systems, effort, () => ({ method: 'GET', path, contentType: json }));
    return throughput('get one Pod, 32 connections', figures, 1.5, 3);
  },
  list: async (systems, effort) => [
    ...(await listRow(systems, effort, 'resourceVersion=0', '?resourceVersion=0', json)),
    ...(await listRow(systems, effort, 'consistent', '', json)),
    ...(await listRow(systems, effort, 'Table', '', table)),
  ],
  patch: async (systems, effort) => {
    // No two requests that are on their way are of the same Pod: they take turns.
    const figures = await compare(systems, effort, () => ({
      method: 'PATCH',
      path: `${PODS_PATH}/${podName(TURN)}/status`,
      body: statusPatch(),
      contentType: strategicMerge,
      count: PODS,
    }));
    return throughput('PATCH Pod status, 32 connections', figures, 1.5, 3);
  },
  watch: async (systems, effort) => {
    const figures = await compareSides(1, async (side) => await fanOut(systems[side], effort.watchSeconds));
    return [
      {
        work: `${WATCHERS} watchers of Pods, ${CHANGES_PER_SECOND} changes/s, delay p99`,
        unit: 'ms',
        ...(figures['p99Ms'] ?? none),
        must: { kind: 'at most', ratio: 1 },
        aim: { kind: 'at most', ratio: 0.2 },
      },
      { work: '  delay p50', unit: 'ms', ...(figures['p50Ms'] ?? none) },
      {
        work: '  CPU of the apiserver',
        unit: 'µs/event',
        ...(figures['cpuMicros'] ?? none),
        must: { kind: 'at most', ratio: 1 },
        aim: { kind: 'at most', ratio: 0.2 },
      },
      { work: '  bytes of an event on the wire', unit: 'B', ...(figures['eventBytes'] ?? none) },
    ];
  },
} as const satisfies Readonly<Record<string, Measure>>;

async function fanOut(system: ApiSystem, seconds: number): Promise<Readonly<Record<string, number>>> {
  const list = JSON.parse(await system.call('GET', '/api/v1/pods?limit=1')) as {
    readonly metadata: { readonly resourceVersion: string };
  };
  const options: WatchLoadOptions = {
    url: system.url,
    token: TOKEN,
    path: '/api/v1/pods',
    resourceVersion: list.metadata.resourceVersion,
    watchers: WATCHERS,
    looking: LOOKING,
    objects: Array.from({ length: PODS }, (_, i) => `${PODS_PATH}/${podName(String(i).padStart(8, '0'))}`),
    changes: CHANGES_PER_SECOND * seconds,
    changesPerSecond: CHANGES_PER_SECOND,
  };
  const cpu = await system.cpuSeconds();
  const file = join(system.folder, 'watch-load.json');
  await writeFile(file, JSON.stringify(options));
  const { stdout } = await runProgram(process.execPath, [join(import.meta.dirname, 'watch-load.ts'), file], {
    timeoutMs: 180_000,
  });
  const { p50Ms, p99Ms, bytes } = JSON.parse(stdout) as WatchLoadResult;
  const events = options.changes * WATCHERS;
  return { p50Ms, p99Ms, cpuMicros: (((await system.cpuSeconds()) - cpu) * 1e6) / events, eventBytes: bytes / events };
}

/** One and two apiservers of each side. */
export async function measureScaling(systems: Systems, effort: Effort): Promise<readonly Row[]> {
  const name = podName('00000000');
  for (const side of ['ours', 'theirs'] as const) {
    await systems[side].startApiserver();
    await systems[side].call('POST', PODS_PATH, pod(name));
  }
  const get = (): Requests => ({ method: 'GET', path: `${PODS_PATH}/${name}`, contentType: json });
  const rows: Row[] = [];
  // Rounds that no other measurement has named ConfigMaps for.
  let round = 20;
  for (const apiservers of [1, 2])
    for (const [work, requests] of [
      ['get one Pod', get],
      ['create ConfigMap', (): Requests => configMapCreates(round)],
    ] as const) {
      round++;
      const figures = await compareSides(1, async (side) => {
        const system = systems[side];
        return await load(system, requests(), effort.seconds, system.urls.slice(0, apiservers));
      });
      const s = apiservers === 1 ? '' : 's';
      rows.push({ work: `${work}, ${apiservers} apiserver${s}`, unit: '/s', ...(figures['perSecond'] ?? none) });
    }
  return rows;
}
