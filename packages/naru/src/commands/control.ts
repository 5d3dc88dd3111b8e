import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseFlags, UsageError } from '@naru/component';
import { resolveOptions } from '../cluster-file.ts';
import { ControlClient } from '../supervisor/control-client.ts';
import type { ControlAction } from '../supervisor/control-server.ts';
import { HealthProbe } from '../supervisor/health.ts';
import type { ProcessStatus } from '../supervisor/managed-process.ts';
import { processStartTime } from '../supervisor/process-table.ts';
import { describeCluster } from '../topology.ts';
import { dataDirFlag, splitArguments, type Command, type CommandContext } from './command.ts';

const DOWN_TIMEOUT_MS = 120_000;
const POLL_MS = 50;

function parse(
  context: CommandContext,
  wordCount: number,
  usage: string,
): { dataDir: string; words: readonly string[] } {
  const { words, flags } = splitArguments(context.argv);
  if (words.length !== wordCount) throw new UsageError(`usage: ${usage}`);
  return { dataDir: resolve(context.cwd, parseFlags(dataDirFlag, flags)['data-dir']), words };
}

/** Asks the supervisor to stop and waits until its process is gone. */
async function stopCluster(dataDir: string): Promise<void> {
  const client = new ControlClient(dataDir);
  const { supervisorPid } = await client.status();
  const startTime = await processStartTime(supervisorPid);
  await client.stop();
  const deadline = performance.now() + DOWN_TIMEOUT_MS;
  while ((await processStartTime(supervisorPid)) === startTime) {
    if (performance.now() > deadline) throw new Error(`the supervisor (pid ${supervisorPid}) does not stop`);
    await delay(POLL_MS);
  }
}

export const downCommand: Command = {
  summary: 'stop the cluster; its data stays',
  usage: 'naru down [--data-dir D]',
  flags: dataDirFlag,
  async run(context) {
    const { dataDir } = parse(context, 0, this.usage);
    await stopCluster(dataDir);
    context.print('stopped');
    return 0;
  },
};

export const resetCommand: Command = {
  summary: 'stop the cluster if it runs, and delete its data dir',
  usage: 'naru reset [--data-dir D]',
  flags: dataDirFlag,
  async run(context) {
    const { dataDir } = parse(context, 0, this.usage);
    if (await new ControlClient(dataDir).isRunning()) await stopCluster(dataDir);
    const made = await readFile(join(dataDir, 'cluster.json'), 'utf8').catch(() => undefined);
    if (made === undefined) {
      context.print(`nothing to delete: ${dataDir} holds no cluster`);
      return 0;
    }
    await rm(dataDir, { recursive: true, force: true });
    context.print(`deleted ${dataDir}`);
    return 0;
  },
};

/** Resident memory in MiB, where /proc tells it. */
async function residentMiB(pid: number | undefined): Promise<number | undefined> {
  if (pid === undefined) return undefined;
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kib = /^VmRSS:\s+(\d+) kB$/mu.exec(status)?.[1];
  return kib === undefined ? undefined : Number(kib) / 1024;
}

/** Left-aligned columns, two spaces apart. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

async function statusRow(status: ProcessStatus, note: string): Promise<string[]> {
  const memory = await residentMiB(status.pid);
  return [
    status.name,
    status.role,
    status.pid === undefined ? '-' : String(status.pid),
    status.state,
    String(status.restarts),
    memory === undefined ? '-' : `${memory.toFixed(0)} MiB`,
    note,
  ];
}

export const statusCommand: Command = {
  summary: "show each process, and the store's leader and term",
  usage: 'naru status [--data-dir D]',
  flags: dataDirFlag,
  async run(context) {
    const { dataDir } = parse(context, 0, this.usage);
    const status = await new ControlClient(dataDir).status();
    await using probe = await HealthProbe.open(describeCluster(await resolveOptions(dataDir, {})));
    const members = await probe.storeStatus();
    const note = (name: string): string => {
      const member = members.find((each) => each.member === name);
      if (member === undefined) return '';
      return `${member.leader ? 'leader' : 'follower'}, term ${member.term}, revision ${member.revision}`;
    };
    const rows = await Promise.all(status.processes.map(async (each) => await statusRow(each, note(each.name))));
    for (const line of formatTable([['NAME', 'ROLE', 'PID', 'STATE', 'RESTARTS', 'MEMORY', 'STORE'], ...rows]))
      context.print(line);
    return 0;
  },
};

function actionCommand(action: ControlAction, summary: string, done: string): Command {
  return {
    summary,
    usage: `naru ${action} NAME [--data-dir D]`,
    flags: dataDirFlag,
    async run(context) {
      const { dataDir, words } = parse(context, 1, this.usage);
      const names = await new ControlClient(dataDir).act(action, words[0] ?? '');
      context.print(names.length === 0 ? 'nothing to do' : `${done} ${names.join(', ')}`);
      return 0;
    },
  };
}

export const killCommand = actionCommand(
  'kill',
  'SIGKILL a process, kv-leader or a whole node; it stays dead',
  'killed',
);
export const pauseCommand = actionCommand('pause', 'SIGSTOP a process or a node', 'paused');
export const resumeCommand = actionCommand('resume', 'SIGCONT what was paused', 'resumed');
export const restartCommand = actionCommand('restart', 'stop it if it runs, and start it', 'restarted');
