import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A single-member etcd from the PATH with an empty data folder, for comparisons with the real thing. */
export interface RealEtcd extends AsyncDisposable {
  readonly clientUrl: string;
  readonly process: ChildProcess;
}

/** A port that is free now; processes that look at the same time begin at different ones. */
async function freePort(range: {
  readonly from: number;
  readonly to: number;
  readonly except?: number;
}): Promise<number> {
  const count = range.to - range.from + 1;
  for (let i = 0; i < count; i++) {
    const port = range.from + ((process.pid * 2 + i) % count);
    if (port === range.except) continue;
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(true));
    });
    if (free) {
      await new Promise((resolve) => server.close(resolve));
      return port;
    }
  }
  throw new Error(`no free port from ${range.from} to ${range.to}`);
}

/**
 * Starts etcd and waits until it is healthy.
 * @throws Error that names what is missing when there is no `etcd` on the PATH
 */
export async function startRealEtcd(options: {
  readonly ports: { readonly from: number; readonly to: number };
  readonly args?: readonly string[];
}): Promise<RealEtcd> {
  const dataDir = await mkdtemp(join(tmpdir(), 'naru-etcd-'));
  const port = await freePort(options.ports);
  const peerPort = await freePort({ ...options.ports, except: port });
  const clientUrl = `http://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const flags = {
    name: 'real',
    'data-dir': dataDir,
    'listen-client-urls': clientUrl,
    'advertise-client-urls': clientUrl,
    'listen-peer-urls': peerUrl,
    'initial-advertise-peer-urls': peerUrl,
    'initial-cluster': `real=${peerUrl}`,
  };
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn('etcd', [...argv, ...(options.args ?? [])], { stdio: 'ignore' });
  // Should the test end without disposal, as by an error outside of its tests, nothing is left behind.
  const endWithParent = (): boolean => child.kill('SIGKILL');
  process.once('exit', endWithParent);
  child.once('exit', () => process.off('exit', endWithParent));
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = new Error('etcd is missing: install etcd-server', { cause: error });
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    await rm(dataDir, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    if (failure === undefined && child.exitCode !== null) failure = new Error(`etcd ended with ${child.exitCode}`);
    if (failure === undefined && tries > 200) failure = new Error('etcd is not healthy after 10 s');
    if (failure !== undefined) {
      await stop();
      throw failure;
    }
    const healthy = await fetch(`${clientUrl}/health`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (healthy) return { clientUrl, process: child, [Symbol.asyncDispose]: stop };
    await delay(50);
  }
}
