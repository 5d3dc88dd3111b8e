import { rmSync } from 'node:fs';
import { runtimePod, type PodContext } from './pod-context.ts';
import type { RuntimePod } from '../plan/runtime-pod.ts';

/** Dead containers kept per name, besides the latest: for `kubectl logs --previous` (upstream's MaxPerPodContainer). */
const DEAD_KEPT = 1;

/** Removes containers that ended long ago with their logs, and old sandboxes that have none left. */
export async function collectGarbage(context: PodContext, pod: RuntimePod): Promise<void> {
  const seen = new Map<string, number>();
  const kept = new Set<string>();
  for (const container of pod.containers) {
    const { name } = container.metadata;
    const before = seen.get(name) ?? 0;
    seen.set(name, before + 1);
    if (before <= DEAD_KEPT || container.state === 'CONTAINER_RUNNING') kept.add(container.podSandboxId);
    else {
      await context.runtime.removeContainer(container.id);
      rmSync(container.logPath, { force: true });
    }
  }
  for (const { id, state } of pod.sandboxes.slice(1))
    if (state !== 'SANDBOX_READY' && !kept.has(id)) await context.runtime.removePodSandbox(id);
}

/** Removes all that the runtime has of a pod, and its logs. */
export async function removePod(context: PodContext, uid: string, logFolder: string): Promise<void> {
  const { sandboxes } = await runtimePod(context.runtime, uid);
  for (const { id } of sandboxes) await context.runtime.removePodSandbox(id);
  if (!context.isHollow) rmSync(logFolder, { recursive: true, force: true });
}
