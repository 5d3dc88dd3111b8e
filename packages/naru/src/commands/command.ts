import type { FlagTable } from '@naru/component';

/** What a command gets from the process. Only main.ts knows argv, the environment and signals. */
export interface CommandContext {
  /** Arguments after the command's name. */
  readonly argv: readonly string[];
  /** Aborts on the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly print: (line: string) => void;
}

/** Resolves with the exit status. */
export interface Command {
  readonly summary: string;
  readonly usage: string;
  readonly flags: FlagTable;
  run(context: CommandContext): Promise<number>;
}

/** Every command finds its cluster by this. */
export const dataDirFlag = {
  'data-dir': { type: 'string', default: '.naru', description: 'Folder of the cluster: certificates, data, logs.' },
} as const satisfies FlagTable;

/** Splits `NAME --flag value` into the words before the first flag and the rest. */
export function splitArguments(argv: readonly string[]): {
  readonly words: readonly string[];
  readonly flags: readonly string[];
} {
  const first = argv.findIndex((each) => each.startsWith('-'));
  return first === -1 ? { words: argv, flags: [] } : { words: argv.slice(0, first), flags: argv.slice(first) };
}
