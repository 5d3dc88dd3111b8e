// A member over a ListMachine as a process of its own, driven by lines of JSON on stdin: {put} and {list}.
import { createInterface } from 'node:readline';
import { silentLogger } from '@naru/component';
import { ConsensusError } from '../../src/consensus.ts';
import { openMember } from '../../src/driver/open-member.ts';
import { HttpTransport } from '../../src/peer/http-transport.ts';
import { ListMachine } from './list-machine.ts';

interface Request {
  readonly id: number;
  readonly put?: string;
}

const [name = '', dataDir = '', ...urls] = process.argv.slice(2);
const machine = new ListMachine();
const at = Number(name.slice(1)) - 1;
const member = await openMember({
  name,
  dataDir,
  initialCluster: urls.map((url, i) => ({ name: `m${i + 1}`, peerUrls: [url] })),
  advertiseClientUrls: [],
  heartbeatIntervalMs: 20,
  electionTimeoutMs: 200,
  snapshotCount: 100,
  snapshotCatchUpEntries: 20,
  walSegmentBytes: 20_000,
  stateMachine: machine,
  transport: (ids) => new HttpTransport({ ids, listenUrls: [urls[at] ?? ''], logger: silentLogger() }),
  logger: silentLogger(),
});

function answer(id: number, body: object): void {
  process.stdout.write(`${JSON.stringify({ id, ...body })}\n`);
}

async function handle({ id, put }: Request): Promise<void> {
  const options = { signal: AbortSignal.timeout(2000) };
  try {
    if (put === undefined) {
      await member.readIndex(options);
      answer(id, { items: machine.items });
    } else {
      answer(id, { count: await member.propose(Buffer.from(put), options) });
    }
  } catch (error) {
    answer(id, { error: error instanceof ConsensusError ? error.code : String(error) });
  }
}

answer(0, { leader: member.isLeader });
createInterface({ input: process.stdin }).on('line', (line) => void handle(JSON.parse(line) as Request));
process.stdin.on('end', () => process.exit(0));
setInterval(() => answer(0, { leader: member.isLeader }), 20).unref();
