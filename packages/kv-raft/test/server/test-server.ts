import { silentLogger, type Clock } from '@naru/component';
import { Server, type ServerOptions } from '../../src/server.ts';
import type { CommandResult, KvStateMachine } from '../../src/server/state-machine.ts';
import { SingleMemberConsensus } from './single-member-consensus.ts';

/** A server in this process, over a cluster of one. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly consensus: SingleMemberConsensus<CommandResult>;
  readonly machine: KvStateMachine;
}

export async function startTestServer(
  options: Partial<ServerOptions> & { readonly clock?: Clock } = {},
): Promise<TestServer> {
  let consensus: SingleMemberConsensus<CommandResult> | undefined;
  let machine: KvStateMachine | undefined;
  const server = await Server.start({
    listenClient: [{ host: '127.0.0.1', port: 0, tls: false }],
    listenMetrics: [],
    electionTimeoutMs: 1000,
    quotaBackendBytes: 2 ** 31,
    requestBytesMax: 1.5 * 1024 * 1024,
    txnOpsMax: 128,
    logger: silentLogger(),
    startConsensus: async (stateMachine) => {
      machine = stateMachine;
      consensus = new SingleMemberConsensus(stateMachine);
      return consensus;
    },
    ...options,
  });
  if (consensus === undefined || machine === undefined) throw new Error('not started');
  return {
    url: `http://127.0.0.1:${server.clientAddresses[0]?.port ?? 0}`,
    consensus,
    machine,
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  };
}
