import { join } from 'node:path';
import type { Pod } from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import { HollowNetwork } from './hollow/hollow-network.ts';
import { HollowImages, HollowRuntime } from './hollow/hollow-runtime.ts';
import { LoopbackNetwork } from './process/loopback-network.ts';
import { ProcessImages } from './process/process-images.ts';
import { ProcessRuntime } from './process/process-runtime.ts';
import type { ImageService, PodNetwork, RuntimeService } from './runtime-service.ts';

export const runtimeNames = ['process', 'hollow'] as const;
export type RuntimeName = (typeof runtimeNames)[number];

export interface OpenRuntimeOptions {
  readonly rootDir: string;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly path: string;
  readonly runtimeVersion: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A runtime with its network and images, as the kubelet wires them. */
export interface OpenedRuntime {
  readonly runtime: RuntimeService;
  readonly images: ImageService;
  readonly network: PodNetwork;
  readonly isHollow: boolean;
  /** Takes up what runs. */
  start(): Promise<void>;
  setPodCIDR(podCIDR: string): void;
  /** For a runtime without a memory of its own: what the API says runs here. */
  restore(pods: readonly Pod[]): void;
}

export function openRuntime(name: RuntimeName, options: OpenRuntimeOptions): OpenedRuntime {
  switch (name) {
    case 'process': {
      const network = new LoopbackNetwork({ folder: join(options.rootDir, 'network') });
      const runtime = new ProcessRuntime({ ...options, folder: join(options.rootDir, 'runtime'), network });
      return {
        runtime,
        network,
        images: new ProcessImages(),
        isHollow: false,
        async start() {
          await runtime.start();
          network.releaseAllBut(runtime.sandboxIds);
        },
        setPodCIDR: (podCIDR) => network.setPodCIDR(podCIDR),
        restore: () => undefined,
      };
    }
    case 'hollow': {
      const network = new HollowNetwork();
      const runtime = new HollowRuntime({ ...options, network });
      return {
        runtime,
        network,
        images: new HollowImages(),
        isHollow: true,
        start: async () => {},
        setPodCIDR: (podCIDR) => network.setPodCIDR(podCIDR),
        restore(pods) {
          for (const pod of pods) runtime.restore(pod);
        },
      };
    }
    default:
      return name satisfies never;
  }
}
