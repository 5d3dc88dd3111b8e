import { readdirSync, readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot at which it started: field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

export interface ProcStat extends ProcessIdentity {
  readonly state: string;
  readonly session: number;
}

/** Parses a line of /proc/PID/stat (proc(5)): `pid (comm) state ppid pgrp session …`; comm may hold spaces and brackets. */
export function parseProcStat(line: string): ProcStat | undefined {
  const pid = Number.parseInt(line, 10);
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const startTicks = Number(fields[19]);
  const session = Number(fields[3]);
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTicks) || !Number.isSafeInteger(session))
    return undefined;
  return { pid, state: fields[0] ?? '', session, startTicks };
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // The process is gone, or another user's.
    return undefined;
  }
}

export function readProcStat(pid: number): ProcStat | undefined {
  const line = readOrUndefined(`/proc/${pid}/stat`);
  return line === undefined ? undefined : parseProcStat(line);
}

/** Whether that very process still runs; a zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readProcStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/** Changes with every boot of the machine: a pid and its start time mean something within one boot only. */
export function bootId(): string {
  return readOrUndefined('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
}

/** Sends a signal to exactly that process. Returns whether it was there. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Kills what is left of a container: all processes of the session that `leader` began, and those that left the session but
 * still have its environment entry, as a PID namespace would. Returns how many there were.
 */
export function killLeftovers(leader: ProcessIdentity, environmentEntry: string): number {
  // The kernel does not give a session's id to a new process while it has members: another leader means that none is left.
  const current = readProcStat(leader.pid);
  const isReused = current !== undefined && current.startTicks !== leader.startTicks;
  let killed = 0;
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isSafeInteger(pid) || pid === process.pid) continue;
    const stat = readProcStat(pid);
    if (stat === undefined || stat.state === 'Z') continue;
    const inSession = !isReused && stat.session === leader.pid && stat.startTicks >= leader.startTicks;
    if (!inSession && !hasEnvironmentEntry(pid, environmentEntry)) continue;
    if (signalProcess(stat, 'SIGKILL')) killed++;
  }
  return killed;
}

function hasEnvironmentEntry(pid: number, entry: string): boolean {
  const environment = readOrUndefined(`/proc/${pid}/environ`);
  return environment !== undefined && `\0${environment}`.includes(`\0${entry}\0`);
}
