import t from 'tap';
import type { WatchCreateRequest, WatchResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { startRealEtcd } from '@naru/testkit';
import { corpus, type CorpusRequest } from './gateway-corpus.ts';
import { startTestServer } from './test-server.ts';

const etcd = await startRealEtcd({ ports: { from: 23810, to: 23849 } });
const ours = await startTestServer();
t.teardown(async () => {
  await ours[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly body: string;
}

async function ask(url: string, request: CorpusRequest): Promise<Answer> {
  const answer = await fetch(`${url}${request.path}`, { method: 'POST', body: request.body });
  const body = (await answer.text())
    .replaceAll(/"(cluster_id|member_id)":"\d+"/gu, '"$1":"ID"')
    .replaceAll(/"raft_term":"\d+"/gu, '"raft_term":"TERM"');
  return { status: answer.status, contentType: answer.headers.get('content-type'), body };
}

await t.test('every request of the corpus is answered byte for byte as etcd answers it', async (t) => {
  for (const [i, request] of corpus.entries()) {
    const expected = await ask(etcd.clientUrl, request);
    const actual = await ask(ours.url, request);
    t.same(actual, expected, `${i} ${request.path} ${request.body.slice(0, 200)}`);
  }
});

/** What of a watch does not depend on when it was told. */
function essence(responses: readonly WatchResponse[]): unknown[] {
  return responses.map((response) => ({ ...response, header: undefined }));
}

async function watchUntil(
  url: string,
  request: WatchCreateRequest,
  done: (seen: readonly WatchResponse[]) => boolean,
): Promise<WatchResponse[]> {
  await using client = new EtcdClient({ endpoints: [url] });
  const seen: WatchResponse[] = [];
  for await (const response of client.watch(request)) {
    seen.push(response);
    if (done(seen)) break;
  }
  return seen;
}

await t.test('watches tell the same events as etcd from any revision, with filters and previous values', async (t) => {
  const from = Buffer.from('\0');
  const end = Buffer.from('\0');
  const compacted = 12;
  const requests: WatchCreateRequest[] = [
    { key: from, rangeEnd: end, startRevision: compacted },
    { key: from, rangeEnd: end, startRevision: compacted + 1, prevKv: true },
    { key: from, rangeEnd: end, startRevision: compacted + 1, filters: ['NOPUT'] },
    { key: from, rangeEnd: end, startRevision: compacted + 1, filters: ['NODELETE'], prevKv: true },
    { key: Buffer.from('a'), startRevision: compacted + 1, prevKv: true },
    { key: Buffer.from('leased/'), rangeEnd: Buffer.from('leased0'), startRevision: compacted + 1, prevKv: true },
  ];
  const last = ours.machine.store.revision;
  for (const request of requests) {
    const events = async (url: string): Promise<unknown[]> => {
      await using client = new EtcdClient({ endpoints: [url] });
      const seen: unknown[] = [];
      for await (const response of client.watch(request)) {
        seen.push(...response.events);
        if (seen.length > 0 && response.header.revision >= last) break;
      }
      return seen;
    };
    t.same(await events(ours.url), await events(etcd.clientUrl), JSON.stringify(request));
  }
});

await t.test('refused and compacted watches are told as etcd tells them', async (t) => {
  const canceled = (seen: readonly WatchResponse[]): boolean => seen.at(-1)?.canceled === true;
  const requests: WatchCreateRequest[] = [
    { key: Buffer.from('a'), startRevision: 3 },
    { key: Buffer.from('b'), rangeEnd: Buffer.from('a') },
  ];
  for (const request of requests)
    t.same(
      essence(await watchUntil(ours.url, request, canceled)),
      essence(await watchUntil(etcd.clientUrl, request, canceled)),
    );
});

/** etcd's metrics of its Go process, its B+tree, its v2 API and proxy, and those that kv-raft has no count of. */
const lacking =
  /^(go_|process_|promhttp_|os_|grpc_|etcd_grpc_proxy_|etcd_debugging_store_|etcd_debugging_disk_|etcd_debugging_snap_|etcd_snap_|etcd_disk_(backend|defrag)_|etcd_network_|etcd_disk_wal_write_bytes_total|etcd_debugging_lease_ttl_total|etcd_debugging_mvcc_(db_compaction|index_compaction)_|etcd_debugging_mvcc_(events|pending_events)_total|etcd_debugging_mvcc_total_put_size_in_bytes|etcd_mvcc_(hash|hash_rev)_duration_seconds|etcd_mvcc_db_open_read_transactions|etcd_server_(client_requests_total|go_version|heartbeat_send_failures_total|learner_promote_successes|slow_apply_total|slow_read_indexes_total|snapshot_apply_in_progress_total))/u;

await t.test('metrics have the names and types of etcd’s', async (t) => {
  const types = async (url: string): Promise<ReadonlyMap<string, string>> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return new Map(Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gmu), ([, name = '', type = '']) => [name, type]));
  };
  const expected = await types(etcd.clientUrl);
  const actual = await types(ours.url);
  for (const [name, type] of actual) if (name.startsWith('etcd_')) t.equal(expected.get(name), type, name);
  t.same(
    [...expected.keys()].filter((name) => !actual.has(name) && !lacking.test(name)),
    [],
    'nothing else is missing',
  );
});

t.end();
