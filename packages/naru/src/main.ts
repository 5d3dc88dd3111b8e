// The naru command: `naru up`, `naru status`, …
import { helpText, UsageError } from '@naru/component';
import {
  downCommand,
  killCommand,
  pauseCommand,
  resetCommand,
  restartCommand,
  resumeCommand,
  statusCommand,
} from './commands/control.ts';
import type { Command } from './commands/command.ts';
import { logsCommand } from './commands/logs.ts';
import { pkiCommand } from './commands/pki.ts';
import { upCommand } from './commands/up.ts';
import { NotRunningError, RefusedError } from './supervisor/control-client.ts';

const commands: Readonly<Record<string, Command>> = {
  up: upCommand,
  down: downCommand,
  status: statusCommand,
  logs: logsCommand,
  kill: killCommand,
  pause: pauseCommand,
  resume: resumeCommand,
  restart: restartCommand,
  reset: resetCommand,
  pki: pkiCommand,
};

const SECOND_SIGNAL_MS = 500;

function usage(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`);
  return `naru runs a Kubernetes-compatible cluster on this machine.\n\nUsage: naru COMMAND [flags]\n\n${lines.join('\n')}\n\n\`naru COMMAND --help\` lists a command's flags.\n`;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`unknown command: ${name}\n\n${usage()}`);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(helpText(command.usage.replace(' [flags]', ''), command.summary, command.flags));
    return 0;
  }
  const stop = new AbortController();
  let stoppedAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // A Ctrl-C comes twice, from the terminal and from the wrapper that started this; a later one is a second one, and
      // does not wait for an orderly stop.
      if (stop.signal.aborted && performance.now() - stoppedAt > SECOND_SIGNAL_MS) process.exit(130);
      stoppedAt = performance.now();
      stop.abort();
    });
  }
  return await command.run({
    argv: rest,
    signal: stop.signal,
    env: process.env,
    cwd: process.cwd(),
    print: (line) => process.stdout.write(`${line}\n`),
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`naru: ${error.message}\n`);
    process.exitCode = 2;
  } else if (error instanceof NotRunningError || error instanceof RefusedError) {
    process.stderr.write(`naru: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}
