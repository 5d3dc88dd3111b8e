import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { plants, type Plant } from './plants.ts';

const sources = join(import.meta.dirname, '..', '..', 'src');

/** @throws Error for a name that is none */
export function plantOf(name: string): Plant {
  const plant = plants.find((each) => each.name === name);
  if (plant === undefined)
    throw new Error(`no plant ${name}; there are: ${plants.map((each) => each.name).join(', ')}`);
  return plant;
}

/** The file with the bug. @throws Error unless the snippet stands in it exactly once */
export function plantedSource({ name, file, find, replace }: Plant): string {
  const source = readFileSync(join(sources, file), 'utf8');
  const count = source.split(find).length - 1;
  if (count !== 1) throw new Error(`plant ${name}: ${JSON.stringify(find)} stands ${count} times in ${file}`);
  return source.replace(find, () => replace);
}

/** Has this process run with the bug: to be called before anything of the member is imported. */
export function sow(plant: Plant): void {
  const url = pathToFileURL(join(sources, plant.file)).href;
  const source = plantedSource(plant);
  registerHooks({
    load: (each, context, next) =>
      each === url ? { format: 'module-typescript', source, shortCircuit: true } : next(each, context),
  });
}
