// kube-proxy with real sockets and an API server in memory.
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer, get } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { endpointSlices, events, nodes, services, type EndpointSlice } from '@naru/api';
import { RestClient } from '@naru/client';
import { silentLogger, systemClock, type Component } from '@naru/component';
import { eventually, FakeApiServer } from '@naru/testkit';
import t from 'tap';
import { startProxy } from '../src/server.ts';
import { TcpService } from '../src/userspace/tcp-service.ts';
import { newService, newSlice } from './fixtures.ts';

/** Each test has Service addresses of its own, so that what one leaves behind meets no other. */
let tests = 0;

class Cluster implements AsyncDisposable {
  readonly server = new FakeApiServer();
  readonly stack = new AsyncDisposableStack();
  readonly clusterIP = `127.241.${process.pid % 250}.${++tests}`;
  #client: RestClient | undefined;

  get client(): RestClient {
    if (this.#client === undefined) throw new Error('not started');
    return this.#client;
  }

  async start(): Promise<this> {
    this.stack.use(this.server);
    this.#client = this.stack.use(new RestClient({ server: await this.server.start() }));
    return this;
  }

  async proxy(nodeName = 'node-1', nodeIP?: string): Promise<Component> {
    const options = {
      api: { server: this.server.url },
      nodeName,
      nodeIP,
      nodePortAddresses: { kind: 'primary' },
      healthz: undefined,
      logger: silentLogger(),
    } as const;
    return this.stack.use(await startProxy(options, new AbortController().signal));
  }

  async service(spec: object = {}): Promise<void> {
    await this.client.create(services, newService({ clusterIP: this.clusterIP, ports: [{ port: 24150 }], ...spec }), {
      namespace: 'default',
    });
  }

  /** Makes these the endpoints, each with its own port. */
  async endpoints(ports: readonly number[], protocol = 'TCP'): Promise<void> {
    for (const port of ports) {
      const slice = newSlice([{ address: '127.0.0.1' }], { name: `web-${port}`, ports: [{ port, protocol }] });
      if (await this.#has(slice)) continue;
      await this.client.create(endpointSlices, slice, { namespace: 'default' });
    }
    const { items } = await this.client.list(endpointSlices, { namespace: 'default' });
    for (const slice of items)
      if (!ports.includes(slice.ports?.[0]?.port ?? 0))
        await this.client.delete(endpointSlices, slice.metadata.name ?? '', { namespace: 'default' });
  }

  async #has(slice: EndpointSlice): Promise<boolean> {
    const { items } = await this.client.list(endpointSlices, { namespace: 'default' });
    return items.some(({ metadata }) => metadata.name === slice.metadata.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
  return (server.address() as AddressInfo).port;
}

/** A TCP server that greets with its name, then echoes, and ends when the client does. */
async function echoServer(
  cluster: Cluster,
  name: string,
): Promise<{ readonly port: number; readonly stop: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(`${name}\n`);
    socket.pipe(socket);
  });
  const port = await listen(server);
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  cluster.stack.defer(stop);
  return { port, stop };
}

/** Sends `text`, ends, and resolves with all that came back. */
async function ask(host: string, port: number, text = '', localAddress?: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    let answer = '';
    socket.setEncoding('utf8').on('data', (data: string) => (answer += data));
    socket.on('error', reject);
    socket.on('end', () => resolve(answer));
    socket.end(text);
  });
}

const nameOf = (answer: string): string => answer.split('\n')[0] ?? '';

