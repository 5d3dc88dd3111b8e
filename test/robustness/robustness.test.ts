import t, { type Test } from 'tap';
import { whyNoNamespaces } from './network.ts';
import { runScenario, whyNoMounts, type ScenarioOptions } from './scenario.ts';

// Real members, clients and watchers under real faults. What everybody saw is checked: linearizable, all guarantees of
// watches, equal stores in the end. Longer, and with faults that a seed draws: `npm run robustness`.

t.setTimeout(600_000);

async function survive(t: Test, options: Omit<ScenarioOptions, 'seed'>): Promise<void> {
  const report = await runScenario({ seed: 1, faultMs: [600, 1600], ...options });
  t.same(report.problems, [], report.problems.join('\n'));
  t.ok(report.operations > 30 * options.faults.length, `${report.operations} operations`);
  t.ok(report.events > report.revisions, `${report.events} events told of ${report.revisions} revisions`);
  t.same(report.faults, options.faults);
  t.comment(JSON.stringify(report));
}

await t.test('members that are killed, stopped, restarted, slow, moved and replaced', async (t) => {
  await survive(t, {
    faults: [
      'killLeader',
      'lateWatcher',
      'pauseLeader',
      'compact',
      'killAll',
      'slowDisk',
      'moveLeader',
      'restartLeader',
      'failingDisk',
      'replaceMember',
      'compact',
      'defragment',
      'lateWatcher',
    ],
  });
});

const noNamespaces = whyNoNamespaces();
await t.test(
  'networks that part, deafen, lose and crawl',
  { skip: noNamespaces === undefined ? false : noNamespaces },
  async (t) => {
    await survive(t, {
      namespaces: true,
      faults: [
        'isolateLeader',
        'leaderHearsNothing',
        'leaderIsNotHeard',
        'lateWatcher',
        'isolateAndKill',
        'ring',
        'compact',
        'lossyLinks',
        'slowLinks',
        'replaceMember',
      ],
    });
  },
);

const noMounts = whyNoMounts();
await t.test('disks that are full', { skip: noMounts === undefined ? false : noMounts }, async (t) => {
  await survive(t, { diskBytes: 128 << 20, faults: ['diskFullLeader', 'compact', 'diskFullFollower'] });
});
