/** How components' processes are started. */
import { join } from 'node:path';
import { bundleComponents, bundleOf } from './bundle.ts';

/** V8 settings of the components: their heaps are small, and a small young generation keeps them so. */
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=8'] as const;

/** Program and first arguments that run a component (`kv-raft`, `apiserver`, …); its flags follow. */
export type ComponentCommand = (component: string) => readonly [string, ...string[]];

/**
 * How the components of the checkout at `root` are run: from their bundles, or where these cannot be made, of which `warn` is
 * told, from their sources.
 */
export async function componentCommand(root: string, warn: (message: string) => void): Promise<ComponentCommand> {
  const node = [process.execPath, ...nodeFlags] as const;
  try {
    await bundleComponents(root);
    return (component) => [...node, bundleOf(root, component)];
  } catch (error) {
    warn(`components run from their sources: ${error instanceof Error ? error.message : String(error)}`);
    return (component) => [...node, join(root, 'packages', component, 'src', 'main.ts')];
  }
}

/**
 * The environment of a component's process: `env`, the compile cache of the checkout at `root`, and glibc's default for how large
 * a buffer has its own mapping, which as a setting stays the same. Otherwise glibc raises it with each larger buffer that is
 * freed, and the process keeps the memory of buffers that it once needed.
 */
export function componentEnvironment(root: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    MALLOC_MMAP_THRESHOLD_: String(128 << 10),
    ...env,
    NODE_COMPILE_CACHE: join(root, '.cache', 'compile'),
  };
}
