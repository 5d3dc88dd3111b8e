import { isNotFound, nodes, type Node } from '@naru/api';
import { Controller, type EventRecorder, type Informer } from '@naru/client';
import { UsageError } from '@naru/component';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { CidrSet } from './plan.ts';

/** Gives each node a range of pod addresses. */
export class NodeIpamController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #cidrs: CidrSet;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    const { clusterCidr, nodeCidrMaskSize } = context.options;
    try {
      this.#cidrs = new CidrSet(clusterCidr, nodeCidrMaskSize);
    } catch (error) {
      throw new UsageError(`--cluster-cidr: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    this.#recorder = context.recorder('cidrAllocator');
    this.#nodes = context.informers.informer(nodes);
    // One worker: a range is taken before the next node is looked at.
    this.#controller = new Controller({
      name: 'node-ipam',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (name, { signal }) => await this.#reconcile(name, signal),
    });
    const changed = (node: Node): void => {
      const cidrs = cidrsOf(node);
      for (const cidr of cidrs) this.#cidrs.occupy(cidr);
      if (cidrs.length === 0) this.#controller.queue.add(node.metadata.name ?? '');
    };
    this.#nodes.addHandlers({
      added: changed,
      updated: changed,
      deleted: (node) => {
        for (const cidr of cidrsOf(node)) this.#cidrs.release(cidr);
        // A range is free: those that had to wait may have it.
        for (const each of this.#nodes.list())
          if (cidrsOf(each).length === 0) this.#controller.queue.add(each.metadata.name ?? '');
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const node = this.#nodes.get('', name);
    if (node === undefined || cidrsOf(node).length > 0 || node.metadata.deletionTimestamp !== undefined) return;
    const cidr = this.#cidrs.allocate();
    if (cidr === undefined) {
      const message = `Node ${name} status is now: CIDRNotAvailable`;
      this.#recorder.event(node, { type: 'Normal', reason: 'CIDRNotAvailable', message });
      return;
    }
    const patch = { metadata: { uid: node.metadata.uid }, spec: { podCIDR: cidr, podCIDRs: [cidr] } };
    try {
      const patched = await this.#context.client.patch(nodes, name, 'merge', patch, { signal });
      // The server may have had one that the cache did not show; that one stays.
      if (!cidrsOf(patched).includes(cidr)) this.#cidrs.release(cidr);
    } catch (error) {
      this.#cidrs.release(cidr);
      if (!isNotFound(error)) throw error;
    }
  }
}

function cidrsOf({ spec }: Node): readonly string[] {
  return spec?.podCIDRs ?? (spec?.podCIDR === undefined || spec.podCIDR === '' ? [] : [spec.podCIDR]);
}