await t.test('a ClusterIP is refused without endpoints, served with some, refused again without', async (t) => {
  await using cluster = await new Cluster().start();
  const { clusterIP } = cluster;
  await cluster.service();
  await cluster.proxy();
  await t.rejects(ask(clusterIP, 24150), { code: 'ECONNREFUSED' });
  const a = await echoServer(cluster, 'a');
  const b = await echoServer(cluster, 'b');
  await cluster.endpoints([a.port, b.port]);
  const text = 'x'.repeat(3_000_000);
  const answer = await eventually(async () => await ask(clusterIP, 24150, text));
  t.equal(answer.length, text.length + 2, 'all of it passes, after the client’s end too');
  await eventually(async () => {
    const names = new Set<string>();
    for (let i = 0; i < 4; i++) names.add(nameOf(await ask(clusterIP, 24150)));
    return names.size === 2;
  });
  await cluster.endpoints([]);
  await eventually(async () => {
    const error: unknown = await ask(clusterIP, 24150).catch((error: unknown) => error);
    return (error as { code?: string }).code === 'ECONNREFUSED';
  });
  await cluster.endpoints([b.port]);
  t.equal(nameOf(await eventually(async () => await ask(clusterIP, 24150))), 'b');
  await cluster.client.delete(services, 'web', { namespace: 'default' });
  await eventually(async () => {
    const error: unknown = await ask(clusterIP, 24150).catch((error: unknown) => error);
    return (error as { code?: string }).code === 'ECONNREFUSED';
  });
});

await t.test('an endpoint that does not answer is passed over', async (t) => {
  await using cluster = await new Cluster().start();
  const dead = await echoServer(cluster, 'dead');
  const alive = await echoServer(cluster, 'alive');
  await cluster.service();
  await cluster.endpoints([dead.port, alive.port]);
  await cluster.proxy();
  await eventually(async () => await ask(cluster.clusterIP, 24150));
  dead.stop();
  for (let i = 0; i < 6; i++) t.equal(nameOf(await ask(cluster.clusterIP, 24150)), 'alive');
});

await t.test('connections to a removed endpoint go on; new ones go elsewhere', async (t) => {
  await using cluster = await new Cluster().start();
  const old = await echoServer(cluster, 'old');
  await cluster.service();
  await cluster.endpoints([old.port]);
  await cluster.proxy();
  await eventually(async () => await ask(cluster.clusterIP, 24150));
  const socket = connect({ host: cluster.clusterIP, port: 24150 });
  cluster.stack.defer(() => void socket.destroy());
  let received = '';
  socket.setEncoding('utf8').on('data', (data: string) => (received += data));
  await eventually(() => received === 'old\n');
  const fresh = await echoServer(cluster, 'fresh');
  await cluster.endpoints([fresh.port]);
  await eventually(async () => nameOf(await ask(cluster.clusterIP, 24150)) === 'fresh');
  for (let i = 0; i < 4; i++) t.equal(nameOf(await ask(cluster.clusterIP, 24150)), 'fresh');
  socket.write('still here');
  await eventually(() => received === 'old\nstill here');
  await cluster.endpoints([]);
  socket.write(', and now');
  await eventually(() => received === 'old\nstill here, and now');
});

