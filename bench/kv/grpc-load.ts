// A process that puts over gRPC: each of `connections` keeps `inflight` calls on their way, for `seconds` or until `count`
// puts are done. Options come as JSON in the first argument; the result is printed as JSON.
import { percentile } from '../machine.ts';
import { grpcMessage, Http2Connection } from './http2-connection.ts';
import type { LoadResult } from '../load-result.ts';
import { putRequest } from './protobuf.ts';

export interface GrpcLoadOptions {
  readonly url: string;
  readonly connections: number;
  readonly inflight: number;
  readonly seconds?: number;
  readonly count?: number;
  readonly keys: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
}

/** Loads with a count fill a store: what an election lets fail is not what is measured. */
const FAILURES_MAX = 1000;

function fail(error: Error): never {
  process.stderr.write(`grpc load: ${error.message}\n`);
  process.exit(1);
}

async function load(options: GrpcLoadOptions): Promise<LoadResult> {
  const { url, connections, inflight, seconds, count = Number.POSITIVE_INFINITY, keys, keyBytes, valueBytes } = options;
  const value = Buffer.alloc(valueBytes);
  for (const [i] of value.entries()) value[i] = Math.floor(Math.random() * 256);
  const messages = Array.from({ length: keys }, (_, i) =>
    grpcMessage(putRequest(Buffer.from(`bench/${i}`.padEnd(keyBytes, '.')), value)),
  );
  const latencies: number[] = [];
  const started = performance.now();
  const endAt = seconds === undefined ? Number.POSITIVE_INFINITY : started + seconds * 1000;
  let begun = 0;
  let failures = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = await Http2Connection.open(url, fail);
      await new Promise<void>((resolve) => {
        let running = 0;
        const next = (): void => {
          const from = performance.now();
          if (from >= endAt || begun >= count) {
            if (running === 0) resolve();
            return;
          }
          running++;
          let answered = false;
          const message = messages[begun++ % keys] ?? Buffer.alloc(0);
          connection.call(
            '/etcdserverpb.KV/Put',
            message,
            { last: true },
            {
              message: () => {
                answered = true;
              },
              end: (trailers) => {
                if (!answered && (count === Number.POSITIVE_INFINITY || ++failures > FAILURES_MAX))
                  fail(new Error(`a put failed: ${trailers.toString('latin1')}`));
                latencies.push(performance.now() - from);
                running--;
                next();
              },
            },
          );
        };
        for (let i = 0; i < inflight; i++) next();
      });
      connection.close();
    }),
  );
  return {
    perSecond: latencies.length / ((performance.now() - started) / 1000),
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
  };
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as GrpcLoadOptions;
  process.stdout.write(JSON.stringify(await load(options)));
}
