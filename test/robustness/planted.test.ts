import t from 'tap';
import { whyNoNamespaces } from './network.ts';
import { runScenario, type ScenarioOptions } from './scenario.ts';

// Bugs that are planted in the members on purpose: were one not found, the robustness tests would prove nothing.

t.setTimeout(600_000);

interface Hunt {
  readonly finds: RegExp;
  readonly faults: readonly string[];
  /** Needs a network for each member. */
  readonly namespaces?: boolean;
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
  'lease-expires-early': { finds: /came too soon/u, faults: ['nothing', 'nothing'], budget: 3 },
  // Followers elect a new leader before the old one has noticed that it hears nothing.
  'read-without-a-quorum': {
    finds: /not linearizable/u,
    faults: ['isolateLeader', 'isolateLeader', 'isolateLeader', 'isolateLeader'],
    namespaces: true,
    budget: 3,
  },
};

const noNamespaces = whyNoNamespaces();

for (const [plant, { finds, faults, namespaces, budget }] of Object.entries(hunts))
  await t.test(
    `${plant} is found within ${budget} seeds`,
    { skip: namespaces === true && noNamespaces !== undefined ? noNamespaces : false },
    async (t) => {
      let problems: readonly string[] = [];
      let seed = 0;
      while (seed < budget && !finds.test(problems.join('\n'))) {
        const options: ScenarioOptions = { seed: ++seed, plant, faults, faultMs: [2500, 3500], pauseMs: 15 };
        ({ problems } = await runScenario({ ...options, namespaces: namespaces ?? false }));
      }
      t.match(problems.join('\n'), finds, `seed ${seed}`);
      t.comment(`seed ${seed}: ${problems.find((each) => finds.test(each))?.slice(0, 800)}`);
    },
  );
