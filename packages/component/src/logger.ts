import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The root logger of a process: JSON lines to stdout. Everything else gets a child of it passed in. */
export function createLogger(options: { readonly name: string; readonly level?: LogLevel }): Logger {
  return pino({ name: options.name, level: options.level ?? 'info', timestamp: pino.stdTimeFunctions.isoTime });
}

/** A logger that drops everything: for tests and tools. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
