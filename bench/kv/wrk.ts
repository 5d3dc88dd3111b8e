import { join } from 'node:path';
import { runProgram } from '@naru/testkit';
import type { LoadResult } from './load-result.ts';

const unitMs: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1000, m: 60_000 };

/** Runs wrk with a script of this folder. @throws Error when any request failed */
export async function wrk(options: {
  readonly url: string;
  readonly script: 'put.lua' | 'range.lua';
  readonly connections: number;
  readonly seconds: number;
}): Promise<LoadResult> {
  const { url, script, connections, seconds } = options;
  const { stdout } = await runProgram('wrk', [
    '--latency',
    '--threads=1',
    '--timeout=30s',
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    `--script=${join(import.meta.dirname, script)}`,
    url,
  ]);
  const failed = /^\s*(?:Non-2xx|Socket errors).*$/mu.exec(stdout);
  if (failed !== null) throw new Error(`wrk: ${failed[0].trim()}`);
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/u.exec(stdout)?.[1]),
    p50Ms: latency(stdout, 50),
    p99Ms: latency(stdout, 99),
  };
}

function latency(output: string, percent: number): number {
  const [, figure = '', unit = ''] =
    new RegExp(`^\\s*${percent}%\\s+([\\d.]+)(us|ms|s|m)\\s*$`, 'mu').exec(output) ?? [];
  return Number(figure) * (unitMs[unit] ?? Number.NaN);
}
