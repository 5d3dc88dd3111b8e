import type { IncomingMessage } from 'node:http';
import { http, https } from '@naru/component';
import { EtcdError, grpcCodes } from '@naru/etcd';
import type { MemberInfo } from '../consensus.ts';
import type { FetchCluster, RemoteCluster } from '../driver/join-cluster.ts';
import { CLUSTER_HEADER, HASH_PATH, MEMBERS_PATH, type PeerTls } from './peer-protocol.ts';

const FETCH_TIMEOUT_MS = 2000;
/** To hash gigabytes takes seconds. */
const HASH_TIMEOUT_MS = 60_000;
const RESPONSE_BYTES_MAX = 1 << 20;

/** A member as `GET /members` tells it: ids in hexadecimal. */
interface MemberJson {
  readonly id: string;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

export function encodeMembers(members: readonly MemberInfo[]): string {
  const json = members.map(({ id, name, peerUrls, clientUrls, isLearner }): MemberJson => ({
    id: id.toString(16),
    name,
    peerURLs: peerUrls,
    clientURLs: clientUrls,
    isLearner,
  }));
  return JSON.stringify(json);
}

/** @throws Error for what is no list of members */
export function decodeMembers(text: string): readonly MemberInfo[] {
  const json = JSON.parse(text) as unknown;
  if (!Array.isArray(json)) throw new TypeError('not a list of members');
  return json.map((each: Partial<MemberJson>) => {
    const { id, name, peerURLs, clientURLs, isLearner } = each;
    if (typeof id !== 'string' || typeof name !== 'string' || !isTexts(peerURLs) || !isTexts(clientURLs))
      throw new TypeError('not a list of members');
    return { id: BigInt(`0x${id}`), name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner: isLearner === true };
  });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

/** Asks members for their cluster by way of their peer port. */
export function clusterClient(tls: PeerTls): FetchCluster {
  return async (peerUrls) => {
    for (const url of peerUrls) {
      try {
        return await fetchFrom(url, tls);
      } catch {
        // The next one may be up.
      }
    }
    return undefined;
  };
}

async function fetchFrom(peerUrl: string, tls: PeerTls): Promise<RemoteCluster> {
  const { status, headers, body } = await get(new URL(MEMBERS_PATH, peerUrl), tls, FETCH_TIMEOUT_MS);
  const clusterId = headers[CLUSTER_HEADER];
  if (status !== 200 || typeof clusterId !== 'string' || !/^[0-9a-f]{1,16}$/u.test(clusterId))
    throw new Error(`peer answered ${status}`);
  return { clusterId: BigInt(`0x${clusterId}`), members: decodeMembers(body) };
}

/** A member's answer to the question for its hash: of what it says is not true of other revisions, see KeySpaceHash. */
export interface HashAnswer {
  readonly hash: number;
  readonly revision: number;
  readonly compactRevision: number;
}

/** Asks a member for the hash of its keys. @throws EtcdError when it has no such hash, Error when it does not answer */
export async function fetchHash(peerUrls: readonly string[], revision: number, tls: PeerTls): Promise<HashAnswer> {
  const [peerUrl] = peerUrls;
  if (peerUrl === undefined) throw new Error('the member has no peer URL');
  const url = new URL(`${HASH_PATH}?revision=${revision}`, peerUrl);
  const { status, body } = await get(url, tls, HASH_TIMEOUT_MS);
  if (status === 400) throw EtcdError.fromWire(grpcCodes.OutOfRange, body);
  const answer = status === 200 ? (JSON.parse(body) as Partial<HashAnswer>) : {};
  const { hash, revision: at, compactRevision } = answer;
  if (hash === undefined || at === undefined || compactRevision === undefined)
    throw new Error(`peer answered ${status} to the question for its hash`);
  return { hash, revision: at, compactRevision };
}

/** A small answer of a member's peer port. @throws Error when there is none */
function get(
  url: URL,
  tls: PeerTls,
  timeoutMs: number,
): Promise<{
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, signal: AbortSignal.timeout(timeoutMs) } as const;
    const onResponse = (response: IncomingMessage): void => {
      const parts: Buffer[] = [];
      let length = 0;
      response.on('error', reject);
      response.on('data', (part: Buffer) => {
        parts.push(part);
        length += part.length;
        if (length > RESPONSE_BYTES_MAX) response.destroy(new Error('the answer is too long'));
      });
      response.on('end', () => {
        const { statusCode: status, headers } = response;
        resolve({ status, headers, body: Buffer.concat(parts).toString() });
      });
    };
    const request =
      url.protocol === 'https:'
        ? https.get(url, { ...options, ...tls }, onResponse)
        : http.get(url, options, onResponse);
    request.on('error', reject);
  });
}
