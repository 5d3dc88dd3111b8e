import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, type Logger } from '@naru/component';
import type { ProcessSpec } from '../topology.ts';

/** `exited` waits for its restart; `killed` and `stopped` stay so until asked to start. */
export type ProcessState = 'starting' | 'running' | 'paused' | 'exited' | 'killed' | 'stopped';

export interface ProcessStatus {
  readonly name: string;
  readonly role: string;
  readonly node?: string;
  readonly pid?: number;
  readonly state: ProcessState;
  readonly restarts: number;
  readonly exit?: string;
  readonly startedAt?: string;
}

export interface ManagedProcessOptions {
  readonly spec: ProcessSpec;
  /** Program and its first arguments; the spec's follow. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly logFile: string;
  readonly logger: Logger;
  /** Called after every change of state. */
  readonly onChange: () => void;
}

const restartBackoff = { baseMs: 200, maxMs: 10_000 } as const;
/** A process that ran this long starts over with the shortest backoff. */
const STABLE_MS = 30_000;

/** One process of the cluster: started, restarted with backoff when it dies unasked, killed, paused, stopped. */
export class ManagedProcess {
  readonly spec: ProcessSpec;
  readonly #options: ManagedProcessOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #state: ProcessState = 'stopped';
  #restarts = 0;
  #failures = 0;
  #startedAt = 0;
  #exit: string | undefined;
  #retry = new AbortController();

  constructor(options: ManagedProcessOptions) {
    this.#options = options;
    this.spec = options.spec;
  }

  get state(): ProcessState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  status(): ProcessStatus {
    return {
      name: this.spec.name,
      role: this.spec.role,
      ...(this.spec.node === undefined ? {} : { node: this.spec.node }),
      ...(this.pid === undefined ? {} : { pid: this.pid }),
      state: this.#state,
      restarts: this.#restarts,
      ...(this.#exit === undefined ? {} : { exit: this.#exit }),
      ...(this.#startedAt === 0 ? {} : { startedAt: new Date(this.#startedAt).toISOString() }),
    };
  }

  /** Starts it unless it runs; also ends a wait for the next restart. */
  start(): void {
    if (this.#child !== undefined) return;
    this.#retry.abort();
    this.#retry = new AbortController();
    const log = openSync(this.#options.logFile, 'a');
    const [program = '', ...prefix] = this.#options.command;
    // Its own process group: a Ctrl-C in the terminal reaches the supervisor only, which stops all in order.
    const child = spawn(program, [...prefix, ...this.spec.args], {
      cwd: this.#options.cwd,
      env: this.#options.env,
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#startedAt = Date.now();
    this.#setState('starting');
    this.#exited = new Promise((resolve) => {
      const ended = (exit: string): void => {
        if (this.#child !== child) return;
        this.#child = undefined;
        this.#exit = exit;
        resolve();
        this.#afterExit();
      };
      child.once('exit', (code, signal) => ended(signal ?? `exit status ${code}`));
      child.once('error', (error) => ended(error.message));
    });
  }

  /** Called when its health check answered. */
  markRunning(): void {
    if (this.#state === 'starting') this.#setState('running');
  }

  /** SIGKILL; it stays dead until `start`. */
  async kill(): Promise<void> {
    await this.#end('killed', 'SIGKILL');
  }

  /** SIGTERM, then SIGKILL after `graceMs`; it stays down until `start`. */
  async stop(graceMs: number): Promise<void> {
    const over = new AbortController();
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), graceMs);
    over.signal.addEventListener('abort', () => clearTimeout(timer));
    // A paused process would not see the signal.
    this.#child?.kill('SIGCONT');
    await this.#end('stopped', 'SIGTERM').finally(() => over.abort());
  }

  /** @returns whether it ran */
  pause(): boolean {
    if (this.#child?.kill('SIGSTOP') !== true) return false;
    this.#setState('paused');
    return true;
  }

  /** @returns whether it was paused */
  resume(): boolean {
    if (this.#state !== 'paused' || this.#child?.kill('SIGCONT') !== true) return false;
    this.#setState('running');
    return true;
  }

  async #end(state: 'killed' | 'stopped', signal: NodeJS.Signals): Promise<void> {
    this.#retry.abort();
    this.#setState(state);
    this.#child?.kill(signal);
    await this.#exited;
  }

  #afterExit(): void {
    if (this.#state === 'killed' || this.#state === 'stopped') {
      this.#options.onChange();
      return;
    }
    if (Date.now() - this.#startedAt > STABLE_MS) this.#failures = 0;
    const waitMs = backoffMs(this.#failures++, restartBackoff);
    this.#options.logger.warn({ process: this.spec.name, exit: this.#exit, waitMs }, 'process ended, restarting');
    this.#setState('exited');
    delay(waitMs, undefined, { signal: this.#retry.signal }).then(
      () => {
        this.#restarts++;
        this.start();
      },
      () => undefined,
    );
  }

  #setState(state: ProcessState): void {
    this.#state = state;
    this.#options.onChange();
  }
}
