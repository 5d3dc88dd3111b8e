import { runProgram } from '@naru/testkit';
import type { LoadResult } from './load-result.ts';

const unitMs: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1000, m: 60_000 };

/** Runs wrk, with one thread. @throws Error when any request failed */
export async function wrk(options: {
  readonly url: string;
  /** The path of a script in Lua. */
  readonly script: string;
  /** What the script gets. */
  readonly args?: readonly string[];
  readonly connections: number;
  readonly seconds: number;
}): Promise<LoadResult> {
  const { url, script, args = [], connections, seconds } = options;
  const { stdout } = await runProgram('wrk', [
    '--latency',
    '--threads=1',
    '--timeout=30s',
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    `--script=${script}`,
    url,
    '--',
    ...args,
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
