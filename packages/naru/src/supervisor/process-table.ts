/** The pids of a supervisor's processes on disk, so that the next one can end what a killed supervisor left behind. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface ProcessRecord {
  readonly name: string;
  readonly pid: number;
  /** Start time in clock ticks since boot, from /proc: tells a process from a later one with its pid. '' where there is no /proc. */
  readonly startTime: string;
}

const KILL_POLL_MS = 20;
const KILL_TIMEOUT_MS = 5_000;

/** Field 22 of /proc/PID/stat; undefined when there is no such process, '' where there is no /proc. */
export async function processStartTime(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return isAlive(pid) ? '' : undefined;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The command name, in parentheses, may hold spaces and parentheses.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function writeProcessTable(path: string, records: readonly ProcessRecord[]): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify(records));
  await rename(`${path}.tmp`, path);
}

export async function readProcessTable(path: string): Promise<readonly ProcessRecord[]> {
  const text = await readFile(path, 'utf8').catch(() => '[]');
  return JSON.parse(text) as ProcessRecord[];
}

/** Kills the recorded processes that still run and waits until they are gone. @returns their names */
export async function killLeftovers(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name, pid, startTime } of await readProcessTable(path)) {
    if ((await processStartTime(pid)) !== startTime) continue;
    names.push(name);
    process.kill(pid, 'SIGKILL');
    for (let waited = 0; waited < KILL_TIMEOUT_MS && isAlive(pid); waited += KILL_POLL_MS) await delay(KILL_POLL_MS);
  }
  return names;
}
