/** Majorities of one configuration and of a joint one, which needs a majority in each of its halves. */

export type VoteResult = 'pending' | 'won' | 'lost';

export interface JointVoters {
  readonly voters: ReadonlySet<bigint>;
  readonly votersOutgoing: ReadonlySet<bigint>;
}

export function majority(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** The highest value that a majority of `voters` has reached; Infinity for no voters, as they hold nothing back. */
function reachedByMajority(voters: ReadonlySet<bigint>, valueOf: (id: bigint) => number): number {
  if (voters.size === 0) return Number.POSITIVE_INFINITY;
  const values: number[] = [];
  for (const id of voters) values.push(valueOf(id));
  values.sort((a, b) => a - b);
  return values[values.length - majority(values.length)] ?? 0;
}

/** The highest value reached by a majority of each half: the committed index when `valueOf` is the match index. */
export function reachedByQuorum(config: JointVoters, valueOf: (id: bigint) => number): number {
  return Math.min(reachedByMajority(config.voters, valueOf), reachedByMajority(config.votersOutgoing, valueOf));
}

function votesOf(voters: ReadonlySet<bigint>, votes: ReadonlyMap<bigint, boolean>): VoteResult {
  if (voters.size === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majority(voters.size);
  if (granted >= needed) return 'won';
  return granted + missing >= needed ? 'pending' : 'lost';
}

export function voteResult(config: JointVoters, votes: ReadonlyMap<bigint, boolean>): VoteResult {
  const incoming = votesOf(config.voters, votes);
  const outgoing = votesOf(config.votersOutgoing, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}
