import * as etcd from '@naru/etcd';
import { EtcdError, type WatchEvent } from '@naru/etcd';
import type { AuthGuard, Credentials } from '../server/auth-guard.ts';
import { adminOnly, authMethods } from '../server/auth-methods.ts';
import type { AuthServer } from '../server/auth-server.ts';
import { clusterMethods, type ClusterServer } from '../server/cluster-server.ts';
import type { KvServer } from '../server/kv-server.ts';
import type { LeaseServer } from '../server/lease-server.ts';
import type { MaintenanceServer } from '../server/maintenance-server.ts';
import { WatchSession, type WatchEncoding, type WatchSessionOptions } from '../server/watch-session.ts';
import type { GrpcCall } from './grpc-call.ts';
import type { Messages } from './messages.ts';
import * as encode from './response-codec.ts';

export interface GrpcServices {
  readonly cluster: ClusterServer;
  readonly kv: KvServer;
  readonly lease: LeaseServer;
  readonly maintenance: MaintenanceServer;
  readonly auth: AuthServer;
  readonly guard: AuthGuard;
  readonly watch: Omit<WatchSessionOptions, 'output' | 'encoding' | 'access'>;
}

/** Takes a call to its end. */
export type Method = (call: GrpcCall) => Promise<void>;
type Unary = (message: unknown, credentials: Credentials) => Promise<encode.ProtoObject> | encode.ProtoObject;

/** etcd's methods by path, over the same services as the JSON gateway's. */
export function createMethods(messages: Messages, services: GrpcServices): ReadonlyMap<string, Method> {
  const calls = unaryCalls(services);
  const methods = new Map<string, Method>();
  for (const { path, requestType, responseType } of messages.methods()) {
    const run = calls[path];
    if (run === undefined) methods.set(path, async () => await Promise.reject(unimplemented(path)));
    else
      methods.set(path, async (call) => {
        const request = messages.decode(requestType, await call.onlyMessage());
        services.cluster.checkServes(path, request);
        const response = await run(request, call.credentials);
        if (call.open) call.write(messages.encode(responseType, response));
      });
  }
  methods.set('/etcdserverpb.Watch/Watch', async (call) => await watch(call, messages, services));
  methods.set('/etcdserverpb.Lease/LeaseKeepAlive', async (call) => {
    call.streaming = true;
    for await (const bytes of call.messages()) {
      const { id } = etcd.decodeLeaseRequest(messages.decode('LeaseKeepAliveRequest', bytes));
      const response = encode.leaseGrantResponse(await services.lease.keepAlive(id));
      call.write(messages.encode('LeaseKeepAliveResponse', response));
    }
  });
  methods.set('/etcdserverpb.Maintenance/Snapshot', async (call) => await snapshot(call, messages, services));
  for (const [path, method] of methods)
    if (adminOnly.has(path))
      methods.set(path, async (call) => {
        await services.guard.checkAdmin(call.credentials);
        await method(call);
      });
  for (const path of ['/etcdserverpb.Watch/Watch', '/etcdserverpb.Lease/LeaseKeepAlive']) {
    const stream = methods.get(path);
    methods.set(path, async (call) => {
      services.cluster.checkServes(path, {});
      await stream?.(call);
    });
  }
  return methods;
}

