import type { MemberInfo } from '../consensus.ts';
import type { WalMetadata } from '../wal/record.ts';
import type { InitialMember } from './membership.ts';

/** A cluster as one of its members tells it. */
export interface RemoteCluster {
  readonly clusterId: bigint;
  readonly members: readonly MemberInfo[];
}

/** Asks the members behind the URLs, one after the other, for their cluster; undefined when none answers. */
export type FetchCluster = (peerUrls: readonly string[]) => Promise<RemoteCluster | undefined>;

/** The peer URLs of the others. */
export function remotePeerUrls(members: readonly InitialMember[], name: string): readonly string[] {
  return members.filter((member) => member.name !== name).flatMap(({ peerUrls }) => peerUrls);
}

function urlsKey(urls: readonly string[]): string {
  return urls.toSorted().join();
}

/**
 * The ids of a member that joins: it must have been added to the cluster, and `--initial-cluster` must tell all its members.
 * @throws Error with what does not fit
 */
export function joinCluster(members: readonly InitialMember[], name: string, remote: RemoteCluster): WalMetadata {
  if (members.length !== remote.members.length)
    throw new Error(
      `error validating peerURLs: member count is unequal: --initial-cluster has ${members.length}, the cluster ${remote.members.length}`,
    );
  const byUrls = new Map(remote.members.map((member) => [urlsKey(member.peerUrls), member]));
  for (const { name: each, peerUrls } of members)
    if (!byUrls.has(urlsKey(peerUrls)))
      throw new Error(
        `error validating peerURLs: unmatched member while checking PeerURLs (${each}=${peerUrls.join()})`,
      );
  const own = byUrls.get(urlsKey(members.find((each) => each.name === name)?.peerUrls ?? []));
  if (own === undefined) throw new Error(`couldn't find local name "${name}" in the initial cluster configuration`);
  const ids = { memberId: own.id, clusterId: remote.clusterId };
  checkNotBootstrapped(ids, remote);
  return ids;
}

/**
 * A member that has run before and comes with an empty data dir has forgotten its vote and its log, on which the others rely:
 * it has to be removed and added again.
 * @throws Error
 */
export function checkNotBootstrapped(ids: WalMetadata, remote: RemoteCluster): void {
  const known = remote.members.find(({ id }) => id === ids.memberId);
  if (remote.clusterId === ids.clusterId && known !== undefined && known.name !== '')
    throw new Error(
      `member ${ids.memberId.toString(16)} has already been bootstrapped; its data dir is lost: remove the member and add it again`,
    );
}
