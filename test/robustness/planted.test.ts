import t from 'tap';
import { runScenario } from './scenario.ts';

// Bugs that are planted in the members on purpose: were one not found, the robustness tests would prove nothing. Others:
// `npm run robustness -- --plant NAME`.

t.setTimeout(600_000);

interface Hunt {
  readonly finds: RegExp;
  readonly faults: readonly string[];
  /** Seeds within which it must be found. */
  readonly budget: number;
}

const hunts: Readonly<Record<string, Hunt>> = {
  'deliver-half-a-revision': {
    finds: /was told as|no watcher was told|atomic/u,
    faults: ['lateWatcher', 'nothing'],
    budget: 2,
  },
  'read-before-it-is-applied': { finds: /not linearizable/u, faults: ['nothing', 'slowDisk'], budget: 2 },
};

for (const [plant, { finds, faults, budget }] of Object.entries(hunts))
  await t.test(`${plant} is found within ${budget} seeds`, async (t) => {
    let problems: readonly string[] = [];
    let seed = 0;
    while (seed < budget && !finds.test(problems.join('\n')))
      ({ problems } = await runScenario({ seed: ++seed, plant, faults, faultMs: [2500, 3500], pauseMs: 15 }));
    t.match(problems.join('\n'), finds, `seed ${seed}`);
    t.comment(`seed ${seed}: ${problems.find((each) => finds.test(each))?.slice(0, 800)}`);
  });
