import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Undo } from './undo.ts';

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Why members cannot have networks of their own here; undefined if they can. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const [program, args] of [
    ['ip', ['-V']],
    ['nft', ['-v']],
  ] as const)
    try {
      execFileSync(program, args, { stdio: 'ignore' });
    } catch {
      return `${program} is missing`;
    }
  return undefined;
}

export interface Host {
  readonly address: string;
  readonly namespace: string;
}

export type Direction = 'both' | 'in' | 'out';

/** What a host's packets suffer. */
export interface LinkFault {
  /** Hosts whose packets do not come in, or to whom none go out. */
  readonly cut?: readonly { readonly address: string; readonly direction: Direction }[];
  /** How many of 100 packets from other members are lost. */
  readonly lossPercent?: number;
  /** Bytes a second that it can send. */
  readonly bytesPerSecond?: number;
}

/**
 * A bridge on which every member has a network namespace of its own, and this process an address: no routes lead
 * anywhere else. Faults are nftables rules and token buckets inside of the namespaces.
 */
export class Network {
  readonly hosts: Host[] = [];
  readonly gateway: string;
  readonly #subnet: string;
  readonly #undo: Undo;

  constructor(undo: Undo) {
    this.#undo = undo;
    sweep();
    // 198.18.0.0/15 is for tests of networks (RFC 2544).
    const free = Array.from({ length: 250 }, (_, i) => `198.18.${(process.pid + i) % 250}`).find(
      (each) => !addressesInUse().includes(`${each}.254/`),
    );
    if (free === undefined) throw new Error('no free network');
    this.#subnet = free;
    this.gateway = `${free}.254`;
    // The bridge has a namespace of its own too: the machine's firewall has no say in what crosses it.
    this.#addNamespace(this.#hub);
    const link = `naru-rob-${process.pid.toString(36).slice(-6)}`;
    ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'outside', 'netns', this.#hub);
    ip('addr', 'add', `${this.gateway}/24`, 'dev', link);
    ip('link', 'set', link, 'up');
    ip('-n', this.#hub, 'link', 'add', 'bridge', 'type', 'bridge');
    ip('-n', this.#hub, 'link', 'set', 'bridge', 'up');
    ip('-n', this.#hub, 'link', 'set', 'outside', 'master', 'bridge', 'up');
  }

  get #hub(): string {
    return `naru-rob-${process.pid}-0`;
  }

  /** Interfaces go with their namespace. */
  #addNamespace(name: string): void {
    this.#undo.add(() => {
      if (existsSync(`/run/netns/${name}`)) ip('netns', 'del', name);
    });
    ip('netns', 'add', name);
  }

  addHost(): Host {
    const number = this.hosts.length + 1;
    const namespace = `naru-rob-${process.pid}-${number}`;
    const address = `${this.#subnet}.${number}`;
    this.#addNamespace(namespace);
    ip('-n', this.#hub, 'link', 'add', `m${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('-n', this.#hub, 'link', 'set', `m${number}`, 'master', 'bridge', 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    const host = { address, namespace };
    this.hosts.push(host);
    return host;
  }

  /** Replaces the faults of one host. */
  setFault(host: Host, fault: LinkFault): void {
    const { cut = [], lossPercent = 0, bytesPerSecond } = fault;
    const incoming = cut.filter((each) => each.direction !== 'out').map((each) => `ip saddr ${each.address} drop`);
    const outgoing = cut.filter((each) => each.direction !== 'in').map((each) => `ip daddr ${each.address} drop`);
    if (lossPercent > 0) incoming.push(`ip saddr != ${this.gateway} numgen random mod 100 < ${lossPercent} drop`);
    const rules = `
      table inet naru-rob-fault
      delete table inet naru-rob-fault
      table inet naru-rob-fault {
        chain in { type filter hook input priority 0; ${incoming.map((each) => `${each};`).join(' ')} }
        chain out { type filter hook output priority 0; ${outgoing.map((each) => `${each};`).join(' ')} }
      }`;
    execFileSync('ip', ['netns', 'exec', host.namespace, 'nft', '-f', '-'], { input: rules });
    const qdisc =
      bytesPerSecond === undefined
        ? `tc qdisc del dev eth0 root 2>/dev/null || true`
        : `tc qdisc replace dev eth0 root tbf rate ${8 * bytesPerSecond}bit burst 4kb latency 500ms`;
    execFileSync('ip', ['netns', 'exec', host.namespace, 'sh', '-c', qdisc], { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  heal(): void {
    for (const host of this.hosts) this.setFault(host, {});
  }
}

function addressesInUse(): string {
  return execFileSync('ip', ['-o', 'addr'], { encoding: 'utf8' });
}

/** Removes what a run left behind that was killed with SIGKILL. */
function sweep(): void {
  const text = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  for (const [namespace, pid] of text.matchAll(/naru-rob-(\d+)-\d+/gu))
    if (!existsSync(`/proc/${pid}`)) ip('netns', 'del', namespace);
}
