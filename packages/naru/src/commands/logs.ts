import { open, stat, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseFlags, UsageError, type FlagTable } from '@naru/component';
import { files } from '../topology.ts';
import { dataDirFlag, splitArguments, type Command, type CommandContext } from './command.ts';

const logsFlags = {
  ...dataDirFlag,
  follow: { type: 'boolean', default: false, description: 'Go on printing what is added (-f).' },
  f: { type: 'boolean', default: false, description: 'Same as --follow.' },
} as const satisfies FlagTable;

const FOLLOW_POLL_MS = 200;
const CHUNK_BYTES = 64 * 1024;

/** Prints from `offset` to the end. @returns the new offset */
async function printFrom(file: FileHandle, offset: number, print: (line: string) => void): Promise<number> {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let rest = '';
  let at = offset;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const lines = (rest + buffer.toString('utf8', 0, bytesRead)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) print(line);
  }
  return at - Buffer.byteLength(rest);
}

async function logs(context: CommandContext): Promise<number> {
  const { words, flags } = splitArguments(context.argv);
  const values = parseFlags(logsFlags, flags);
  const name = words[0];
  if (name === undefined || words.length > 1 || name.includes('/')) throw new UsageError(`usage: ${logsCommand.usage}`);
  const path = join(resolve(context.cwd, values['data-dir']), files.logs, `${name}.log`);
  await using file = await open(path).catch(() => {
    throw new UsageError(`no process called ${name} has a log here`);
  });
  let offset = await printFrom(file, 0, context.print);
  while ((values.follow || values.f) && !context.signal.aborted) {
    await delay(FOLLOW_POLL_MS, undefined, { signal: context.signal }).catch(() => undefined);
    // The supervisor truncates a log that grew too long.
    if ((await stat(path)).size < offset) offset = 0;
    offset = await printFrom(file, offset, context.print);
  }
  return 0;
}

export const logsCommand: Command = {
  summary: "print a process's log",
  usage: 'naru logs NAME [-f] [--data-dir D]',
  flags: logsFlags,
  run: logs,
};
