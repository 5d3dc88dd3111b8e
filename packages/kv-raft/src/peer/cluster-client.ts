import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { MemberInfo } from '../consensus.ts';
import type { FetchCluster, RemoteCluster } from '../driver/join-cluster.ts';
import { CLUSTER_HEADER, MEMBERS_PATH, type PeerTls } from './peer-protocol.ts';

const FETCH_TIMEOUT_MS = 2000;
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
  const { headers, body } = await get(new URL(MEMBERS_PATH, peerUrl), tls);
  const clusterId = headers[CLUSTER_HEADER];
  if (typeof clusterId !== 'string' || !/^[0-9a-f]{1,16}$/u.test(clusterId)) throw new Error('no cluster id');
  return { clusterId: BigInt(`0x${clusterId}`), members: decodeMembers(body) };
}

/** A small answer of a member's peer port. @throws Error when there is none, or it is no 200 */
export function get(
  url: URL,
  tls: PeerTls,
): Promise<{ readonly headers: IncomingMessage['headers']; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) } as const;
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
        const body = Buffer.concat(parts).toString();
        if (response.statusCode === 200) resolve({ headers: response.headers, body });
        else reject(new Error(`peer answered ${response.statusCode}: ${body}`));
      });
    };
    const request =
      url.protocol === 'https:'
        ? https.get(url, { ...options, ...tls }, onResponse)
        : http.get(url, options, onResponse);
    request.on('error', reject);
  });
}
