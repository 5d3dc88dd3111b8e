import { spawn } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  watch,
  writeFileSync,
  type FSWatcher,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Cancel, Clock, Logger } from '@naru/component';
import { messageOf, RuntimeError } from '../../errors.ts';
import type { Attachment, ContainerEventType, ContainerStatus, Mount } from '../runtime-service.ts';
import { endInput, openInput, readOutput, resizeTerminal, type AttachmentOptions } from './attachment.ts';
import { readExit, readJson, readStarted, runScript, writeJson, type ContainerRecord } from './container-record.ts';
import { LogPump } from './log-pump.ts';
import { isAlive, killLeftovers, signalProcess, type ProcessIdentity } from './proc-stat.ts';
import { imageDefaults, resolveProgram } from './process-images.ts';

const shimPath = join(import.meta.dirname, 'shim.sh');
/** How long the shim may take to start the program: it forks a few times on a machine that may be busy. */
const START_TIMEOUT_MS = 10_000;
/** Reads of the folder that follow a change are put together for this long. */
const SETTLE_MS = 5;
/** How long the shim may take to write the exit status after the process has gone, and to drain the output after that. */
const EXIT_TIMEOUT_MS = 2_000;
/** How often output is looked for where no change was noticed. */
const ATTACH_POLL_MS = 250;
/** What the exit status says when nobody could read it, as upstream. */
const UNKNOWN_EXIT_CODE = 137;
const START_FAILED_EXIT_CODE = 128;

export interface ProcessContainerOptions {
  readonly folder: string;
  readonly record: ContainerRecord;
  /** PATH for the shim's own tools. */
  readonly path: string;
  readonly bootId: string;
  /** Path of script(1), which makes terminals; containers get none without. */
  readonly terminal?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onEvent: (type: ContainerEventType) => void;
}

interface Exit {
  readonly exitCode: number;
  readonly at: number;
  readonly reason: string;
  readonly message: string;
}

/** One container of the process runtime: its folder, its shim's traces in it, its log. */
export class ProcessContainer implements Disposable {
  readonly folder: string;
  #record: ContainerRecord;
  readonly #options: ProcessContainerOptions;
  readonly #pump: LogPump;
  #started: { readonly identity: ProcessIdentity; readonly at: number } | undefined;
  #exit: Exit | undefined;
  #goneSince: number | undefined;
  #logEnded = false;
  #watcher: FSWatcher | undefined;
  #cancelCheck: Cancel | undefined;
  #checkDue = 0;
  #waiters: (() => void)[] = [];

