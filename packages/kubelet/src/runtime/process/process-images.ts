import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { RuntimeError, StartError } from '../../errors.ts';
import type { ImageService } from '../runtime-service.ts';

/** The image that needs nothing installed: a small HTTP server; its tag is the version it answers with. */
export const helloImage = 'naru.dev/hello';

/** The file that the hello image runs. */
const helloMain = join(import.meta.dirname, '..', '..', 'hello', 'main.ts');

export interface ParsedImage {
  readonly name: string;
  readonly tag: string;
}

/** `registry:5000/a/b:tag@sha256:…` as name and tag (default `latest`). */
export function parseImage(image: string): ParsedImage {
  const [reference = ''] = image.split('@');
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/')
    ? { name: reference.slice(0, colon), tag: reference.slice(colon + 1) }
    : { name: reference, tag: 'latest' };
}

/**
 * Images where there are none: the built-in one is always present, any other stands for the host's programs and so is
 * nothing that can be pulled.
 */
export class ProcessImages implements ImageService {
  async imageStatus(image: string): Promise<string | undefined> {
    return parseImage(image).name === helloImage ? image : undefined;
  }

  async pullImage(image: string): Promise<string> {
    throw new StartError(
      'ErrImageNeverPull',
      `Container image ${JSON.stringify(image)} cannot be pulled: the process runtime runs no images. ` +
        `It runs programs of the host (set the container's command) and the built-in image ${helloImage}`,
    );
  }
}

/** What the image runs when the container names no command, and the variables it sets. */
export function imageDefaults(image: string): {
  readonly entrypoint: readonly string[];
  readonly env: Readonly<Record<string, string>>;
} {
  const { name, tag } = parseImage(image);
  return name === helloImage
    ? { entrypoint: [process.execPath, helloMain], env: { VERSION: tag } }
    : { entrypoint: [], env: {} };
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * The file of a program: an absolute path is looked for among the container's mounts first, then on the host; a relative
 * one in its working folder; a bare name in PATH. @throws RuntimeError start-failed with the container runtimes' message.
 */
export function resolveProgram(
  program: string,
  container: { readonly root: string; readonly cwd: string; readonly path: string },
): string {
  const fail = (why: string): RuntimeError =>
    new RuntimeError('start-failed', `exec: ${JSON.stringify(program)}: ${why}`);
  if (program.includes('/')) {
    const inRoot = join(container.root, program);
    const file = isAbsolute(program) ? (existsSync(inRoot) ? inRoot : program) : resolve(container.cwd, program);
    if (!existsSync(file)) throw fail(`stat ${program}: no such file or directory`);
    if (!isExecutableFile(file)) throw fail('permission denied');
    return file;
  }
  for (const folder of container.path.split(':')) {
    const file = join(folder === '' ? '.' : folder, program);
    if (isAbsolute(file) && isExecutableFile(file)) return file;
  }
  throw fail('executable file not found in $PATH');
}
