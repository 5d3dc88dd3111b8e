import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLogger } from '@naru/component';
import { EtcdClient } from '@naru/etcd-client';
import { eventually, SeededRandom } from '@naru/testkit';
import { openMember } from '../../src/driver/open-member.ts';
import { Messages } from '../../src/grpc/messages.ts';
import { HttpTransport } from '../../src/peer/http-transport.ts';
import { Server } from '../../src/server.ts';
import type { KvStateMachine } from '../../src/server/state-machine.ts';
import { DiskTarget, GatewayTarget, GrpcTarget, PeerTarget, type Target } from './targets.ts';

export interface FuzzReport {
  readonly sent: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Of the heap after a collection, beyond what it was when a tenth was sent. */
  readonly grownBytes: number;
}

const CONCURRENT = 16;
/** A tenth of the requests warms everything up before memory is looked at. */
const WARM_UP_SHARE = 0.1;
/** Memory is settled when it did not shrink by so much for so long. */
const SETTLED_BYTES = 2 ** 20;
const SETTLED_MS = 1000;

/**
 * Sends `count` malformed requests to a member that runs in this process, and checks that it still serves. The same seed
 * sends the same.
 * @throws Error for an answer that never came, an error of the wrong kind, or a member that ended or lost a key
 */
export async function fuzz(options: { readonly count: number; readonly seed: number }): Promise<FuzzReport> {
  const started = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'naru-fuzz-'));
  try {
    await using member = await startMember(folder);
    await using client = new EtcdClient({ endpoints: [member.url] });
    await eventually(async () => await client.put({ key: Buffer.from('a'), value: Buffer.from('1') }), {
      deadlineMs: 20_000,
    });
    await using targets = await createTargets(member);
    const random = new SeededRandom(options.seed);
    const sent: Record<string, number> = {};
    const send = async (count: number): Promise<void> => {
      let left = count;
      await Promise.all(
        Array.from({ length: CONCURRENT }, async () => {
          while (left-- > 0) {
            const target = pickTarget(targets.all, random);
            sent[target.name] = (sent[target.name] ?? 0) + 1;
            const seed = random.fork();
            try {
              await Promise.race([target.send(seed), member.failed]);
            } catch (error) {
              throw new Error(`${target.name}, seed of the request ${seed.seed}`, { cause: error });
            }
          }
        }),
      );
    };
    const warmUp = Math.ceil(options.count * WARM_UP_SHARE);
    await send(warmUp);
    const before = await settledBytes(client, member.machine);
    await send(options.count - warmUp);
    const after = await settledBytes(client, member.machine);
    await checkServes(client);
    return { sent, seconds: (performance.now() - started) / 1000, grownBytes: after - before };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface FuzzedMember extends AsyncDisposable {
  readonly url: string;
  readonly peerUrl: string;
  readonly ids: { readonly clusterId: bigint; readonly memberId: bigint };
  readonly machine: KvStateMachine;
  readonly failed: Promise<never>;
}

async function startMember(folder: string): Promise<FuzzedMember> {
  const logger = silentLogger();
  let transport: HttpTransport | undefined;
  let machine: KvStateMachine | undefined;
  let ids: FuzzedMember['ids'] | undefined;
  const server = await Server.start({
    listenClient: [{ host: '127.0.0.1', port: 0, tls: false }],
    listenMetrics: [],
    electionTimeoutMs: 1000,
    quotaBackendBytes: 2 ** 31,
    requestBytesMax: 1.5 * 1024 * 1024,
    txnOpsMax: 128,
    bcryptCost: 4,
    logger,
    startConsensus: async (stateMachine) => {
      machine = stateMachine;
      return await openMember({
        name: 'fuzzed',
        dataDir: folder,
        initialCluster: [{ name: 'fuzzed', peerUrls: ['http://127.0.0.1:2380'] }],
        advertiseClientUrls: ['http://127.0.0.1:2379'],
        // The log keeps so many entries in memory: few, so that they are not taken for a leak.
        snapshotCount: 1000,
        snapshotCatchUpEntries: 100,
        stateMachine,
        transport: (metadata) => {
          ids = metadata;
          transport = new HttpTransport({
            ids: metadata,
            listenUrls: ['http://127.0.0.1:0'],
            advertiseUrls: ['http://127.0.0.1:2380'],
            tls: {},
            clientCertAuth: false,
            logger,
          });
          return transport;
        },
        logger,
      });
    },
  });
  server.failed.catch(() => {});
  const peerPort = transport?.ports[0];
  if (machine === undefined || ids === undefined || peerPort === undefined) throw new Error('not started');
  return {
    url: `http://127.0.0.1:${server.clientAddresses[0]?.port ?? 0}`,
    peerUrl: `http://127.0.0.1:${peerPort}`,
    ids,
    machine,
    failed: server.failed,
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  };
}

async function createTargets(member: FuzzedMember): Promise<AsyncDisposable & { readonly all: readonly Target[] }> {
  const all = [
    new GatewayTarget(member.url),
    new GrpcTarget(member.url, await Messages.load()),
    new PeerTarget(member.peerUrl, member.ids),
    await DiskTarget.create(member.machine.snapshot().chunks),
  ];
  return {
    all,
    [Symbol.asyncDispose]: async () => {
      for (const target of all) await target[Symbol.asyncDispose]();
    },
  };
}

function pickTarget(targets: readonly Target[], random: SeededRandom): Target {
  const [gateway, grpc, peer, disk] = targets as readonly [Target, Target, Target, Target];
  return random.pick([gateway, gateway, gateway, gateway, grpc, grpc, grpc, peer, peer, disk]);
}

/**
 * What the heap and its buffers hold once everything that was put is deleted and compacted, and garbage is collected until
 * there is no more: connections that were left end in their own time.
 */
async function settledBytes(client: EtcdClient, machine: KvStateMachine): Promise<number> {
  const all = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };
  const { kvs } = await client.range({ ...all, keysOnly: true });
  for (const { key } of kvs) await client.deleteRange({ key });
  for (const { id } of machine.store.leases.values()) await client.leaseRevoke(id);
  const { header } = await client.put({ key: Buffer.from('settled'), value: Buffer.alloc(0) });
  await client.compact({ revision: header.revision, physical: true });
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let least = Number.POSITIVE_INFINITY;
  let sinceMs = 0;
  await eventually(() => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    if (heapUsed + external < least - SETTLED_BYTES) [least, sinceMs] = [heapUsed + external, performance.now()];
    return performance.now() - sinceMs > SETTLED_MS;
  });
  return least;
}

async function checkServes(client: EtcdClient): Promise<void> {
  const key = Buffer.from('after');
  const { header } = await client.put({ key, value: Buffer.from('noise') });
  const { kvs } = await client.range({ key });
  if (kvs[0]?.value.toString() !== 'noise' || kvs[0].modRevision !== header.revision) throw new Error('a put is lost');
}
