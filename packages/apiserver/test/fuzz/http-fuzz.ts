/** Malformed requests to an API server in a process of its own. */
import { connect } from 'node:net';
import { eventually, SeededRandom } from '@naru/testkit';
import { startStore } from '../api-fixture.ts';
import { FuzzedProcess } from './fuzzed-process.ts';
import { malformedRequest, type MalformedRequest } from './malformed-requests.ts';

export interface HttpFuzzReport {
  readonly sent: Readonly<Record<string, number>>;
  /** Answers by their status; 0: none. */
  readonly answers: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Requests of an ordinary client meanwhile, and the longest that one took. */
  readonly served: number;
  readonly slowestMs: number;
  /** Resident memory beyond what it was when a fifth was sent. */
  readonly grownBytes: number;
}

const CONCURRENT = 48;
const WARM_UP_SHARE = 0.2;
/** However busy the machine, a whole request is answered in this time. */
const ANSWER_MS = 60_000;
/** What is no whole request may be without an answer. */
const NO_ANSWER_MS = 40;
const ANSWER_BYTES_MAX = 4096;
/** Open files that connections and pools of the server itself may add. */
const FILES_MORE_MAX = 20;

/** The only failures that a client may see, with the reason. */
const expectedFailures: readonly (readonly [number, RegExp])[] = [
  // A revision that the server has not reached in time: upstream answers 504, too.
  [504, /Too large resource version|did not complete within/u],
  // What upstream does not classify: strategic merge patches that make no sense (a 500 without a reason), lists to apply
  // whose elements lack their keys, and pages of a list of a revision that is still to come.
  [500, /"status":"Failure","message":"(?:[^"\\]|\\.)*","code":500\}/u],
  [500, /failed to create typed patch object|required revision is a future revision/u],
  // The proxy to a service without endpoints, or without such a port.
  [503, /no endpoints available for service|no service port/u],
];

/**
 * Sends `count` malformed requests and checks that the server serves an ordinary client all the time. The same seed sends the
 * same.
 * @throws Error for an unexpected failure, a whole request without an answer, or a server that ended or leaks files
 */
export async function fuzzHttp(options: { readonly count: number; readonly seed: number }): Promise<HttpFuzzReport> {
  const started = performance.now();
  await using store = await startStore('kv-raft');
  await using server = await FuzzedProcess.start(store);
  await prepare(server);
  const stop = new AbortController();
  const client = new OrdinaryClient(server.url);
  const working = client.run(stop.signal);
  const random = new SeededRandom(options.seed);
  const sent: Record<string, number> = {};
  const answers: Record<string, number> = {};
  const files = await server.openFiles();
  const send = async (count: number): Promise<void> => {
    let left = count;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const seed = random.fork();
        const request = malformedRequest(seed);
        sent[request.name] = (sent[request.name] ?? 0) + 1;
        for (const status of await sendOne(server, request, seed.seed)) answers[status] = (answers[status] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT }, worker));
  };
  try {
    const warmUp = Math.ceil(options.count * WARM_UP_SHARE);
    await send(warmUp);
    const before = await server.residentBytes();
    await send(options.count - warmUp);
    const after = await server.residentBytes();
    stop.abort();
    const { served, slowestMs } = await working;
    await eventually(
      async () => {
        const now = await server.openFiles();
        if (now > files + FILES_MORE_MAX) throw new Error(`${now} open files, ${files} before`);
      },
      { deadlineMs: 60_000 },
    );
    const seconds = (performance.now() - started) / 1000;
    return { sent, answers, seconds, served, slowestMs, grownBytes: after - before };
  } finally {
    stop.abort();
    await working.catch(() => undefined);
  }
}

