import { backoffMs, type Cancel, type Clock, type Logger } from '@naru/component';
import { hostPort, type ListenerPlan } from '../plan/listener-plan.ts';
import type { ServiceSocket } from './service-socket.ts';
import { TcpService } from './tcp-service.ts';
import { UdpService } from './udp-service.ts';

const DRAIN_TIMEOUT_MS = 5000;
const DRAIN_POLL_MS = 20;
const RETRY = { baseMs: 1000, maxMs: 30_000 } as const;

export interface UserspaceProxierOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** An address could not be had; it is tried again later. Called once per run of failures. */
  readonly onBindFailure: (owner: string, plan: ListenerPlan, error: Error) => void;
}

interface Listener {
  readonly owner: string;
  plan: ListenerPlan;
  socket: ServiceSocket | undefined;
  failures: number;
  cancelRetry: Cancel | undefined;
}

/**
 * The userspace mode: a socket of this process for each address of each Service, open while there are backends, so that
 * the kernel refuses connections where there are none.
 */
export class UserspaceProxier implements AsyncDisposable {
  readonly #options: UserspaceProxierOptions;
  readonly #listeners = new Map<string, Listener>();
  readonly #keysByOwner = new Map<string, ReadonlySet<string>>();
  /** Closed for new clients, with old ones still served. */
  readonly #draining = new Set<ServiceSocket>();
  #stopped = false;

  constructor(options: UserspaceProxierOptions) {
    this.#options = options;
  }

  /** Addresses that are open. */
  get openCount(): number {
    return this.#listeners.values().reduce((sum, { socket }) => sum + (socket === undefined ? 0 : 1), 0);
  }

  /** Makes these the listeners of the owner, a Service; none when it is gone. Backends count at once. */
  apply(owner: string, plans: readonly ListenerPlan[]): void {
    if (this.#stopped) return;
    const keys = new Set(plans.map(({ key }) => key));
    for (const key of this.#keysByOwner.get(owner) ?? []) {
      const listener = this.#listeners.get(key);
      // Another Service may have the address by now.
      if (keys.has(key) || listener?.owner !== owner) continue;
      this.#close(listener);
      this.#listeners.delete(key);
    }
    if (keys.size === 0) this.#keysByOwner.delete(owner);
    else this.#keysByOwner.set(owner, keys);
    for (const plan of plans) this.#set(owner, plan);
  }

  /** Closes all addresses, and waits for the clients to end, but not for long. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    for (const listener of this.#listeners.values()) this.#close(listener);
    this.#listeners.clear();
    const { clock } = this.#options;
    const endMs = clock.monotonic() + DRAIN_TIMEOUT_MS;
    while (this.#draining.values().some(({ connections }) => connections > 0) && clock.monotonic() < endMs)
      await clock.sleep(DRAIN_POLL_MS);
    for (const socket of this.#draining) socket.destroy();
    this.#draining.clear();
  }

  #set(owner: string, plan: ListenerPlan): void {
    let listener = this.#listeners.get(plan.key);
    if (listener !== undefined && listener.owner !== owner) {
      this.#close(listener);
      listener = undefined;
    }
    if (listener === undefined) {
      listener = { owner, plan, socket: undefined, failures: 0, cancelRetry: undefined };
      this.#listeners.set(plan.key, listener);
    }
    listener.plan = plan;
    if (plan.backends.length === 0) this.#close(listener);
    else if (listener.socket !== undefined) listener.socket.setBackends(plan.backends, plan.affinityMs);
    else if (listener.cancelRetry === undefined) this.#open(listener);
  }

  #open(listener: Listener): void {
    const { plan } = listener;
    const socket = plan.protocol === 'TCP' ? new TcpService(plan, this.#options) : new UdpService(plan, this.#options);
    socket.setBackends(plan.backends, plan.affinityMs);
    listener.socket = socket;
    const { address, port } = plan;
    socket.listen({ address, port, reusePort: plan.kind === 'clusterIP' }).then(
      () => {
        listener.failures = 0;
        // Closed while it was being opened: the address came after the close.
        if (listener.socket !== socket) socket.close();
        else
          this.#options.logger.info(
            { host: address, port, protocol: plan.protocol, servicePort: plan.servicePort },
            'listening',
          );
      },
      (error: Error) => {
        if (listener.socket === socket) this.#failed(listener, error);
      },
    );
  }

  #failed(listener: Listener, error: Error): void {
    const { clock, logger, onBindFailure } = this.#options;
    const { plan, owner } = listener;
    listener.socket = undefined;
    const delayMs = backoffMs(listener.failures++, RETRY);
    logger[listener.failures === 1 ? 'error' : 'debug'](
      { err: error, servicePort: plan.servicePort, address: hostPort(plan.address, plan.port), delayMs },
      'cannot open port, trying again later',
    );
    if (listener.failures === 1) onBindFailure(owner, plan, error);
    listener.cancelRetry = clock.after(delayMs, () => {
      listener.cancelRetry = undefined;
      if (this.#listeners.get(plan.key) === listener && listener.plan.backends.length > 0) this.#open(listener);
    });
  }

  #close(listener: Listener): void {
    listener.cancelRetry?.();
    listener.cancelRetry = undefined;
    const { socket } = listener;
    if (socket === undefined) return;
    listener.socket = undefined;
    socket.close();
    for (const each of this.#draining) if (each.connections === 0) this.#draining.delete(each);
    if (socket.connections > 0) this.#draining.add(socket);
  }
}
