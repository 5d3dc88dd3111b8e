import { join } from 'node:path';

/** V8 settings of the components: their heaps are small, and a small young generation keeps them so. */
export const nodeFlags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=8'] as const;

/**
 * The environment of a component's process: `env`, the compile cache of the checkout at `root`, and glibc's default for how large
 * a buffer has its own mapping, which as a setting stays the same. Otherwise glibc raises it with each larger buffer that is
 * freed, and the process keeps the memory of buffers that it once needed.
 */
export function nodeEnvironment(root: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    MALLOC_MMAP_THRESHOLD_: String(128 << 10),
    ...env,
    NODE_COMPILE_CACHE: join(root, '.cache', 'compile'),
  };
}
