import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, type SeededRandom } from '@naru/testkit';
import { ask, type Cluster, type Member } from './cluster.ts';
import type { Direction } from './network.ts';
import type { Traffic } from './traffic.ts';
import type { Watchers } from './watchers.ts';

export interface NemesisContext {
  readonly cluster: Cluster;
  readonly random: SeededRandom;
  readonly traffic: Traffic;
  readonly watchers: Watchers;
  /** How long a fault lasts. */
  readonly durationMs: () => number;
  /** The greatest revision that was asked to be compacted. */
  compactRevision: number;
}

/** Does harm, and for a while lets it work. What it does not heal itself, `Cluster.heal` does. */
export type Fault = (context: NemesisContext) => Promise<void>;

const EXIT_DEADLINE_MS = 30_000;
/** Kept when compacting, so that late watchers find something. */
const HISTORY_KEPT = 60;

async function leaderOrAny({ cluster, random }: NemesisContext): Promise<Member> {
  return (await cluster.leaderNow()) ?? random.pick(cluster.members);
}

async function followerOf(context: NemesisContext): Promise<Member> {
  const leader = await leaderOrAny(context);
  return context.random.pick(context.cluster.members.filter((each) => each !== leader));
}

async function kill(context: NemesisContext, members: readonly Member[]): Promise<void> {
  const { cluster } = context;
  await Promise.all(members.map(async (each) => await cluster.stopMember(each, 'SIGKILL')));
  await delay(context.durationMs());
  for (const member of members) cluster.startMember(member);
}

async function pause(context: NemesisContext, members: readonly Member[]): Promise<void> {
  for (const member of members) context.cluster.pause(member);
  await delay(context.durationMs());
  for (const member of members) context.cluster.resume(member);
}

/** Ends by itself, says why, and is started again. */
async function awaitEnd(context: NemesisContext, member: Member, reason: RegExp): Promise<void> {
  const { cluster } = context;
  await eventually(
    async () => {
      await delay(50);
      return member.child === undefined;
    },
    { deadlineMs: EXIT_DEADLINE_MS },
  );
  if (!reason.test(member.output))
    cluster.problems.push(`${member.name} did not say ${reason}: ${member.output.slice(-1500)}`);
}

async function failDisk(context: NemesisContext, member: Member): Promise<void> {
  const { cluster } = context;
  member.mayEnd = true;
  cluster.setDisk(member, { syncDelayMs: 0, errorCode: 'EIO' });
  await awaitEnd(context, member, /EIO/u);
  await delay(context.durationMs());
  cluster.startMember(member);
}