await t.test('what breaks one side breaks the other', async (t) => {
  await using cluster = await new Cluster().start();
  const server = await echoServer(cluster, 'a');
  await cluster.service();
  await cluster.endpoints([server.port]);
  await cluster.proxy();
  await eventually(async () => await ask(cluster.clusterIP, 24150));
  const socket = connect({ host: cluster.clusterIP, port: 24150 });
  const ended = new Promise((resolve) => {
    socket.on('error', resolve).on('close', resolve).resume();
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  await eventually(() => socket.bytesRead > 0);
  server.stop();
  await ended;
  t.pass('the client was told');
});

await t.test('sessionAffinity ClientIP keeps a client at its endpoint', async (t) => {
  await using cluster = await new Cluster().start();
  const [a, b, c] = [await echoServer(cluster, 'a'), await echoServer(cluster, 'b'), await echoServer(cluster, 'c')];
  await cluster.service({ sessionAffinity: 'ClientIP' });
  await cluster.endpoints([a.port, b.port, c.port]);
  await cluster.proxy();
  await eventually(async () => await ask(cluster.clusterIP, 24150));
  const first = nameOf(await ask(cluster.clusterIP, 24150, '', '127.0.0.7'));
  for (let i = 0; i < 5; i++) t.equal(nameOf(await ask(cluster.clusterIP, 24150, '', '127.0.0.7')), first);
  const clients = Array.from({ length: 9 }, (_, i) => `127.0.0.${i + 10}`);
  const names = await Promise.all(
    clients.map(async (client) => nameOf(await ask(cluster.clusterIP, 24150, '', client))),
  );
  t.equal(new Set(names).size, 3, 'different clients are spread');
});

await t.test('several proxies share a ClusterIP, each has its own NodePort, and any may go', async (t) => {
  await using cluster = await new Cluster().start();
  const a = await echoServer(cluster, 'a');
  await cluster.service({ type: 'NodePort', ports: [{ port: 24150, nodePort: 24151 }] });
  await cluster.endpoints([a.port]);
  const addresses = [`127.242.${process.pid % 250}.1`, `127.242.${process.pid % 250}.2`];
  for (const [i, address] of addresses.entries())
    await cluster.client.create(nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `node-${i}` },
      status: { addresses: [{ type: 'InternalIP', address }] },
    });
  const [first] = [await cluster.proxy('node-0'), await cluster.proxy('node-1', addresses[1])];
  for (const address of addresses) await eventually(async () => await ask(address, 24151));
  for (let i = 0; i < 20; i++) t.equal(nameOf(await ask(cluster.clusterIP, 24150)), 'a');
  await first?.[Symbol.asyncDispose]();
  for (let i = 0; i < 20; i++) t.equal(nameOf(await ask(cluster.clusterIP, 24150)), 'a');
  t.equal(nameOf(await ask(addresses[1] ?? '', 24151)), 'a');
  await t.rejects(ask(addresses[0] ?? '', 24151), { code: 'ECONNREFUSED' });
});

await t.test('a port that is taken is reported, and had when it is free', async (t) => {
  await using cluster = await new Cluster().start();
  const squatter = createServer((socket) => socket.end('squatter\n'));
  await new Promise<void>((resolve) => squatter.listen({ port: 24152, host: '127.0.0.1' }, resolve));
  cluster.stack.defer(() => void squatter.close());
  const a = await echoServer(cluster, 'a');
  await cluster.service({ type: 'NodePort', ports: [{ port: 24150, nodePort: 24152 }] });
  await cluster.endpoints([a.port]);
  await cluster.proxy('node-1', '127.0.0.1');
  t.equal(nameOf(await eventually(async () => await ask(cluster.clusterIP, 24150))), 'a', 'the ClusterIP is served');
  const event = await eventually(async () => (await cluster.client.list(events)).items[0] ?? false);
  t.match(event, {
    type: 'Warning',
    reason: 'FailedToOpenPort',
    message: /^can't open port "nodePort for default\/web" \(127\.0\.0\.1:24152\/tcp\), skipping it: .*EADDRINUSE/u,
  });
  squatter.close();
  await eventually(async () => nameOf(await ask('127.0.0.1', 24152)) === 'a');
});

await t.test('UDP: answers find their clients, refused endpoints are left', async (t) => {
  await using cluster = await new Cluster().start();
  const udpServer = async (name: string): Promise<number> => {
    const socket = createSocket('udp4');
    socket.on('message', (message, { port, address }) => socket.send(`${name}:${String(message)}`, port, address));
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    cluster.stack.defer(() => void socket.close());
    return socket.address().port;
  };
  const [a, b] = [await udpServer('a'), await udpServer('b')];
  await cluster.service({ ports: [{ port: 24150, protocol: 'UDP' }] });
  await cluster.endpoints([a, b], 'UDP');
  await cluster.proxy();
  const newClient = () => {
    const socket = createSocket('udp4');
    cluster.stack.defer(() => void socket.close());
    const answers: string[] = [];
    socket.on('message', (message) => answers.push(String(message)));
    socket.on('error', () => undefined);
    return {
      /** Datagrams may be lost, and sockets not be there yet, so it asks until it is answered. */
      ask: async (text: string): Promise<string> => {
        answers.length = 0;
        const answer = await eventually(() => {
          socket.send(text, 24150, cluster.clusterIP);
          return answers.find((each) => each.endsWith(`:${text}`)) ?? false;
        });
        return answer;
      },
    };
  };
  const [one, two] = [newClient(), newClient()];
  const first = (await one.ask('1')).split(':')[0];
  const second = (await two.ask('2')).split(':')[0];
  t.same(new Set([first, second]), new Set(['a', 'b']), 'clients are spread');
  t.equal((await one.ask('3')).split(':')[0], first, 'a client stays');
  await cluster.endpoints([second === 'a' ? a : b], 'UDP');
  await eventually(async () => (await one.ask('4')).split(':')[0] === second);
});

