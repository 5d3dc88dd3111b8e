import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '@naru/component';
import { defaultOptions, files, type ClusterOptions } from './topology.ts';

type Chosen = { readonly [K in keyof Omit<ClusterOptions, 'dataDir'>]?: ClusterOptions[K] | undefined };

/**
 * The options of a data dir's cluster: what was chosen now, else what it was made with, else the defaults. What the data
 * on disk depends on cannot change any more.
 * @throws UsageError
 */
export async function resolveOptions(dataDir: string, chosen: Chosen): Promise<ClusterOptions> {
  const text = await readFile(join(dataDir, files.cluster), 'utf8').catch(() => undefined);
  const made = text === undefined ? undefined : (JSON.parse(text) as Omit<ClusterOptions, 'dataDir'>);
  const options = {
    dataDir,
    portBase: chosen.portBase ?? made?.portBase ?? defaultOptions.portBase,
    kv: chosen.kv ?? made?.kv ?? defaultOptions.kv,
    apiservers: chosen.apiservers ?? made?.apiservers ?? defaultOptions.apiservers,
    nodes: chosen.nodes ?? made?.nodes ?? defaultOptions.nodes,
    runtime: chosen.runtime ?? made?.runtime ?? defaultOptions.runtime,
  };
  for (const [flag, key] of [
    ['port-base', 'portBase'] as const,
    ['kv', 'kv'] as const,
    ['runtime', 'runtime'] as const,
  ]) {
    if (made !== undefined && made[key] !== options[key])
      throw new UsageError(
        `--${flag}: the cluster in ${dataDir} was made with ${made[key]}; choose another --data-dir, or reset it first`,
      );
  }
  return options;
}

export async function saveOptions({ dataDir, ...options }: ClusterOptions): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(join(dataDir, files.cluster), `${JSON.stringify(options, undefined, 2)}\n`);
}
