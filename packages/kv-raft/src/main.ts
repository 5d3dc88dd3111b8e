import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { readTlsFiles, runMain, UsageError, type Logger, type TlsMaterial } from '@naru/component';
import { parseAuthToken } from './auth-token-flag.ts';
import { restoreCommand } from './backup/restore-command.ts';
import { openMember } from './driver/open-member.ts';
import type { Member } from './driver/member.ts';
import {
  checkFlags,
  checkInitialCluster,
  flags,
  parseAutoCompaction,
  parseInitialCluster,
  parseUrls,
  QUOTA_BACKEND_BYTES_DEFAULT,
  unsupportedFlags,
  type Flags,
} from './flags.ts';
import { clusterClient, fetchHash } from './peer/cluster-client.ts';
import { HttpTransport } from './peer/http-transport.ts';
import { Server } from './server.ts';
import { SignedTokens } from './server/signed-tokens.ts';
import { hashKeySpace } from './server/key-space-hash.ts';
import type { CommandResult } from './server/state-machine.ts';

/** How long a leader that is asked to stop waits for another member to take over. */
const TRANSFER_TIMEOUT_MS = 2000;

/** What of V8's heap the store may take: the rest is for the log, for requests, and for garbage. */
const HEAP_SHARE = 0.6;

/** The quota, at most what the heap can hold: a store that is full still takes deletes, a heap that is full ends the process. */
function quotaBytes(flag: number, logger: Logger): number {
  const wanted = flag || QUOTA_BACKEND_BYTES_DEFAULT;
  const bytes = Math.min(wanted, Math.floor(getHeapStatistics().heap_size_limit * HEAP_SHARE));
  if (bytes < wanted)
    logger.warn(
      { quotaBackendBytes: wanted, bytes },
      "quota lowered to what the heap holds: see node's --max-old-space-size",
    );
  return bytes;
}

async function readTls(values: Flags): Promise<{ readonly client: TlsMaterial; readonly peer: TlsMaterial }> {
  const client = await readTlsFiles({
    ca: values['trusted-ca-file'],
    cert: values['cert-file'],
    key: values['key-file'],
  });
  const peer = await readTlsFiles({
    ca: values['peer-trusted-ca-file'],
    cert: values['peer-cert-file'],
    key: values['peer-key-file'],
  });
  return { client, peer };
}

async function signedTokens(flag: string): Promise<SignedTokens | undefined> {
  const options = parseAuthToken(flag);
  if (options.type === 'simple') return undefined;
  const read = async (file: string | undefined): Promise<Buffer | undefined> =>
    file === undefined ? undefined : await readFile(file);
  try {
    return new SignedTokens({
      ...options,
      publicKey: await read(options.publicKeyFile),
      privateKey: await read(options.privateKeyFile),
      nowSeconds: () => Date.now() / 1000,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--auth-token ${flag}: ${why}`);
  }
}

/** `kv-raft restore`: no member, but a command that ends. */
async function restore(argv: readonly string[]): Promise<void> {
  try {
    await restoreCommand(argv, (line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    process.stderr.write(`kv-raft restore: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
  process.exit(0);
}

if (process.argv[2] === 'restore') await restore(process.argv.slice(3));

await runMain({
  name: 'kv-raft',
  description: 'A Raft-replicated key-value store that speaks the etcd v3 API.',
  flags,
  unsupported: unsupportedFlags,
  async start(values, { logger }) {
    checkFlags(values);
    const electionTimeoutMs = values['election-timeout'];
    const initialCluster = parseInitialCluster(values);
    const autoCompaction = parseAutoCompaction(values);
    const dataDir = values['data-dir'] ?? `${values.name}.etcd`;
    if (!existsSync(join(dataDir, 'member', 'wal'))) checkInitialCluster(values, initialCluster);
    const tls = await readTls(values);
    let member: Member<CommandResult> | undefined;
    return await Server.start({
      listenClient: parseUrls('listen-client-urls', values['listen-client-urls']),
      listenMetrics: parseUrls('listen-metrics-urls', values['listen-metrics-urls']),
      tls: { ...tls.client, clientCertAuth: values['client-cert-auth'] },
      electionTimeoutMs,
      quotaBackendBytes: quotaBytes(values['quota-backend-bytes'], logger),
      requestBytesMax: values['max-request-bytes'],
      txnOpsMax: values['max-txn-ops'],
      autoCompaction,
      authTokenTtlMs: values['auth-token-ttl'] * 1000,
      bcryptCost: values['bcrypt-cost'],
      signedTokens: await signedTokens(values['auth-token']),
      corruptionCheck: {
        initial: values['experimental-initial-corrupt-check'],
        compactHashCheckMs: values['experimental-compact-hash-check-enabled']
          ? values['experimental-compact-hash-check-time']
          : undefined,
        intervalMs: values['experimental-corrupt-check-time'],
        peerHash: async ({ peerUrls }, revision) => await fetchHash(peerUrls, revision, tls.peer),
      },
      startConsensus: async (stateMachine, { onSync }) => {
        member = await openMember({
          onSync,
          name: values.name,
          dataDir,
          initialCluster,
          initialClusterState: values['initial-cluster-state'] === 'existing' ? 'existing' : 'new',
          fetchCluster: clusterClient(tls.peer),
          strictReconfigCheck: values['strict-reconfig-check'],
          initialClusterToken: values['initial-cluster-token'],
          advertiseClientUrls: values['advertise-client-urls'],
          heartbeatIntervalMs: values['heartbeat-interval'],
          electionTimeoutMs,
          snapshotCount: values['snapshot-count'],
          stateMachine,
          transport: (ids) =>
            new HttpTransport({
              ids,
              listenUrls: values['listen-peer-urls'],
              advertiseUrls: values['initial-advertise-peer-urls'],
              tls: tls.peer,
              clientCertAuth: values['peer-client-cert-auth'],
              hashKv: async (revision) => await hashKeySpace(stateMachine.store, revision),
              logger,
            }),
          logger,
        });
        return member;
      },
      transferLeadership: async () => {
        await Promise.race([member?.handOver(), delay(TRANSFER_TIMEOUT_MS, undefined, { ref: false })]);
      },
      logger,
    });
  },
});