await t.test('an address serves so many connections and drops further ones, until one ends', async (t) => {
  await using cluster = await new Cluster().start();
  const a = await echoServer(cluster, 'a');
  const backends = [{ key: `127.0.0.1:${a.port}`, address: '127.0.0.1', port: a.port }];
  const address = cluster.clusterIP;
  const service = new TcpService(
    {
      key: '',
      kind: 'clusterIP',
      protocol: 'TCP',
      address,
      port: 0,
      servicePort: 'web',
      backends,
      affinityMs: undefined,
    },
    { clock: systemClock, logger: silentLogger(), connectionsMax: 2 },
  );
  cluster.stack.defer(() => service.destroy());
  service.setBackends(backends, undefined);
  const port = await service.listen({ address, port: 0, reusePort: false });
  const held = [connect({ host: address, port }), connect({ host: address, port })];
  for (const socket of held) {
    cluster.stack.defer(() => void socket.destroy());
    await new Promise((resolve) => socket.once('data', resolve));
  }
  t.equal(service.connections, 2);
  t.not(nameOf(await ask(address, port).catch(() => 'dropped')), 'a');
  held[0]?.end();
  await eventually(() => service.connections === 1);
  t.equal(nameOf(await ask(address, port)), 'a');
});

await t.test('a rolling update under steady traffic loses no request', async (t) => {
  await using cluster = await new Cluster().start();
  await cluster.service();
  const startHttp = async (name: string) => {
    const server = createHttpServer((_request, response) => response.end(name));
    const port = await listen(server);
    cluster.stack.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    return { port, drain: () => server.close() };
  };
  let running = [await startHttp('v0'), await startHttp('v0')];
  await cluster.endpoints(running.map(({ port }) => port));
  await cluster.proxy();
  await eventually(async () => await ask(cluster.clusterIP, 24150, 'GET / HTTP/1.0\r\n\r\n'));
  const failures: unknown[] = [];
  const bodies = new Set<string>();
  let requests = 0;
  const traffic = { on: true };
  const clients = Array.from({ length: 4 }, async () => {
    while (traffic.on) {
      await new Promise<void>((resolve) => {
        const request = get({ host: cluster.clusterIP, port: 24150, agent: false }, (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (data: string) => (body += data));
          response.on('end', () => {
            requests++;
            bodies.add(body);
            resolve();
          });
        });
        request.on('error', (error) => {
          failures.push(error);
          resolve();
        });
      });
    }
  });
  for (let round = 1; round <= 5; round++) {
    // As a Deployment does it: one more, then one less.
    for (let i = 0; i < 2; i++) {
      const fresh = await startHttp(`v${round}`);
      const [oldest, ...rest] = running;
      await cluster.endpoints([...running, fresh].map(({ port }) => port));
      running = [...rest, fresh];
      await cluster.endpoints(running.map(({ port }) => port));
      oldest?.drain();
    }
    await eventually(() => bodies.has(`v${round}`));
  }
  traffic.on = false;
  await Promise.all(clients);
  t.same(failures, []);
  t.ok(requests > 20, `${requests} requests`);
});
