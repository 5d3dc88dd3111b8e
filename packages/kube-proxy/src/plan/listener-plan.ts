/** Where traffic for a Service can go: one ready endpoint's port. */
export interface Backend {
  /** `address:port`. */
  readonly key: string;
  readonly address: string;
  readonly port: number;
}

/** One address and port that a Service is to be reached at, and the backends behind it: what a proxy mode makes true. */
export interface ListenerPlan {
  /** `TCP/127.11.0.1:80`. */
  readonly key: string;
  readonly kind: 'clusterIP' | 'nodePort';
  readonly protocol: 'TCP' | 'UDP';
  readonly address: string;
  readonly port: number;
  /** `namespace/name:port` as logs and events name it. */
  readonly servicePort: string;
  /** None: connections are refused. */
  readonly backends: readonly Backend[];
  /** How long a client keeps its backend; undefined: not at all. */
  readonly affinityMs: number | undefined;
}

export function listenerKey(protocol: string, address: string, port: number): string {
  return `${protocol}/${hostPort(address, port)}`;
}

/** `address:port`, an IPv6 address in brackets. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
