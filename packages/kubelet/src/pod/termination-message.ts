import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Container } from '@naru/api';
import { parseLogEntry } from '../log/cri-log.ts';
import type { ContainerStatus, Mount } from '../runtime/runtime-service.ts';

/** Upstream's bounds: of a message, and of a log that stands for one. */
const MESSAGE_BYTES_MAX = 4096;
const LOG_BYTES_MAX = 2048;
const LOG_LINES_MAX = 80;
const DEFAULT_PATH = '/dev/termination-log';

function messageFile(podFolder: string, name: string, attempt: number): string {
  return join(podFolder, 'containers', name, `${attempt}.termination-log`);
}

/** The file in which a container may leave a message, made and ready to be mounted at its terminationMessagePath. */
export function terminationMessageMount(podFolder: string, container: Container, attempt: number): Mount {
  const hostPath = messageFile(podFolder, container.name, attempt);
  mkdirSync(dirname(hostPath), { recursive: true });
  writeFileSync(hostPath, '', { mode: 0o666 });
  return { containerPath: container.terminationMessagePath ?? DEFAULT_PATH, hostPath, readonly: false };
}

/** What a container that has ended left as its message, by its policy the end of its log; undefined if nothing. */
export function readTerminationMessage(
  podFolder: string,
  container: Container,
  status: ContainerStatus,
): string | undefined {
  const left = readEnd(messageFile(podFolder, container.name, status.metadata.attempt), MESSAGE_BYTES_MAX);
  if (left !== undefined && left !== '') return left;
  if (container.terminationMessagePolicy !== 'FallbackToLogsOnError' || status.exitCode === 0) return undefined;
  const lines = (readEnd(status.logPath, LOG_BYTES_MAX * 2) ?? '')
    .split('\n')
    .map((line) => parseLogEntry(Buffer.from(line)))
    .filter((entry) => entry !== undefined)
    .slice(-LOG_LINES_MAX);
  const text = lines.map(({ content, partial }) => `${content.toString()}${partial ? '' : '\n'}`).join('');
  return text === '' ? undefined : text.slice(-LOG_BYTES_MAX);
}

function readEnd(path: string, bytesMax: number): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, bytesMax));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    closeSync(fd);
  }
}
