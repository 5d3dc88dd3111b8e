import { setFlagsFromString } from 'node:v8';
import { collectGarbage } from './collect-garbage.ts';
import { createLogger, logLevels, type Logger, type LogLevel } from './logger.ts';
import { helpText, parseFlags, UsageError, type FlagTable, type FlagValues } from './flags.ts';

/** What a running component looks like to `runMain`. */
export interface Component extends AsyncDisposable {
  /** Rejects when the component cannot go on; never resolves before disposal otherwise. Omit if it cannot fail by itself. */
  readonly failed?: Promise<never>;
  /** Resolves when the component has nothing left to do: the process stops as if it had been asked to. Omit if it never ends. */
  readonly ended?: Promise<void>;
  /** Milliseconds that it serves on after it was asked to stop, beside what any orderly stop may take. Default 0. */
  readonly stopDelayMs?: number;
}

export interface MainOptions<T extends FlagTable> {
  /** The process's name in logs and `--help`, such as `kube-scheduler`. */
  readonly name: string;
  readonly description: string;
  readonly flags: T;
  /** Flags of the upstream program that this one lacks. */
  readonly unsupported?: readonly string[];
  /** Builds and starts the component. `signal` aborts when the process was asked to stop while it still starts. */
  start(
    values: FlagValues<T & typeof logFlags>,
    context: { readonly logger: Logger; readonly signal: AbortSignal },
  ): Promise<Component>;
}

/** Flags of every component. */
export const logFlags = {
  'log-level': { type: 'string', default: 'info', values: logLevels, description: 'Least level that is logged.' },
} as const satisfies FlagTable;

/** How long an orderly stop may take before the process gives up on it. */
const SHUTDOWN_TIMEOUT_MS = 20_000;
/** A process that has been running for this long does what it is for; what its start took is garbage. */
const STARTED_MS = 2000;
/** Of a larger heap a collection would hold up the work that there already is. */
const STARTED_HEAP_BYTES_MAX = 96 << 20;

/** How much a heap that is no longer starting grows before it is collected: V8's default is up to fourfold. */
const HEAP_GROWING_PERCENT = 50;

function settle(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  if (process.memoryUsage().heapUsed <= STARTED_HEAP_BYTES_MAX) collectGarbage();
}

/**
 * The whole life of a component's process: flags, start, SIGTERM or SIGINT, orderly disposal. Only `src/main.ts` calls it.
 * Exits 0 after an orderly stop, 2 on a usage error (the flag's name on stderr), 1 when the component failed; an uncaught
 * exception or rejection is logged and ends the process with 1.
 */
export async function runMain<const T extends FlagTable>(options: MainOptions<T>): Promise<void> {
  // A buffer lives outside of V8's heap, and each read from a socket takes one. By default V8 collects the whole heap for each 64 MiB
  // of these, however large the heap. As a part of the heap they wait until it has grown.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  const table = { ...options.flags, ...logFlags };
  const argv = process.argv.slice(2);
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(helpText(options.name, options.description, table, options.unsupported));
    return;
  }
  const logger = (level: LogLevel): Logger => createLogger({ name: options.name, level });
  let log = logger('info');
  const die = (error: unknown): never => {
    if (error instanceof UsageError) {
      process.stderr.write(`${options.name}: ${error.message}\n`);
      process.exit(2);
    }
    log.fatal({ err: error }, 'process failed');
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);

  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      if (stop.signal.aborted) process.exit(130);
      log.info({ signal }, 'stopping');
      stop.abort(new Error(`received ${signal}`));
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  try {
    const values = parseFlags<T & typeof logFlags>(table, argv, { unsupported: options.unsupported ?? [] });
    log = logger((values as { readonly 'log-level': LogLevel })['log-level']);
    const component = await options.start(values, { logger: log, signal: stop.signal });
    setTimeout(settle, STARTED_MS).unref();
    const { failed, ended, stopDelayMs = 0 } = component;
    await Promise.race([stopped, ...(failed === undefined ? [] : [failed]), ...(ended === undefined ? [] : [ended])]);
    setTimeout(() => die(new Error('shutdown timed out')), stopDelayMs + SHUTDOWN_TIMEOUT_MS).unref();
    await component[Symbol.asyncDispose]();
  } catch (error) {
    if (!(stop.signal.aborted && error === stop.signal.reason)) die(error);
  }
  log.info('stopped');
  process.exit(0);
}
