import type { Backend } from '../plan/listener-plan.ts';

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
  /** Several processes may have the address; the kernel spreads connections over them. */
  readonly reusePort: boolean;
}

/** One address of a Service, of whatever protocol. Opened once. */
export interface ServiceSocket {
  readonly connections: number;
  /** At once: what is new goes to these only. */
  setBackends(backends: readonly Backend[], affinityMs: number | undefined): void;
  /** Resolves with the port; rejects when the address cannot be had. */
  listen(address: SocketAddress): Promise<number>;
  /** Stops to listen, at once; what is under way goes on. */
  close(): void;
  /** Ends what is under way, too. */
  destroy(): void;
}
