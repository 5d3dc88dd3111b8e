import {
  EtcdError,
  decodeMemberAddRequest,
  decodeMemberListRequest,
  decodeMemberRequest,
  decodeMemberUpdateRequest,
  type MemberChangeResponse,
  type ServerErrorCode,
} from '@naru/etcd';
import {
  MembershipError,
  type Consensus,
  type MemberInfo,
  type MembershipChange,
  type MembershipErrorCode,
} from '../consensus.ts';
import type { Proposer } from './proposer.ts';
import type { CommandResult } from './state-machine.ts';

const serverCodes = {
  'member-exists': 'memberExists',
  'peer-urls-exist': 'peerUrlExists',
  'member-not-found': 'memberNotFound',
  'not-learner': 'memberNotLearner',
  'learner-not-ready': 'learnerNotReady',
  'too-many-learners': 'tooManyLearners',
  'not-enough-started': 'memberNotEnoughStarted',
  unhealthy: 'unhealthy',
} as const satisfies Record<MembershipErrorCode, ServerErrorCode>;

/** etcd's Cluster service on one member. */
export class ClusterServer {
  readonly #consensus: Consensus<CommandResult>;
  readonly #proposer: Proposer;
  /** The members from which `isLearner` was derived. */
  #seen: readonly MemberInfo[] | undefined;
  #isLearner = false;

  constructor(options: { readonly consensus: Consensus<CommandResult>; readonly proposer: Proposer }) {
    this.#consensus = options.consensus;
    this.#proposer = options.proposer;
  }

  /** Linearizable: as all know it; otherwise as this member does. */
  async memberList(options: { readonly linearizable: boolean }): Promise<MemberChangeResponse> {
    if (options.linearizable) await this.#proposer.linearize();
    return this.#response();
  }

  /** @throws EtcdError with etcd's code for a refused change */
  async change(change: MembershipChange): Promise<MemberChangeResponse> {
    try {
      const member = await this.#proposer.changeMembership(change);
      return { ...this.#response(), member: change.type === 'add' ? member : undefined };
    } catch (error) {
      if (error instanceof MembershipError) throw new EtcdError(serverCodes[error.code], { cause: error });
      throw error;
    }
  }

  /** @throws EtcdError notSupportedForLearner when this member is one, and it is no request for one */
  checkServes(path: string, request: unknown): void {
    const { memberId, members } = this.#consensus.status();
    if (members !== this.#seen) {
      this.#seen = members;
      this.#isLearner = members.some(({ id, isLearner }) => id === memberId && isLearner);
    }
    if (this.#isLearner && !isServedByLearner(path, request)) throw new EtcdError('notSupportedForLearner');
  }

  #response(): MemberChangeResponse {
    // etcd leaves the revision out here.
    return { header: this.#proposer.header(0), members: this.#consensus.status().members };
  }
}

export interface ClusterMethod {
  readonly grpc: string;
  readonly gateway: string;
  readonly run: (body: unknown) => Promise<MemberChangeResponse>;
}

/** etcd's Cluster service, method by method. */
export function clusterMethods(cluster: ClusterServer): readonly ClusterMethod[] {
  const method = (name: string, gateway: string, run: ClusterMethod['run']): ClusterMethod => ({
    grpc: `/etcdserverpb.Cluster/${name}`,
    gateway: `/v3/cluster/member/${gateway}`,
    run,
  });
  return [
    method('MemberList', 'list', async (body) => await cluster.memberList(decodeMemberListRequest(body))),
    method('MemberAdd', 'add', async (body) => {
      const { peerUrls, isLearner } = decodeMemberAddRequest(body);
      return await cluster.change({ type: 'add', peerUrls: checkedUrls(peerUrls), isLearner });
    }),
    method(
      'MemberRemove',
      'remove',
      async (body) => await cluster.change({ type: 'remove', ...decodeMemberRequest(body) }),
    ),
    method('MemberUpdate', 'update', async (body) => {
      const { id, peerUrls } = decodeMemberUpdateRequest(body);
      return await cluster.change({ type: 'update', id, peerUrls: checkedUrls(peerUrls) });
    }),
    method(
      'MemberPromote',
      'promote',
      async (body) => await cluster.change({ type: 'promote', ...decodeMemberRequest(body) }),
    ),
  ];
}

/** Peer URLs as they are kept: sorted. They name a host and a port, and nothing beyond. @throws EtcdError memberBadUrls */
function checkedUrls(urls: readonly string[]): readonly string[] {
  const trimmed = urls.map((url) => url.trim());
  const good = (url: string): boolean => /^https?:\/\/[^/?#@\s]+:\d+$/u.test(url) && URL.canParse(url);
  if (trimmed.length === 0 || !trimmed.every(good)) throw new EtcdError('memberBadUrls');
  return trimmed.toSorted();
}

/** What a learner serves: its state, and reads that may be stale. By gRPC's path or the gateway's. */
function isServedByLearner(path: string, request: unknown): boolean {
  if (/\/(?:Status|status|Snapshot|snapshot)$/u.test(path)) return true;
  return /\/(?:Range|range)$/u.test(path) && objectOf(request).serializable === true;
}

function objectOf(request: unknown): Readonly<Record<string, unknown>> {
  return typeof request === 'object' && request !== null ? (request as Readonly<Record<string, unknown>>) : {};
}
