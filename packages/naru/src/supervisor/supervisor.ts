import { spawn } from 'node:child_process';
import { copyFile, mkdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@naru/component';
import { files, type ProcessSpec, type Topology } from '../topology.ts';
import type { ComponentCommand } from './component-command.ts';
import { HealthProbe } from './health.ts';
import { ManagedProcess, type ProcessStatus } from './managed-process.ts';
import { killLeftovers, processStartTime, writeProcessTable } from './process-table.ts';

export interface SupervisorOptions {
  readonly topology: Topology;
  readonly command: ComponentCommand;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

export interface ClusterStatus {
  readonly supervisorPid: number;
  readonly ready: boolean;
  /** Seconds from start until everything was ready, once it was. */
  readonly readySeconds?: number;
  readonly readyNodes: number;
  readonly processes: readonly ProcessStatus[];
}

/** What a request to the supervisor can be refused for. */
export class UnknownProcessError extends Error {
  override readonly name = 'UnknownProcessError';
}

const HEALTH_POLL_MS = 100;
const STOP_GRACE_MS = 10_000;
const CLEANUP_TIMEOUT_MS = 40_000;
const LOG_BYTES_MAX = 16 * 1024 * 1024;
const LOG_CHECK_MS = 30_000;

/** The order in which roles are stopped; each waits for the one before. */
const stopOrder: readonly (readonly ProcessSpec['role'][])[] = [
  ['scheduler', 'controller-manager'],
  ['kubelet', 'kube-proxy'],
  ['apiserver'],
  ['kv'],
];

/** Runs a cluster's processes on this machine. */
export class Supervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #processes: ReadonlyMap<string, ManagedProcess>;
  readonly #stop = new AbortController();
  #probe: HealthProbe | undefined;
  #readyNodes = 0;
  #readySeconds: number | undefined;
  #tableWrite: Promise<void> = Promise.resolve();
  #loops: Promise<unknown>[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { topology, command, env, logger } = options;
    this.#processes = new Map(
      topology.processes.map((spec) => [
        spec.name,
        new ManagedProcess({
          spec,
          command: command(spec.package),
          env,
          cwd: topology.options.dataDir,
          logFile: this.logFile(spec.name),
          logger,
          onChange: () => this.#recordProcesses(),
        }),
      ]),
    );
  }

  /** Starts every process; they wait for each other by themselves. `status().ready` tells when all serve. */
  async start(): Promise<void> {
    const { dataDir } = this.#options.topology.options;
    await mkdir(join(dataDir, files.logs), { recursive: true, mode: 0o700 });
    const leftovers = await killLeftovers(join(dataDir, files.processes));
    if (leftovers.length > 0) this.#options.logger.warn({ processes: leftovers }, 'ended leftover processes');
    this.#probe = await HealthProbe.open(this.#options.topology);
    const started = performance.now();
    for (const each of this.#processes.values()) each.start();
    this.#loops = [this.#watchHealth(this.#probe, started), this.#boundLogs()];
  }

  logFile(name: string): string {
    return join(this.#options.topology.options.dataDir, files.logs, `${name}.log`);
  }

  status(): ClusterStatus {
    return {
      supervisorPid: process.pid,
      ready: this.#readySeconds !== undefined,
      ...(this.#readySeconds === undefined ? {} : { readySeconds: this.#readySeconds }),
      readyNodes: this.#readyNodes,
      processes: [...this.#processes.values()].map((each) => each.status()),
    };
  }

  /** SIGKILL. A node's name stands for its kubelet, kube-proxy and pods, as if the machine lost power. @returns the names */
  async kill(name: string): Promise<string[]> {
    const chosen = await this.#resolve(name);
    await Promise.all(chosen.map(async (each) => await each.kill()));
    const kubelet = chosen.find(({ spec }) => spec.role === 'kubelet');
    if (kubelet !== undefined && kubelet.spec.node === name) await this.#cleanUpNode(kubelet.spec, 0);
    return chosen.map(({ spec }) => spec.name);
  }

  async pause(name: string): Promise<string[]> {
    return (await this.#resolve(name)).filter((each) => each.pause()).map(({ spec }) => spec.name);
  }

  async resume(name: string): Promise<string[]> {
    return (await this.#resolve(name)).filter((each) => each.resume()).map(({ spec }) => spec.name);
  }

  /** Stops it in order if it runs, then starts it. */
  async restart(name: string): Promise<string[]> {
    const chosen = await this.#resolve(name);
    for (const each of chosen) {
      await each.stop(STOP_GRACE_MS);
      each.start();
    }
    return chosen.map(({ spec }) => spec.name);
  }

  /** Stops all in order: what uses the API before the API, the API before the store; then the pods' processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
    for (const roles of stopOrder) {
      const group = [...this.#processes.values()].filter(({ spec }) => roles.includes(spec.role));
      await Promise.all(
        group.map(async (each) => {
          await each.stop(STOP_GRACE_MS);
          if (each.spec.role === 'kubelet') await this.#cleanUpNode(each.spec, undefined);
        }),
      );
    }
    await this.#probe?.[Symbol.asyncDispose]();
    await this.#tableWrite;
  }

  async #resolve(name: string): Promise<ManagedProcess[]> {
    const target = name === 'kv-leader' ? await this.#storeLeader() : name;
    const chosen = [...this.#processes.values()].filter(({ spec }) => spec.name === target || spec.node === target);
    if (chosen.length === 0) throw new UnknownProcessError(`no process is called ${name}`);
    return chosen;
  }

  async #storeLeader(): Promise<string> {
    const members = (await this.#probe?.storeStatus()) ?? [];
    const leader = members.filter((each) => each.leader).toSorted((a, b) => b.term - a.term)[0];
    if (leader === undefined) throw new UnknownProcessError('the store has no leader now');
    return leader.member;
  }

  /** Ends what a node's pods left running, by the kubelet's own record of them. */
  async #cleanUpNode(spec: ProcessSpec, graceSeconds: number | undefined): Promise<void> {
    const { command, env } = this.#options;
    const [program, ...first] = command(spec.package);
    const grace = graceSeconds === undefined ? [] : [`--cleanup-grace-period=${graceSeconds}s`];
    const child = spawn(program, [...first, ...spec.args, '--cleanup', ...grace], { env, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), CLEANUP_TIMEOUT_MS);
    const code = await new Promise<number | null>((resolve) => {
      child.once('error', () => resolve(null));
      child.once('exit', resolve);
    });
    clearTimeout(timer);
    if (code !== 0) this.#options.logger.error({ node: spec.node, code }, 'pods of the node were not cleaned up');
  }

  async #watchHealth(probe: HealthProbe, started: number): Promise<void> {
    const nodes = this.#options.topology.options.nodes;
    while (!this.#stop.signal.aborted) {
      const starting = [...this.#processes.values()].filter((each) => each.state === 'starting');
      await Promise.all(
        starting.map(async (each) => {
          if (await probe.isHealthy(each.spec)) each.markRunning();
        }),
      );
      const running = [...this.#processes.values()].every((each) => each.state === 'running');
      if (this.#readySeconds === undefined && running) {
        this.#readyNodes = (await probe.readyNodes()).length;
        if (this.#readyNodes >= nodes) this.#readySeconds = (performance.now() - started) / 1000;
      }
      await delay(HEALTH_POLL_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  /** Keeps each log file and one older copy of it below the limit; the processes append, so truncation is safe. */
  async #boundLogs(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      for (const name of this.#processes.keys()) {
        const path = this.logFile(name);
        const { size } = await stat(path).catch(() => ({ size: 0 }));
        if (size <= LOG_BYTES_MAX) continue;
        await copyFile(path, `${path}.1`);
        await truncate(path);
      }
      await delay(LOG_CHECK_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  #recordProcesses(): void {
    const path = join(this.#options.topology.options.dataDir, files.processes);
    this.#tableWrite = this.#tableWrite
      .then(async () => {
        const alive = [...this.#processes.values()].filter((each) => each.pid !== undefined);
        const records = alive.map(async ({ spec, pid = 0 }) => {
          return { name: spec.name, pid, startTime: (await processStartTime(pid)) ?? '' };
        });
        await writeProcessTable(path, await Promise.all(records));
      })
      .catch((error: unknown) => this.#options.logger.error({ err: error }, 'process table was not written'));
  }
}