async function ask(url: string, method: string, path: string, body?: object): Promise<Response> {
  return await fetch(url + path, {
    method,
    headers: { authorization: 'Bearer admin', 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
}

/** What the requests are about. */
async function prepare({ url }: FuzzedProcess): Promise<void> {
  const namespace = '/api/v1/namespaces/fuzz';
  const labels = { a: 'b' };
  const spec = { containers: [{ name: 'c', image: 'i' }] };
  const objects: readonly (readonly [string, object])[] = [
    ['/api/v1/namespaces', { metadata: { name: 'fuzz' } }],
    [`${namespace}/configmaps`, { metadata: { name: 'c' }, data: { a: 'b' } }],
    [`${namespace}/pods`, { metadata: { name: 'p' }, spec }],
    [`${namespace}/services`, { metadata: { name: 's' }, spec: { ports: [{ port: 80 }], selector: labels } }],
    [`${namespace}/serviceaccounts`, { metadata: { name: 'default' } }],
    [
      '/apis/apps/v1/namespaces/fuzz/deployments',
      {
        metadata: { name: 'd' },
        spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      },
    ],
  ];
  for (const [path, body] of objects) {
    const answer = await ask(url, 'POST', path, body);
    if (answer.status !== 201) throw new Error(await answer.text());
  }
}

/** Someone who creates, reads and deletes, and must not notice anything. */
class OrdinaryClient {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async run(signal: AbortSignal): Promise<{ readonly served: number; readonly slowestMs: number }> {
    const path = '/api/v1/namespaces/default/configmaps';
    let served = 0;
    let slowestMs = 0;
    const must = async (expected: number, method: string, at: string, body?: object): Promise<void> => {
      const begun = performance.now();
      const answer = await ask(this.#url, method, at, body);
      const text = await answer.text();
      if (answer.status !== expected) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
      slowestMs = Math.max(slowestMs, performance.now() - begun);
      served++;
    };
    while (!signal.aborted) {
      await must(201, 'POST', path, { metadata: { name: 'ordinary' }, data: { a: 'b' } });
      await must(200, 'GET', `${path}/ordinary`);
      await must(200, 'DELETE', `${path}/ordinary`);
    }
    return { served, slowestMs };
  }
}

/** Sends one; the status codes that came back. @throws Error for what must not be. */
async function sendOne(server: FuzzedProcess, request: MalformedRequest, seed: number): Promise<readonly number[]> {
  const text = await exchange(server.port, request);
  const where = (): string =>
    `${request.name}, seed of the request ${seed}: ${JSON.stringify(request.parts.map((each) => each.toString().slice(0, 1500)))}`;
  if (server.ended) throw new Error(`the server ended: ${where()}`);
  const [unexpected] = server.unexpected;
  if (unexpected !== undefined) throw new Error(`${unexpected}\n${where()}`);
  const codes = [...text.matchAll(/(?:^|\n)HTTP\/1\.1 (\d{3}) /gu)].map((match) => Number(match[1]));
  if (codes.length === 0 && request.isWhole) throw new Error(`no answer: ${where()}`);
  for (const code of codes)
    if (code >= 500 && !expectedFailures.some(([each, message]) => each === code && message.test(text)))
      throw new Error(`${text}\n${where()}`);
  return codes.length === 0 ? [0] : codes;
}

/** Writes the parts; what came back until the server closed, or nothing more is to be expected. */
async function exchange(port: number, { parts, isWhole }: MalformedRequest): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  const closed = Promise.withResolvers<void>();
  let text = '';
  let timer = setTimeout(() => socket.destroy(), ANSWER_MS);
  const wait = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), ms);
  };
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    if (text.length < ANSWER_BYTES_MAX) text += chunk;
    if (!isWhole) wait(NO_ANSWER_MS);
  });
  socket.on('error', () => undefined);
  socket.once('close', () => closed.resolve());
  for (const part of parts) {
    if (socket.destroyed) break;
    if (typeof part === 'number') await new Promise((resolve) => setTimeout(resolve, part));
    else socket.write(part);
  }
  wait(isWhole ? ANSWER_MS : NO_ANSWER_MS);
  await closed.promise;
  clearTimeout(timer);
  return text;
}
