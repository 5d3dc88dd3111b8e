import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Cancel, Clock, Logger } from '@naru/component';
import { hostPort, type Backend, type ListenerPlan } from '../plan/listener-plan.ts';
import { Balancer } from './balancer.ts';
import type { ServiceSocket, SocketAddress } from './service-socket.ts';

/** A client that is silent for so long is forgotten, with its socket. */
const IDLE_TIMEOUT_MS = 10_000;
/** Clients of one listener; the one silent longest makes room for the next. */
const CLIENTS_MAX = 4096;
/** Datagrams of a client that wait until its socket is connected; further ones are dropped, as UDP may. */
const WAITING_MAX = 64;

interface Session {
  readonly backend: Backend;
  readonly socket: Socket;
  readonly waiting: Buffer[];
  connected: boolean;
  cancelIdle: Cancel;
}

/** One UDP address of a Service: a socket of its own for each client, so that answers find their way. */
export class UdpService implements ServiceSocket {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #servicePort: string;
  readonly #balancer = new Balancer();
  readonly #sessions = new Map<string, Session>();
  #server: Socket | undefined;

  constructor(plan: ListenerPlan, options: { readonly clock: Clock; readonly logger: Logger }) {
    this.#servicePort = plan.servicePort;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** A datagram says nothing of a flow, so clients of a backend that is gone change over with their next one. */
  setBackends(backends: readonly Backend[], affinityMs: number | undefined): void {
    this.#balancer.update(backends, affinityMs);
    for (const [client, { backend }] of this.#sessions) if (!this.#balancer.has(backend)) this.#forget(client);
  }

  async listen({ address, port, reusePort }: SocketAddress): Promise<number> {
    const server = createSocket({ type: typeOf(address), reusePort });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.bind({ address, port, exclusive: true }, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.#logger.warn({ err: error, servicePort: this.#servicePort }, 'socket failed'),
        );
        server.on('message', (message, client) => this.#pass(server, message, client));
        resolve();
      });
    });
    return server.address().port;
  }

  close(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const client of this.#sessions.keys()) this.#forget(client);
  }

  destroy(): void {
    this.close();
  }

  #pass(server: Socket, message: Buffer, client: RemoteInfo): void {
    const key = hostPort(client.address, client.port);
    const session = this.#sessions.get(key) ?? this.#open(server, key, client);
    if (session === undefined) return;
    this.#touch(key, session);
    if (session.connected) session.socket.send(message);
    else if (session.waiting.length < WAITING_MAX) session.waiting.push(message);
  }

  #open(server: Socket, key: string, client: RemoteInfo): Session | undefined {
    const backend = this.#balancer.pick(client.address, this.#clock.monotonic());
    if (backend === undefined) return undefined;
    if (this.#sessions.size >= CLIENTS_MAX) {
      const [oldest] = this.#sessions.keys();
      if (oldest !== undefined) this.#forget(oldest);
    }
    const socket = createSocket({ type: typeOf(backend.address) });
    const session: Session = { backend, socket, waiting: [], connected: false, cancelIdle: () => undefined };
    this.#sessions.set(key, session);
    socket.on('message', (answer) => {
      if (this.#sessions.get(key) !== session) return;
      this.#touch(key, session);
      server.send(answer, client.port, client.address);
    });
    // Refused: the next datagram of the client tries another backend.
    socket.on('error', (error) => {
      this.#logger.debug({ err: error, servicePort: this.#servicePort, endpoint: backend.key }, 'datagram refused');
      if (this.#sessions.get(key) === session) this.#forget(key);
    });
    socket.connect(backend.port, backend.address, () => {
      if (this.#sessions.get(key) !== session) return;
      session.connected = true;
      for (const message of session.waiting.splice(0)) socket.send(message);
    });
    return session;
  }

  #touch(key: string, session: Session): void {
    session.cancelIdle();
    session.cancelIdle = this.#clock.after(IDLE_TIMEOUT_MS, () => {
      if (this.#sessions.get(key) === session) this.#forget(key);
    });
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
  }

  #forget(key: string): void {
    const session = this.#sessions.get(key);
    if (session === undefined) return;
    this.#sessions.delete(key);
    session.cancelIdle();
    session.socket.close();
  }
}

function typeOf(address: string): 'udp4' | 'udp6' {
  return address.includes(':') ? 'udp6' : 'udp4';
}
