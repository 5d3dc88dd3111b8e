// A process that watches one prefix many times over gRPC, each watch a stream of its own, and puts into it. First `puts` as
// fast as they go: how many events per second reach the watchers. Then `pacedPuts` at `pacedPerSecond`: how long after the
// put was sent each event is there. Options come as JSON in the first argument; the result is printed as JSON.
import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from '../machine.ts';
import { grpcMessage, Http2Connection } from './http2-connection.ts';
import { forEachEvent, putRequest, watchPrefixRequest } from './protobuf.ts';

export interface WatchLoadOptions {
  readonly url: string;
  readonly watchers: number;
  readonly connections: number;
  readonly puts: number;
  readonly putsInflight: number;
  readonly pacedPuts: number;
  readonly pacedPerSecond: number;
}

export interface WatchLoadResult {
  readonly eventsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const VALUE_BYTES = 256;
const KEYS = 1000;

function fail(error: Error): never {
  process.stderr.write(`watch load: ${error.message}\n`);
  process.exit(1);
}

/** Opens the watches and resolves when all are created; `event` gets each event of each of them. */
async function watch(options: WatchLoadOptions, event: (bytes: Buffer) => void): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: options.connections }, async () => await Http2Connection.open(options.url, fail)),
  );
  const request = grpcMessage(watchPrefixRequest('watched/'));
  let created = 0;
  await new Promise<void>((resolve) => {
    for (let i = 0; i < options.watchers; i++) {
      let isCreated = false;
      connections[i % connections.length]?.call(
        '/etcdserverpb.Watch/Watch',
        request,
        { last: false },
        {
          message: (bytes) => {
            if (isCreated) {
              forEachEvent(bytes, event);
              return;
            }
            isCreated = true;
            if (++created === options.watchers) resolve();
          },
          end: () => fail(new Error('a watch ended')),
        },
      );
    }
  });
}

async function measure(options: WatchLoadOptions): Promise<WatchLoadResult> {
  const { watchers, puts, putsInflight, pacedPuts, pacedPerSecond } = options;
  const counts = { sent: 0, received: 0 };
  const paced: { delays?: number[] } = {};
  await watch(options, (bytes) => {
    counts.received++;
    // The value comes last in an event, and begins with the time when it was sent.
    paced.delays?.push(performance.now() - bytes.readDoubleBE(bytes.length - VALUE_BYTES));
  });
  const writer = await Http2Connection.open(options.url, fail);
  const put = async (): Promise<void> => {
    const value = Buffer.alloc(VALUE_BYTES, 'x');
    value.writeDoubleBE(performance.now());
    const message = grpcMessage(putRequest(Buffer.from(`watched/${counts.sent++ % KEYS}`), value));
    await new Promise<void>((resolve) => {
      const ignore = (): void => undefined;
      writer.call('/etcdserverpb.KV/Put', message, { last: true }, { message: ignore, end: () => resolve() });
    });
  };
  const all = async (count: number): Promise<void> => {
    while (counts.received < count) await delay(1);
  };
  const started = performance.now();
  await Promise.all(
    Array.from({ length: putsInflight }, async () => {
      while (counts.sent < puts) await put();
    }),
  );
  const fast = counts.sent;
  await all(fast * watchers);
  const eventsPerSecond = counts.received / ((performance.now() - started) / 1000);
  const delays: number[] = (paced.delays = []);
  const pacedFrom = performance.now();
  const waiting: Promise<void>[] = [];
  for (let i = 0; i < pacedPuts; i++) {
    await delay(Math.max(0, pacedFrom + (i * 1000) / pacedPerSecond - performance.now()));
    waiting.push(put());
  }
  await Promise.all(waiting);
  await all((fast + pacedPuts) * watchers);
  return { eventsPerSecond, p50Ms: percentile(delays, 50), p99Ms: percentile(delays, 99) };
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as WatchLoadOptions;
  process.stdout.write(JSON.stringify(await measure(options)));
  process.exit(0);
}