function unaryCalls({ cluster, kv, lease, maintenance, auth }: GrpcServices): Readonly<Record<string, Unary>> {
  const hash = async (body: unknown): Promise<encode.ProtoObject> => {
    const result = await maintenance.hashKv(etcd.decodeHashRequest(body).revision);
    return { header: encode.header(result.header), hash: result.hash, compact_revision: result.compactRevision };
  };
  const authCalls = authMethods(auth).map(({ grpc, run }): [string, Unary] => [
    grpc,
    async (body, who) => encode.authAnswer(await run(body, who)),
  ]);
  const clusterCalls = clusterMethods(cluster).map(({ grpc, run }): [string, Unary] => [
    grpc,
    async (body) => encode.memberResponse(await run(body)),
  ]);
  return {
    ...Object.fromEntries(authCalls),
    '/etcdserverpb.KV/Range': async (body, who) =>
      encode.rangeResponse(await kv.range(etcd.decodeRangeRequest(body), who)),
    '/etcdserverpb.KV/Put': async (body, who) => encode.putResponse(await kv.put(etcd.decodePutRequest(body), who)),
    '/etcdserverpb.KV/DeleteRange': async (body, who) =>
      encode.deleteRangeResponse(await kv.deleteRange(etcd.decodeDeleteRangeRequest(body), who)),
    '/etcdserverpb.KV/Txn': async (body, who) => encode.txnResponse(await kv.txn(etcd.decodeTxnRequest(body), who)),
    '/etcdserverpb.KV/Compact': async (body, who) =>
      encode.onlyHeader(await kv.compact(etcd.decodeCompactionRequest(body), who)),
    '/etcdserverpb.Lease/LeaseGrant': async (body, who) =>
      encode.leaseGrantResponse(await lease.grant(etcd.decodeLeaseGrantRequest(body), who)),
    '/etcdserverpb.Lease/LeaseRevoke': async (body, who) =>
      encode.onlyHeader(await lease.revoke(etcd.decodeLeaseRequest(body).id, who)),
    '/etcdserverpb.Lease/LeaseTimeToLive': async (body, who) =>
      encode.leaseTimeToLiveResponse(await lease.timeToLive(etcd.decodeLeaseRequest(body), who)),
    '/etcdserverpb.Lease/LeaseLeases': async () => encode.leaseLeasesResponse(await lease.leases()),
    ...Object.fromEntries(clusterCalls),
    '/etcdserverpb.Maintenance/Status': () => encode.statusResponse(maintenance.status()),
    '/etcdserverpb.Maintenance/Alarm': async (body, who) =>
      encode.alarmResponse(await maintenance.alarm(etcd.decodeAlarmRequest(body), who)),
    // There is nothing to do: memory is given back by compaction.
    '/etcdserverpb.Maintenance/Defragment': () => ({}),
    '/etcdserverpb.Maintenance/Hash': hash,
    '/etcdserverpb.Maintenance/HashKV': hash,
    '/etcdserverpb.Maintenance/MoveLeader': async (body) =>
      encode.onlyHeader(await maintenance.moveLeader(etcd.decodeMoveLeaderRequest(body).targetId)),
  };
}

async function watch(call: GrpcCall, messages: Messages, services: GrpcServices): Promise<void> {
  call.streaming = true;
  call.begin();
  const output = {
    get writable(): boolean {
      return call.open;
    },
    get writableLength(): number {
      return call.writableLength;
    },
    write: (response: Uint8Array) => call.write(response),
  };
  const access = { guard: services.guard, credentials: call.credentials };
  const session = new WatchSession({ ...services.watch, output, encoding: watchEncoding(messages), access });
  call.onDrained(() => session.drained());
  call.onClosed(() => session[Symbol.dispose]());
  for await (const bytes of call.messages()) await session.receive(messages.decode('WatchRequest', bytes));
}

async function snapshot(call: GrpcCall, messages: Messages, { maintenance }: GrpcServices): Promise<void> {
  await call.onlyMessage();
  for await (const { blob, remainingBytes } of maintenance.snapshot()) {
    if (!call.open) return;
    const response = { remaining_bytes: remainingBytes === 0 ? undefined : remainingBytes, blob };
    call.write(messages.encode('SnapshotResponse', response));
    await call.drained();
  }
}

/** A response is its fields, then its events: each is a part of the message that is encoded once for all watchers. */
function watchEncoding(messages: Messages): WatchEncoding<Uint8Array> {
  return {
    name: 'protobuf',
    event: (event: WatchEvent) => messages.encode('WatchResponse', { events: [encode.watchEvent(event)] }),
    response: (response, events) =>
      Buffer.concat([messages.encode('WatchResponse', encode.watchResponse(response)), ...events]),
  };
}

function unimplemented(path: string): EtcdError {
  const [, service = '', method = ''] = /^\/etcdserverpb\.(\w+)\/(\w+)$/u.exec(path) ?? [];
  const message = `etcdserver: ${service}.${method} is not supported by kv-raft`;
  return new EtcdError('unknown', { message, grpcCode: 'Unimplemented' });
}
