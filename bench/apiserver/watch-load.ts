// A process that watches Pods many times, each watch a connection of its own, and changes Pods at an even pace: how long after a
// change was sent its event is there. Only some of the watchers decrypt and look at what they get; the others read it and drop
// it, so that on few cores the server is what is measured. The first argument names a file with the options as JSON; the result is printed
// as JSON.
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Agent, request } from 'undici';
import { percentile } from '../machine.ts';

export interface WatchLoadOptions {
  readonly url: string;
  readonly token: string;
  /** Of the collection to watch. */
  readonly path: string;
  readonly resourceVersion: string;
  readonly watchers: number;
  /** How many of them look at what they get. */
  readonly looking: number;
  /** Paths of the objects to change, in turn. */
  readonly objects: readonly string[];
  readonly changes: number;
  readonly changesPerSecond: number;
}

export interface WatchLoadResult {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Bytes that all watchers got, encrypted. */
  readonly bytes: number;
}

const READ_BYTES = 64 * 1024;
const ARRIVAL_DEADLINE_MS = 60_000;
/** In the JSON of an event; it stands in managedFields with `f:` before it. */
const MARK = Buffer.from('"bench/sent":"');
const STAMP_DIGITS = 12;

function fail(message: string): never {
  process.stderr.write(`watch load: ${message}\n`);
  process.exit(1);
}

/** Finds the stamps in a stream of bytes that is cut anywhere. */
class StampReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #stamp: (sentMs: number) => void;

  constructor(stamp: (sentMs: number) => void) {
    this.#stamp = stamp;
  }

  read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(MARK, from);
      const end = at + MARK.length + STAMP_DIGITS;
      if (at === -1) {
        this.#rest = Buffer.from(bytes.subarray(Math.max(from, bytes.length - MARK.length)));
        return;
      }
      if (end > bytes.length) {
        this.#rest = Buffer.from(bytes.subarray(at));
        return;
      }
      this.#stamp(Number(bytes.toString('latin1', at + MARK.length, end)) / 1000);
      from = end;
    }
  }
}

/** The encrypted side of a connection whose bytes can be dropped from some moment on. */
class Wire extends Duplex {
  bytes = 0;
  dropping = false;
  readonly #socket: Socket;

  constructor(host: string, port: number) {
    super();
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    this.#socket = connectTcp({
      host,
      port,
      onread: {
        buffer,
        callback: (length: number, bytes: Uint8Array): boolean => {
          this.bytes += length;
          if (!this.dropping) this.push(Buffer.from(bytes.subarray(0, length)));
          return true;
        },
      },
    });
    this.#socket.on('close', () => fail('a watch ended'));
    this.#socket.on('error', (error) => fail(error.message));
  }

  override _read(): void {
    // The socket is always read.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#socket.write(chunk, done);
  }
}

/** Opens a watch; resolves when the server has answered. */
async function openWatch(options: WatchLoadOptions, stamp: ((sentMs: number) => void) | undefined): Promise<Wire> {
  const { hostname, port } = new URL(options.url);
  const wire = new Wire(hostname, Number(port));
  const secure: TLSSocket = connectTls({ socket: wire, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  secure.on('error', (error) => fail(error.message));
  secure.write(
    `GET ${options.path}?watch=1&resourceVersion=${options.resourceVersion} HTTP/1.1\r\nhost: ${hostname}\r\n` +
      `authorization: Bearer ${options.token}\r\naccept: application/json\r\n\r\n`,
  );
  await new Promise<void>((resolve) => {
    let isAnswered = false;
    const reader = stamp === undefined ? undefined : new StampReader(stamp);
    secure.on('data', (chunk: Buffer) => {
      if (!isAnswered) {
        isAnswered = true;
        if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) fail(chunk.toString());
        if (reader === undefined) wire.dropping = true;
        resolve();
      }
      reader?.read(chunk);
    });
  });
  return wire;
}

async function measure(options: WatchLoadOptions): Promise<WatchLoadResult> {
  const { watchers, looking, objects, changes, changesPerSecond } = options;
  const delays: number[] = [];
  const note = (sentMs: number): void => void delays.push(performance.now() - sentMs);
  const wires: Wire[] = [];
  for (let i = 0; i < watchers; i++) wires.push(await openWatch(options, i < looking ? note : undefined));
  const agent = new Agent({ connect: { rejectUnauthorized: false, timeout: 60_000 }, connections: 32 });
  const change = async (i: number): Promise<void> => {
    const stamp = (performance.now() * 1000).toFixed(0).padStart(STAMP_DIGITS, '0');
    const { statusCode, body } = await request(`${options.url}${objects[i % objects.length] ?? ''}`, {
      method: 'PATCH',
      dispatcher: agent,
      headers: { authorization: `Bearer ${options.token}`, 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ metadata: { annotations: { 'bench/sent': stamp } } }),
    });
    await body.dump();
    if (statusCode !== 200) fail(`a change was answered with ${statusCode}`);
  };
  const started = performance.now();
  const waiting: Promise<void>[] = [];
  for (let i = 0; i < changes; i++) {
    await delay(Math.max(0, started + (i * 1000) / changesPerSecond - performance.now()));
    waiting.push(change(i));
  }
  await Promise.all(waiting);
  const deadline = performance.now() + ARRIVAL_DEADLINE_MS;
  while (delays.length < changes * looking) {
    if (performance.now() > deadline) fail(`${delays.length} of ${changes * looking} events arrived`);
    await delay(5);
  }
  return {
    p50Ms: percentile(delays, 50),
    p99Ms: percentile(delays, 99),
    bytes: wires.reduce((sum, each) => sum + each.bytes, 0),
  };
}

if (import.meta.main) {
  const options = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as WatchLoadOptions;
  process.stdout.write(JSON.stringify(await measure(options)));
  process.exit(0);
}
