// Bugs that are planted on purpose: the simulation must find them. `npm run sim -- --plants` looks for all.
import t from 'tap';
import { huntPlants } from './hunt.ts';
import { plantedSource } from './planting.ts';
import { plants } from './plants.ts';

/** Those that take more seeds are left to the whole table. */
const QUICK_BUDGET = 15;

await t.test('every planted bug still has its place in the source', async (t) => {
  t.equal(new Set(plants.map(({ name }) => name)).size, plants.length, 'names are unique');
  for (const plant of plants) t.ok(plantedSource(plant).includes(plant.replace), plant.name);
});

await t.test('the simulation finds them', async (t) => {
  const quick = plants.filter(({ budget }) => budget <= QUICK_BUDGET);
  t.ok(quick.length >= 12);
  await huntPlants(quick, {
    jobs: 2,
    onHunt: ({ plant, found, seeds, how }) => t.ok(found, `${plant}: ${seeds} seeds, ${how}`),
  });
});
