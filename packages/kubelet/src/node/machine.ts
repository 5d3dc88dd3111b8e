import { createHash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, freemem, hostname, release, totalmem } from 'node:os';
import { bootId } from '../runtime/process/proc-stat.ts';

/** What the kubelet says of the machine it runs on. */
export interface Machine {
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly ephemeralStorageBytes: number;
  readonly hostname: string;
  /** In Go's words: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineID: string;
  readonly systemUUID: string;
  readonly bootID: string;
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

export function readMachine(rootDir: string): Machine {
  const disk = statfsSync(rootDir);
  const osImage = /^PRETTY_NAME="?([^"\n]*)/mu.exec(readText('/etc/os-release'))?.[1] ?? 'Linux';
  const machineID = readText('/etc/machine-id') || createHash('md5').update(hostname()).digest('hex');
  return {
    cpu: cpus().length,
    memoryBytes: totalmem(),
    ephemeralStorageBytes: disk.blocks * disk.bsize,
    hostname: hostname().toLowerCase(),
    architecture: architectures[arch()] ?? arch(),
    kernelVersion: release(),
    osImage,
    machineID,
    systemUUID: readText('/sys/class/dmi/id/product_uuid') || machineID,
    bootID: bootId(),
  };
}

/** What may run out. */
export interface Pressure {
  readonly memory: boolean;
  readonly disk: boolean;
  readonly pid: boolean;
}

/** Upstream's default eviction thresholds: memory.available < 100 Mi, nodefs.available < 10 %, inodes < 5 %. */
export function readPressure(rootDir: string): Pressure {
  const available = /^MemAvailable:\s+(\d+) kB/mu.exec(readText('/proc/meminfo'))?.[1];
  const availableBytes = available === undefined ? freemem() : Number(available) * 1024;
  const disk = statfsSync(rootDir);
  const pidMax = Number(readText('/proc/sys/kernel/pid_max') || 32_768);
  const running = Number(readText('/proc/loadavg').split(' ')[3]?.split('/')[1] ?? 0);
  return {
    memory: availableBytes < 100 * 1024 * 1024,
    disk: disk.bavail < disk.blocks * 0.1 || (disk.files > 0 && disk.ffree < disk.files * 0.05),
    pid: running > pidMax * 0.95,
  };
}
