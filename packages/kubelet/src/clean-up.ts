import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@naru/component';
import { annotations } from './runtime/runtime-service.ts';
import { openRuntime, type OpenRuntimeOptions } from './runtime/open-runtime.ts';

/**
 * `--cleanup`: ends all that the pods of a node left running, by the runtime's own record of them, without the API: each
 * container gets its pod's grace period, or `graceSeconds` if given. Pods that the API still has start anew with the next
 * kubelet.
 */
export async function cleanUp(
  options: OpenRuntimeOptions & { readonly graceSeconds: number | undefined; readonly logger: Logger },
): Promise<void> {
  if (!existsSync(join(options.rootDir, 'runtime'))) return;
  const opened = openRuntime('process', options);
  await opened.start();
  const { runtime } = opened;
  const containers = await runtime.listContainers();
  await Promise.all(
    containers.map(async ({ id, annotations: of }) => {
      const own = Number(of[annotations.podTerminationGracePeriod] ?? 30);
      await runtime.stopContainer(id, { timeoutSeconds: options.graceSeconds ?? own });
    }),
  );
  const sandboxes = await runtime.listPodSandbox();
  for (const { id, metadata } of sandboxes) {
    await runtime.stopPodSandbox(id);
    options.logger.info({ pod: `${metadata.namespace}/${metadata.name}` }, 'pod stopped');
  }
  await runtime[Symbol.asyncDispose]();
  rmSync(join(options.rootDir, 'network'), { recursive: true, force: true });
}
