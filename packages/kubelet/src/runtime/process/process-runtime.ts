import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, normalize } from 'node:path';
import type { Clock, Logger } from '@naru/component';
import { messageOf, RuntimeError } from '../../errors.ts';
import {
  labels,
  type Attachment,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerStatus,
  type ExecProcess,
  type ExecSyncResponse,
  type LabelFilter,
  type PodNetwork,
  type PodSandbox,
  type PodSandboxConfig,
  type RuntimeService,
} from '../runtime-service.ts';
import { readJson, writeJson, type ContainerRecord, type SandboxRecord } from './container-record.ts';
import { startExec } from './exec-process.ts';
import { bootId } from './proc-stat.ts';
import { ProcessContainer } from './process-container.ts';
import { imageDefaults, resolveProgram } from './process-images.ts';

/** Output of an exec that is kept; the rest is dropped, as upstream does for probes. */
const EXEC_OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface ProcessRuntimeOptions {
  /** Holds `sandboxes/` and `containers/`. */
  readonly folder: string;
  readonly network: PodNetwork;
  readonly runtimeVersion: string;
  readonly nodeName: string;
  /** Address of pods with hostNetwork. */
  readonly nodeIP: string;
  /** PATH of containers that set none. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Containers as processes of the host. Everything that must outlive the kubelet is on disk or in the container's shim;
 * `start` takes it up again.
 */
export class ProcessRuntime implements RuntimeService {
  readonly version: { readonly runtimeName: string; readonly runtimeVersion: string };
  readonly #options: ProcessRuntimeOptions;
  readonly #sandboxesFolder: string;
  readonly #containersFolder: string;
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new Map<string, ProcessContainer>();
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  readonly #bootId = bootId();

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options;
    this.version = { runtimeName: 'process', runtimeVersion: options.runtimeVersion };
    this.#sandboxesFolder = join(options.folder, 'sandboxes');
    this.#containersFolder = join(options.folder, 'containers');
  }

  /** Reads the state on disk and takes up what runs. */
  async start(): Promise<void> {
    for (const folder of [this.#sandboxesFolder, this.#containersFolder]) mkdirSync(folder, { recursive: true });
    for (const file of readdirSync(this.#sandboxesFolder)) {
      if (!file.endsWith('.json')) continue;
      const record = readJson(join(this.#sandboxesFolder, file)) as SandboxRecord;
      this.#sandboxes.set(record.id, record);
    }
    for (const id of readdirSync(this.#containersFolder)) {
      const folder = join(this.#containersFolder, id);
      // Without a record it was being made or removed when the kubelet was killed; nothing of it runs.
      if (!existsSync(join(folder, 'container.json'))) rmSync(folder, { recursive: true, force: true });
      else this.#containers.set(id, ProcessContainer.load(folder, this.#containerOptions(id)));
    }
    await Promise.all([...this.#containers.values()].map(async (container) => await container.adopt()));
  }

  get sandboxIds(): ReadonlySet<string> {
    return new Set(this.#sandboxes.keys());
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    const id = randomBytes(32).toString('hex');
    const ip = config.hostNetwork ? this.#options.nodeIP : (await this.#options.network.setUpPod(id)).ip;
    this.#putSandbox({ id, config, createdAt: this.#options.clock.now(), ip, stopped: false });
    return id;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    const record = this.#sandboxes.get(podSandboxId);
    if (record === undefined) return;
    await Promise.all(this.#containersOf(podSandboxId).map(async (container) => await container.stop(0)));
    if (!record.stopped) this.#putSandbox({ ...record, stopped: true });
    await this.#options.network.tearDownPod(podSandboxId);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    await this.stopPodSandbox(podSandboxId);
    for (const container of this.#containersOf(podSandboxId)) await this.removeContainer(container.record.id);
    this.#sandboxes.delete(podSandboxId);
    rmSync(join(this.#sandboxesFolder, `${podSandboxId}.json`), { force: true });
  }

  async listPodSandbox(filter: LabelFilter = {}): Promise<readonly PodSandbox[]> {
    return [...this.#sandboxes.values()]
      .filter((record) => matches(record.config.labels, filter))
      .map(({ id, config, createdAt, ip, stopped }) => ({
        id,
        metadata: config.metadata,
        state: stopped ? 'SANDBOX_NOTREADY' : 'SANDBOX_READY',
        createdAt,
        labels: config.labels,
        annotations: config.annotations,
        ip: stopped ? '' : ip,
      }));
  }

  async createContainer(podSandboxId: string, config: ContainerConfig, sandbox: PodSandboxConfig): Promise<string> {
    const record = this.#sandboxes.get(podSandboxId);
    if (record === undefined || record.stopped)
      throw new RuntimeError('not-found', `sandbox ${podSandboxId} is not running`);
    const id = randomBytes(32).toString('hex');
    const folder = join(this.#containersFolder, id);
    const container: ContainerRecord = {
      id,
      podSandboxId,
      config,
      createdAt: this.#options.clock.now(),
      logPath: join(sandbox.logDirectory, config.logPath),
      env: this.#environment(config, { sandbox: record, root: join(folder, 'root') }),
      // normalize keeps `..` from leaving the root.
      cwd: join(folder, 'root', normalize(`/${config.workingDir}`)),
      podUid: sandbox.metadata.uid,
    };
    ProcessContainer.prepare(folder, container);
    this.#containers.set(
      id,
      new ProcessContainer({ ...this.#containerOptions(id, sandbox.metadata.uid), folder, record: container }),
    );
    this.#emit({ containerId: id, type: 'CONTAINER_CREATED_EVENT', podUid: sandbox.metadata.uid });
    return id;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#container(containerId).start();
  }

  async stopContainer(containerId: string, options: { readonly timeoutSeconds: number }): Promise<void> {
    await this.#containers.get(containerId)?.stop(options.timeoutSeconds);
  }

  async removeContainer(containerId: string): Promise<void> {
    const container = this.#containers.get(containerId);
    if (container === undefined) return;
    if (container.isRunning) await container.stop(0);
    container.remove();
    this.#containers.delete(containerId);
    this.#emit({ containerId, type: 'CONTAINER_DELETED_EVENT', podUid: container.record.podUid });
  }

  async listContainers(filter: LabelFilter = {}): Promise<readonly ContainerStatus[]> {
    const found = [...this.#containers.values()].filter(({ record }) => matches(record.config.labels, filter));
    for (const container of found) if (container.isRunning) container.check();
    return found.map((container) => container.status());
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    return this.#container(containerId).status();
  }

  async execSync(
    containerId: string,
    command: readonly string[],
    options: { readonly timeoutSeconds: number },
  ): Promise<ExecSyncResponse> {
    const { file, args, env, cwd } = this.#programOf(containerId, command);
    return await run(file, args, { env, cwd, timeoutMs: options.timeoutSeconds * 1000 });
  }

  async exec(
    containerId: string,
    command: readonly string[],
    options: { readonly tty: boolean },
  ): Promise<ExecProcess> {
    const { file, args, env, cwd, folder } = this.#programOf(containerId, command);
    return await startExec(file, args, { env, cwd, folder, terminal: options.tty ? this.#terminal() : undefined });
  }

  async attach(containerId: string, options: { readonly stdin: boolean }): Promise<Attachment> {
    const container = this.#container(containerId);
    if (!container.isRunning) throw new RuntimeError('failed-precondition', 'container is not running');
    return container.attach(options);
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    this.#container(containerId).reopenLog();
  }

  onContainerEvent(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Lets go of all containers; they run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#containers.values()) container[Symbol.dispose]();
    this.#listeners.clear();
  }

  #container(id: string): ProcessContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw new RuntimeError('not-found', `container ${id} not found`);
    return container;
  }

  #programOf(containerId: string, command: readonly string[]) {
    const { isRunning, record, folder } = this.#container(containerId);
    if (!isRunning) throw new RuntimeError('failed-precondition', 'container is not running');
    const { env, cwd } = record;
    const [program = '', ...args] = command;
    const file = resolveProgram(program, { root: join(folder, 'root'), cwd, path: env['PATH'] ?? '' });
    return { file, args, env, cwd, folder };
  }

  #terminal(): string {
    const found = this.#findTerminal();
    if (found === undefined)
      throw new RuntimeError('failed-precondition', 'a TTY needs the program "script" of util-linux on the node');
    return found;
  }

  #findTerminal(): string | undefined {
    try {
      return resolveProgram('script', { root: '/', cwd: '/', path: this.#options.path });
    } catch {
      return undefined;
    }
  }

  #containersOf(podSandboxId: string): readonly ProcessContainer[] {
    return [...this.#containers.values()].filter(({ record }) => record.podSandboxId === podSandboxId);
  }

  #containerOptions(id: string, podUid?: string) {
    const { path, clock, logger } = this.#options;
    return {
      path,
      clock,
      logger,
      bootId: this.#bootId,
      terminal: this.#findTerminal(),
      onEvent: (type: ContainerEvent['type']) =>
        this.#emit({ containerId: id, type, podUid: podUid ?? this.#containers.get(id)?.record.podUid ?? '' }),
    };
  }

  #environment(config: ContainerConfig, where: { readonly sandbox: SandboxRecord; readonly root: string }) {
    const { metadata, hostname } = where.sandbox.config;
    const env: Record<string, string> = { PATH: this.#options.path, HOSTNAME: hostname, POD_IP: where.sandbox.ip };
    const defaults = imageDefaults(config.image);
    if (defaults.entrypoint.length > 0)
      Object.assign(env, defaults.env, {
        POD_NAME: metadata.name,
        POD_NAMESPACE: metadata.namespace,
        NODE_NAME: this.#options.nodeName,
      });
    for (const { key, value } of config.envs) env[key] = value;
    env['NARU_ROOT'] = where.root;
    return env;
  }

  #putSandbox(record: SandboxRecord): void {
    writeJson(join(this.#sandboxesFolder, `${record.id}.json`), record);
    this.#sandboxes.set(record.id, record);
  }

  #emit(event: ContainerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function matches(have: Readonly<Record<string, string>>, { labelSelector }: LabelFilter): boolean {
  if (labelSelector === undefined) return true;
  return Object.entries(labelSelector).every(([key, value]) => have[key] === value);
}

/** Label selector of everything that belongs to a pod. */
export const podSelector = (uid: string): LabelFilter => ({ labelSelector: { [labels.podUid]: uid } });

async function run(
  file: string,
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string; readonly timeoutMs: number },
): Promise<ExecSyncResponse> {
  return await new Promise<ExecSyncResponse>((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const collect = (stream: NodeJS.ReadableStream): Buffer[] => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      stream.on('data', (chunk: Buffer) => {
        if (bytes < EXEC_OUTPUT_BYTES_MAX) chunks.push(chunk.subarray(0, EXEC_OUTPUT_BYTES_MAX - bytes));
        bytes += chunk.length;
      });
      return chunks;
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const killGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Gone by itself.
      }
    };
    const timer =
      options.timeoutMs > 0
        ? setTimeout(() => {
            killGroup();
            child.stdout.destroy();
            child.stderr.destroy();
            reject(new RuntimeError('deadline-exceeded', `command timed out after ${options.timeoutMs / 1000}s`));
          }, options.timeoutMs)
        : undefined;
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new RuntimeError('start-failed', messageOf(error), { cause: error }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const exitCode = code ?? (signal === null ? 1 : 137);
      resolve({ stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), exitCode });
    });
  });
}
