import type { MemberInfo, MembershipChange, MembershipErrorCode } from '../consensus.ts';

/** How long members must have been connected for a change: one that comes and goes is no basis for a new majority. */
export const HEALTH_INTERVAL_MS = 5000;

/** What a member sees of its cluster. */
export interface ClusterView {
  readonly self: bigint;
  readonly members: readonly MemberInfo[];
  /** Since when there is a connection to the member, in the milliseconds of `now`; undefined: there is none. */
  readonly activeSince: (id: bigint) => number | undefined;
  readonly now: number;
}

/**
 * Whether a change would endanger the quorum: etcd's `--strict-reconfig-check`, with its rules. A member counts as started
 * once it has told its name.
 */
export function checkReconfiguration(change: MembershipChange, view: ClusterView): MembershipErrorCode | undefined {
  const voters = view.members.filter(({ isLearner }) => !isLearner);
  const isConnected = (id: bigint): boolean => {
    const since = view.activeSince(id);
    return id === view.self || (since !== undefined && since < view.now - HEALTH_INTERVAL_MS);
  };
  switch (change.type) {
    case 'add':
      if (!change.isLearner && !mayAddVoter(voters)) return 'not-enough-started';
      return voters.every(({ id }) => isConnected(id)) ? undefined : 'unhealthy';
    case 'promote':
      return hasQuorum(started(voters) + 1, voters.length + 1) ? undefined : 'not-enough-started';
    case 'remove': {
      if (view.members.some(({ id, isLearner }) => id === change.id && isLearner)) return undefined;
      const left = voters.filter(({ id }) => id !== change.id);
      if (!hasQuorum(started(left), left.length)) return 'not-enough-started';
      // Who is down is no part of the working majority: it may go.
      if (change.id !== view.self && view.activeSince(change.id) === undefined) return undefined;
      const active = voters.filter(({ id }) => isConnected(id)).length;
      return active - 1 < 1 + Math.floor((voters.length - 1) / 2) ? 'unhealthy' : undefined;
    }
    case 'update':
      return undefined;
    default:
      return change satisfies never;
  }
}

function started(members: readonly MemberInfo[]): number {
  return members.filter(({ name }) => name !== '').length;
}

function hasQuorum(count: number, of: number): boolean {
  return count >= Math.floor(of / 2) + 1;
}

function mayAddVoter(voters: readonly MemberInfo[]): boolean {
  // The second member of a cluster of one: how else could it grow?
  if (voters.length === 1 && started(voters) === 1) return true;
  return hasQuorum(started(voters), voters.length + 1);
}
