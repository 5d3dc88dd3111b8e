import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Plant } from './plants.ts';

export interface Hunt {
  readonly plant: string;
  readonly found: boolean;
  /** How many seeds it took. */
  readonly seeds: number;
  readonly budget: number;
  readonly seconds: number;
  /** The breach that gave it away, or what the run ended with. */
  readonly how: string;
}

const main = join(import.meta.dirname, 'main.ts');

/** Runs the simulation with each planted bug, from seed 1 on, until it is found or its budget is spent. */
export async function huntPlants(
  plants: readonly Plant[],
  options: { readonly jobs: number; readonly onHunt: (hunt: Hunt) => void },
): Promise<readonly Hunt[]> {
  const hunts: Hunt[] = [];
  const waiting = [...plants];
  const work = async (): Promise<void> => {
    for (let plant = waiting.shift(); plant !== undefined; plant = waiting.shift()) {
      const hunt = await huntPlant(plant);
      hunts.push(hunt);
      options.onHunt(hunt);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return hunts;
}

async function huntPlant({ name, budget, test }: Plant): Promise<Hunt> {
  const start = performance.now();
  const where = test === undefined ? ['--seed', '1', '--runs', String(budget)] : ['--test', test];
  const args = [main, '--plant', name, ...where];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const lines = output.trim().split('\n');
  const failure = test === undefined ? failureOf(lines.at(-1)) : lines.find((line) => /^\s*not ok/u.test(line))?.trim();
  return {
    plant: name,
    found: failure !== undefined,
    seeds: test === undefined ? lines.length : 1,
    budget,
    seconds: Math.round((performance.now() - start) / 100) / 10,
    how: (failure ?? errors).slice(0, 200),
  };
}

function failureOf(line = '{}'): string | undefined {
  const { failure } = JSON.parse(line || '{}') as { readonly failure?: string };
  return failure;
}