/** Fills the file system of the member's data folder to the last byte. */
export async function fillDisk(member: Member): Promise<void> {
  const file = await open(join(member.dataDir, 'ballast'), 'a');
  try {
    for (let block = Buffer.alloc(1 << 20); block.length > 0;)
      try {
        await file.appendFile(block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        block = block.subarray(0, block.length >>> 1);
      }
  } finally {
    await file.close();
  }
}

async function diskFull(context: NemesisContext, member: Member): Promise<void> {
  const { cluster } = context;
  member.mayEnd = true;
  await fillDisk(member);
  if (statSync(join(member.dataDir, 'ballast')).size === 0) throw new Error('nothing was filled');
  await awaitEnd(context, member, /ENOSPC/u);
  await delay(context.durationMs());
  cluster.heal();
}

/** Cuts `members` off from the others. */
async function cut(context: NemesisContext, members: readonly Member[], direction: Direction): Promise<void> {
  const { cluster } = context;
  const others = cluster.members.filter((each) => !members.includes(each));
  for (const { host } of members)
    if (host !== undefined)
      cluster.network?.setFault(host, {
        cut: others.flatMap((each) => (each.host === undefined ? [] : [{ address: each.host.address, direction }])),
      });
  await delay(context.durationMs());
  cluster.network?.heal();
}

async function everyLink(
  context: NemesisContext,
  fault: { readonly lossPercent?: number; readonly bytesPerSecond?: number },
): Promise<void> {
  const { network } = context.cluster;
  for (const host of network?.hosts ?? []) network?.setFault(host, fault);
  await delay(context.durationMs());
  network?.heal();
}

async function compact(context: NemesisContext): Promise<void> {
  const { cluster, watchers, random } = context;
  const revision = Math.min(watchers.nextOfAll - 1, context.traffic.revision - HISTORY_KEPT);
  if (revision <= context.compactRevision) return;
  // Before the answer, which may be lost.
  context.compactRevision = revision;
  await ask(random.pick(cluster.members), '/v3/kv/compaction', { revision: `${revision}` }).catch(() => undefined);
}

async function moveLeader(context: NemesisContext): Promise<void> {
  const { cluster, random } = context;
  const leader = await cluster.leaderNow();
  const target = random.pick(cluster.members.filter((each) => each !== leader));
  if (leader === undefined) return;
  const status = await ask(target, '/v3/maintenance/status', {}).catch(() => undefined);
  const id = (status as { header: { member_id: string } } | undefined)?.header.member_id;
  await ask(leader, '/v3/maintenance/transfer-leadership', { targetID: id }).catch(() => undefined);
}

/** Faults that need nothing but processes. */
export const processFaults: Readonly<Record<string, Fault>> = {
  killLeader: async (context) => await kill(context, [await leaderOrAny(context)]),
  killFollower: async (context) => await kill(context, [await followerOf(context)]),
  killMajority: async (context) => {
    const { members } = context.cluster;
    await kill(context, members.slice(0, Math.floor(members.length / 2) + 1));
  },
  killAll: async (context) => await kill(context, [...context.cluster.members]),
  pauseLeader: async (context) => await pause(context, [await leaderOrAny(context)]),
  pauseFollower: async (context) => await pause(context, [await followerOf(context)]),
  pauseAllInTurn: async (context) => {
    for (const member of context.cluster.members) {
      context.cluster.pause(member);
      await delay(context.durationMs() / 3);
      context.cluster.resume(member);
    }
  },
  restartLeader: async (context) => {
    const { cluster } = context;
    const member = await leaderOrAny(context);
    const code = await cluster.stopMember(member, 'SIGTERM');
    if (code !== 0)
      cluster.problems.push(`${member.name} ended with ${code} after SIGTERM: ${member.output.slice(-1500)}`);
    await delay(context.durationMs() / 2);
    cluster.startMember(member);
  },
  slowDisk: async (context) => {
    const { cluster, random } = context;
    const members = random.chance(0.3) ? cluster.members : [await leaderOrAny(context)];
    for (const member of members)
      cluster.setDisk(member, { syncDelayMs: random.integer(20, 300), errorCode: undefined });
    await delay(context.durationMs());
    for (const member of members) cluster.setDisk(member, { syncDelayMs: 0, errorCode: undefined });
  },
  failingDisk: async (context) =>
    await failDisk(context, context.random.chance(0.5) ? await leaderOrAny(context) : await followerOf(context)),
  nothing: async ({ durationMs }) => await delay(durationMs()),
  moveLeader,
  compact,
  defragment: async (context) => {
    const { cluster, random } = context;
    await ask(random.pick(cluster.members), '/v3/maintenance/defragment', {}).catch(() => undefined);
  },
  lateWatcher: async ({ watchers, traffic, random, compactRevision }) => {
    watchers.add(Math.max(compactRevision, traffic.revision - random.integer(0, 200), 1));
    await Promise.resolve();
  },
  replaceMember: async (context) => {
    const { cluster, random } = context;
    await cluster.leader();
    const member = random.pick(cluster.members);
    await cluster.stopMember(member, 'SIGKILL');
    await delay(context.durationMs() / 2);
    await cluster.replace(member);
  },
};

/** Those that need a network namespace for each member. */
export const networkFaults: Readonly<Record<string, Fault>> = {
  isolateLeader: async (context) => await cut(context, [await leaderOrAny(context)], 'both'),
  isolateFollower: async (context) => await cut(context, [await followerOf(context)], 'both'),
  leaderHearsNothing: async (context) => await cut(context, [await leaderOrAny(context)], 'in'),
  leaderIsNotHeard: async (context) => await cut(context, [await leaderOrAny(context)], 'out'),
  followerHearsNothing: async (context) => await cut(context, [await followerOf(context)], 'in'),
  // Each hears all but one.
  ring: async (context) => {
    const { cluster } = context;
    for (const [i, { host }] of cluster.members.entries()) {
      const next = cluster.members[(i + 1) % cluster.members.length]?.host;
      if (host !== undefined && next !== undefined && i !== 0)
        cluster.network?.setFault(host, { cut: [{ address: next.address, direction: 'both' }] });
    }
    await delay(context.durationMs());
    cluster.network?.heal();
  },
  isolateAndKill: async (context) => {
    const { cluster } = context;
    const leader = await leaderOrAny(context);
    await Promise.all([
      cut(context, [leader], 'both'),
      delay(context.durationMs() / 3).then(async () => {
        const other = context.random.pick(cluster.members.filter((each) => each !== leader));
        await cluster.stopMember(other, 'SIGKILL');
        cluster.startMember(other);
      }),
    ]);
  },
  lossyLinks: async (context) => await everyLink(context, { lossPercent: context.random.integer(5, 35) }),
  slowLinks: async (context) => await everyLink(context, { bytesPerSecond: context.random.integer(8, 60) * 1000 }),
};

/** Those that need a small file system for each member. */
export const diskFaults: Readonly<Record<string, Fault>> = {
  diskFullLeader: async (context) => await diskFull(context, await leaderOrAny(context)),
  diskFullFollower: async (context) => await diskFull(context, await followerOf(context)),
};