  constructor(options: ProcessContainerOptions) {
    this.#options = options;
    this.#record = options.record;
    this.folder = options.folder;
    this.#pump = new LogPump({ folder: options.folder, logPath: options.record.logPath });
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  get isRunning(): boolean {
    return this.#started !== undefined && this.#exit === undefined;
  }

  /** A new container's folder: its root with the mounts as links, and its record. Nothing runs yet. */
  static prepare(folder: string, record: ContainerRecord): void {
    const root = join(folder, 'root');
    mkdirSync(root, { recursive: true, mode: 0o755 });
    // Outer mounts first, so that inner ones lie inside them, as they do upstream.
    const mounts = [...record.config.mounts].sort((a, b) => a.containerPath.length - b.containerPath.length);
    for (const mount of mounts) link(root, mount);
    mkdirSync(record.cwd, { recursive: true });
    writeJson(join(folder, 'container.json'), record);
  }

  static load(folder: string, options: Omit<ProcessContainerOptions, 'folder' | 'record'>): ProcessContainer {
    const record = readJson(join(folder, 'container.json')) as ContainerRecord;
    return new ProcessContainer({ ...options, folder, record });
  }

  /** Takes up a container from before this kubelet: reads how it fares and, if it still runs, watches it. */
  async adopt(): Promise<void> {
    const { failure, bootId } = this.#record;
    if (failure !== undefined) this.#exit = startFailure(failure);
    else if (bootId !== undefined) {
      // The kubelet may have died between starting the shim and the program's first sign of life.
      const deadline = this.#options.clock.monotonic() + (bootId === this.#options.bootId ? 1000 : 0);
      while ((this.#started = readStarted(this.folder)) === undefined && this.#options.clock.monotonic() < deadline)
        await this.#options.clock.sleep(10);
      if (this.#started === undefined) this.#exit = this.#unknownExit();
      else this.#watch();
      this.check();
    }
  }

  async start(): Promise<void> {
    if (this.#record.bootId !== undefined)
      throw new RuntimeError('failed-precondition', 'container was started before');
    const { config, env, cwd } = this.#record;
    try {
      const root = join(this.folder, 'root');
      const [program = '', ...rest] = this.#argv();
      const file = resolveProgram(program, { root, cwd, path: env['PATH'] ?? '' });
      writeFileSync(join(this.folder, 'run'), runScript(this.#record, [file, ...rest]), { mode: 0o600 });
      this.#update({ bootId: this.#options.bootId });
      this.#watch();
      await this.#spawnShim();
    } catch (error) {
      const failure = { message: messageOf(error), at: this.#options.clock.now() };
      this.#update({ failure });
      this.#exit = startFailure(failure);
      this.#unwatch();
      this.#options.onEvent('CONTAINER_STOPPED_EVENT');
      throw new RuntimeError(
        'start-failed',
        `failed to start container "${config.metadata.name}": ${failure.message}`,
        {
          cause: error,
        },
      );
    }
    this.#options.onEvent('CONTAINER_STARTED_EVENT');
    this.check();
  }

  /** Looks at the folder and the process: moves output, notices the end. Cheap; called on changes and now and then. */
  check(): void {
    if (this.#started === undefined) return;
    if (this.#exit === undefined) this.#checkExit();
    this.#pumpLog();
  }

  /** See RuntimeService.stopContainer. */
  async stop(timeoutSeconds: number): Promise<void> {
    if (this.#started === undefined || this.#exit !== undefined) return;
    const signal = (this.#record.config.stopSignal ?? 'SIGTERM') as NodeJS.Signals;
    signalProcess(this.#started.identity, timeoutSeconds > 0 ? signal : 'SIGKILL');
    if (await this.#exited(timeoutSeconds * 1000)) return;
    this.#killAll();
    await this.#exited(EXIT_TIMEOUT_MS * 2);
  }

  /** Kills what may be left and deletes the folder. The log stays. */
  remove(): void {
    if (this.isRunning) this.#killAll();
    if (this.#started !== undefined && !this.#logEnded) while (this.#pump.pump() === 'more');
    this[Symbol.dispose]();
    // The shim of a killed program may still write its last files.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 5 });
  }

  /** See RuntimeService.attach. */
  attach(wanted: { readonly stdin: boolean }): Attachment {
    const { config } = this.#record;
    const options: AttachmentOptions = {
      folder: this.folder,
      stdinOnce: config.stdinOnce === true,
      changed: async () => await this.#changed(ATTACH_POLL_MS),
      isRunning: () => this.isRunning,
    };
    return {
      stdin: wanted.stdin && config.stdin === true ? openInput(options) : undefined,
      output: (stream, signal) => readOutput(stream, signal, options),
      resize: (size) => {
        if (config.tty === true) resizeTerminal(this.folder, size);
      },
    };
  }

  reopenLog(): void {
    this.check();
    this.#pump.reopen();
  }

  status(): ContainerStatus {
    const { config, id, podSandboxId, createdAt, logPath } = this.#record;
    const exit = this.#exit;
    return {
      id,
      podSandboxId,
      metadata: config.metadata,
      state:
        exit !== undefined
          ? 'CONTAINER_EXITED'
          : this.#started !== undefined
            ? 'CONTAINER_RUNNING'
            : 'CONTAINER_CREATED',
      createdAt,
      startedAt: this.#started?.at ?? 0,
      finishedAt: exit?.at ?? 0,
      exitCode: exit?.exitCode ?? 0,
      image: config.image,
      imageRef: config.image,
      reason: exit?.reason ?? '',
      message: exit?.message ?? '',
      labels: config.labels,
      annotations: config.annotations,
      logPath,
    };
  }

  /** Lets go of the container; it runs on. */
  [Symbol.dispose](): void {
    this.#unwatch();
    this.#pump.close();
  }

  #argv(): readonly string[] {
    const { config } = this.#record;
    const { entrypoint } = imageDefaults(config.image);
    const argv = [...(config.command.length > 0 ? config.command : entrypoint), ...config.args];
    if (config.command.length === 0 && entrypoint.length === 0)
      throw new RuntimeError('start-failed', 'no command specified');
    return argv;
  }

  async #spawnShim(): Promise<void> {
    const { clock, path } = this.#options;
    const { stdin, tty } = this.#record.config;
    const argv = [
      shimPath,
      this.folder,
      stdin === true ? 'stdin' : '',
      tty === true ? (this.#options.terminal ?? '') : '',
    ];
    const shim = spawn('/bin/sh', argv, {
      detached: true,
      stdio: 'ignore',
      cwd: '/',
      env: { PATH: path },
    });
    let failed: string | undefined;
    shim.once('error', (error) => (failed = error.message));
    shim.once('exit', (code) => {
      if (code !== 0) failed ??= `the shim ended with ${code}`;
      this.#scheduleCheck();
    });
    shim.unref();
    const deadline = clock.monotonic() + START_TIMEOUT_MS;
    for (;;) {
      // In this order: a program that is over already has left both, its first sign of life before its exit status.
      const exit = readExit(this.folder);
      this.#started = readStarted(this.folder);
      if (this.#started !== undefined) return;
      // The program cannot run, so its shell has ended before it.
      if (failed !== undefined || exit !== undefined)
        throw new RuntimeError('start-failed', failed ?? `exit status ${exit?.exitCode}`);
      if (clock.monotonic() > deadline) throw new RuntimeError('start-failed', 'timed out');
      await this.#changed(20);
    }
  }

  /** Waits for the next change of the folder, at most `ms`. */
  async #changed(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#waiters.push(() => woken.abort());
    await this.#options.clock.sleep(ms, { signal: woken.signal }).catch(() => undefined);
  }

  async #exited(ms: number): Promise<boolean> {
    const { clock } = this.#options;
    const deadline = clock.monotonic() + ms;
    for (;;) {
      this.check();
      if (this.#exit !== undefined) return true;
      const left = deadline - clock.monotonic();
      if (left <= 0) return false;
      // Changes of the folder wake it; the limit is for a shim that was killed and so writes nothing.
      await this.#changed(Math.min(left, 500));
    }
  }

  #checkExit(): void {
    const started = this.#started;
    if (started === undefined) return;
    const exit = readExit(this.folder);
    if (exit !== undefined) {
      this.#ended({ ...exit, reason: exit.exitCode === 0 ? 'Completed' : 'Error', message: '' });
      return;
    }
    const sameBoot = this.#record.bootId === this.#options.bootId;
    if (sameBoot && isAlive(started.identity)) return;
    // The shim writes the status right after the process ends; if it does not, it was killed too.
    const now = this.#options.clock.monotonic();
    this.#goneSince ??= now;
    if (sameBoot && now - this.#goneSince < EXIT_TIMEOUT_MS) this.#scheduleCheck(100);
    else this.#ended(this.#unknownExit());
  }

  #ended(exit: Exit): void {
    this.#exit = exit;
    // As with the end of a PID namespace's init: nothing of the container outlives its main process.
    this.#killAll();
    this.#options.onEvent('CONTAINER_STOPPED_EVENT');
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #killAll(): void {
    if (this.#started === undefined || this.#record.bootId !== this.#options.bootId) return;
    killLeftovers(this.#started.identity, `NARU_ROOT=${join(this.folder, 'root')}`);
    if (this.#record.config.stdin === true) endInput(this.folder);
  }

  #pumpLog(): void {
    if (this.#logEnded) return;
    try {
      const result = this.#pump.pump();
      if (result === 'more') this.#scheduleCheck();
      const exit = this.#exit;
      // A shim that was killed never says that all is drained.
      const overdue = exit !== undefined && this.#options.clock.now() - exit.at > EXIT_TIMEOUT_MS;
      if (result === 'ended' || (result === 'idle' && overdue)) {
        this.#logEnded = true;
        this.#unwatch();
        this.#pump.close();
      } else if (exit !== undefined) this.#scheduleCheck(EXIT_TIMEOUT_MS);
    } catch (error) {
      this.#options.logger.error({ err: error, containerId: this.#record.id }, 'cannot write container log');
    }
  }

  #unknownExit(): Exit {
    return {
      exitCode: UNKNOWN_EXIT_CODE,
      at: this.#options.clock.now(),
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was terminated',
    };
  }

  #update(change: Partial<ContainerRecord>): void {
    this.#record = { ...this.#record, ...change };
    writeJson(join(this.folder, 'container.json'), this.#record);
  }

  #watch(): void {
    this.#watcher = watch(this.folder, { persistent: false }, () => this.#scheduleCheck());
    this.#watcher.on('error', () => this.#unwatch());
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#cancelCheck?.();
    this.#cancelCheck = undefined;
  }

  #scheduleCheck(ms = SETTLE_MS): void {
    // The earlier one stands, so that a container that never stops writing does not put it off for ever.
    const due = this.#options.clock.monotonic() + ms;
    if (this.#cancelCheck !== undefined && this.#checkDue <= due) return;
    this.#cancelCheck?.();
    this.#checkDue = due;
    this.#cancelCheck = this.#options.clock.after(ms, () => {
      this.#cancelCheck = undefined;
      this.check();
      for (const wake of this.#waiters.splice(0)) wake();
    });
  }
}

function startFailure(failure: { readonly message: string; readonly at: number }): Exit {
  return { exitCode: START_FAILED_EXIT_CODE, at: failure.at, reason: 'StartError', message: failure.message };
}

/** Makes a mount appear at its path inside the root, as a symbolic link. Never deletes what a volume holds. */
function link(root: string, mount: Mount): void {
  const path = join(root, mount.containerPath);
  if (path === join(root, '/')) throw new RuntimeError('invalid-argument', 'cannot mount over the root folder');
  mkdirSync(dirname(path), { recursive: true });
  const there = lstatSync(path, { throwIfNoEntry: false });
  // A link is of a container before this one, whose volume holds it; an empty folder is a mount point.
  if (there?.isSymbolicLink() === true) unlinkSync(path);
  else if (there?.isDirectory() === true && readdirSync(path).length === 0) rmdirSync(path);
  else if (there !== undefined)
    throw new RuntimeError('invalid-argument', `cannot mount at ${mount.containerPath}: the volume around it has it`);
  symlinkSync(mount.hostPath, path);
}
