import { join } from 'node:path';
import { runProgram } from '@naru/testkit';
import { compareSides, none, type Figures } from '../compare.ts';
import type { GrpcLoadOptions } from './grpc-load.ts';
import type { LoadResult } from '../load-result.ts';
import type { Row } from '../row.ts';
import type { StoreCluster } from './store-cluster.ts';
import type { WatchLoadOptions, WatchLoadResult } from './watch-load.ts';
import { wrk } from '../wrk.ts';

/** How long and how often. */
export interface Effort {
  readonly seconds: number;
  readonly rounds: number;
  readonly watchPuts: number;
  readonly memoryPuts: number;
  readonly kills: number;
}

/** Runs one of this folder's clients in a process of its own. */
export async function runClient(file: 'grpc-load.ts' | 'watch-load.ts', options: object): Promise<unknown> {
  const { stdout } = await runProgram(process.execPath, [join(import.meta.dirname, file), JSON.stringify(options)], {
    timeoutMs: 600_000,
  });
  return JSON.parse(stdout);
}

export async function grpcLoad(options: GrpcLoadOptions): Promise<LoadResult> {
  return (await runClient('grpc-load.ts', options)) as LoadResult;
}

/** A load on a leader's client URL; figures by name. */
type Load = (url: string, effort: Effort) => Promise<Readonly<Record<string, number>>>;

/** Both clusters under the same load in turn; each figure is the median of the rounds. */
async function compare(clusters: Clusters, effort: Effort, load: Load): Promise<Figures> {
  return await compareSides(effort.rounds, async (side) => {
    const cluster = side === 'ours' ? clusters.ours : clusters.etcd;
    const { clientUrl } = await cluster.leader();
    const cpuBefore = await cluster.cpuSeconds();
    const result = await load(clientUrl, effort);
    const cpuSeconds = (await cluster.cpuSeconds()) - cpuBefore;
    const { operations } = result;
    return operations === undefined ? result : { ...result, cpuMicros: (cpuSeconds * 1e6) / operations };
  });
}

export interface Clusters {
  readonly ours: StoreCluster;
  readonly etcd: StoreCluster;
}

function throughput(work: string, unit: string, figures: Figures, must: number, aim: number): readonly Row[] {
  return [
    {
      work,
      unit,
      ...(figures['perSecond'] ?? none),
      must: { kind: 'at least', ratio: must },
      aim: { kind: 'at least', ratio: aim },
    },
    { work: '  latency p50', unit: 'ms', ...(figures['p50Ms'] ?? none) },
    { work: '  latency p99', unit: 'ms', ...(figures['p99Ms'] ?? none) },
    { work: '  CPU of all members', unit: 'µs/op', ...(figures['cpuMicros'] ?? none) },
  ];
}

function withOperations(result: LoadResult, seconds: number): Readonly<Record<string, number>> {
  return { ...result, operations: result.perSecond * seconds };
}

function wrkLoad(script: 'put.lua' | 'range.lua', connections: number): Load {
  return async (url, { seconds }) =>
    withOperations(await wrk({ url, script: join(import.meta.dirname, script), connections, seconds }), seconds);
}

function putLoad(shape: Omit<GrpcLoadOptions, 'url' | 'seconds' | 'count' | 'keys'>): Load {
  return async (url, { seconds }) => withOperations(await grpcLoad({ url, seconds, keys: 1000, ...shape }), seconds);
}

async function watchLoad(url: string, effort: Effort): Promise<Readonly<Record<string, number>>> {
  const options: WatchLoadOptions = {
    url,
    watchers: 1000,
    connections: 10,
    puts: effort.watchPuts,
    putsInflight: 16,
    pacedPuts: 40 * effort.seconds,
    pacedPerSecond: 40,
  };
  const result = (await runClient('watch-load.ts', options)) as WatchLoadResult;
  return { ...result, operations: options.watchers * (options.puts + options.pacedPuts) };
}

type Measure = (clusters: Clusters, effort: Effort) => Promise<readonly Row[]>;

/** The measurements on two running clusters, by name. */
export const loads = {
  'put-64': async (clusters, effort) =>
    throughput('put 256 B, JSON, 64 connections', '/s', await compare(clusters, effort, wrkLoad('put.lua', 64)), 1, 2),
  'put-256': async (clusters, effort) =>
    throughput(
      'put 256 B, JSON, 256 connections',
      '/s',
      await compare(clusters, effort, wrkLoad('put.lua', 256)),
      1,
      2,
    ),
  'put-1': async (clusters, effort) => {
    const figures = await compare(clusters, effort, wrkLoad('put.lua', 1));
    const target = { must: { kind: 'at most', ratio: 1.2 }, aim: { kind: 'at most', ratio: 1 } } as const;
    return [
      { work: 'put 256 B, JSON, 1 connection, p50', unit: 'ms', ...(figures['p50Ms'] ?? none), ...target },
      { work: 'put 256 B, JSON, 1 connection, p99', unit: 'ms', ...(figures['p99Ms'] ?? none), ...target },
      { work: '  CPU of all members', unit: 'µs/op', ...(figures['cpuMicros'] ?? none) },
    ];
  },
  'grpc-64': async (clusters, effort) =>
    throughput(
      'put 256 B, gRPC, 4 connections x 16 calls',
      '/s',
      await compare(clusters, effort, putLoad({ connections: 4, inflight: 16, keyBytes: 16, valueBytes: 256 })),
      0.7,
      1.2,
    ),
  'grpc-perf': async (clusters, effort) =>
    throughput(
      'put 1 KiB, gRPC, 50 connections (check perf)',
      '/s',
      await compare(clusters, effort, putLoad({ connections: 50, inflight: 1, keyBytes: 256, valueBytes: 1024 })),
      0.7,
      1.2,
    ),
  range: async (clusters, effort) =>
    throughput(
      'linearizable range of one key, JSON, 64 connections',
      '/s',
      await compare(clusters, effort, wrkLoad('range.lua', 64)),
      0.3,
      1,
    ),
  watch: async (clusters, effort) => {
    const figures = await compare(clusters, effort, watchLoad);
    return [
      {
        work: '1,000 watchers of a prefix, events',
        unit: '/s',
        ...(figures['eventsPerSecond'] ?? none),
        must: { kind: 'at least', ratio: 1 },
        aim: { kind: 'at least', ratio: 3 },
      },
      {
        work: '1,000 watchers, 40 puts/s, delay p99',
        unit: 'ms',
        ...(figures['p99Ms'] ?? none),
        must: { kind: 'at most', ratio: 1 },
        aim: { kind: 'at most', ratio: 0.33 },
      },
      { work: '  delay p50', unit: 'ms', ...(figures['p50Ms'] ?? none) },
      { work: '  CPU of all members', unit: 'µs/event', ...(figures['cpuMicros'] ?? none) },
    ];
  },
} as const satisfies Readonly<Record<string, Measure>>;
