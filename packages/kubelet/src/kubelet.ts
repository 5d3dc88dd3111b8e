import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodes, pods, services, type Node, type Pod, type Taint } from '@naru/api';
import { EventRecorder, SharedInformerFactory, type Client, type Informer } from '@naru/client';
import { systemClock, type Clock, type Logger } from '@naru/component';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LogManager } from './log/log-manager.ts';
import { NodeAgent } from './node/node-agent.ts';
import { admit } from './plan/admit.ts';
import { CrashLoopBackoff } from './plan/crash-loop-backoff.ts';
import { allContainerStatuses } from './plan/pod-spec.ts';
import { newestContainer, previousContainer } from './plan/runtime-pod.ts';
import { LifecycleHooks } from './pod/lifecycle-hooks.ts';
import { ObjectCache } from './pod/object-cache.ts';
import { containerFieldPath, runtimePod, type PodContext } from './pod/pod-context.ts';
import { PodVolumes } from './pod/pod-volumes.ts';
import { PodWorkers } from './pod/pod-workers.ts';
import { ServiceAccountTokens } from './pod/service-account-token.ts';
import { StatusManager } from './pod/status-manager.ts';
import { ProbeManager } from './probe/probe-manager.ts';
import { Prober } from './probe/prober.ts';
import { openRuntime, type OpenedRuntime, type RuntimeName } from './runtime/open-runtime.ts';
import { StreamTargets } from './server/stream-targets.ts';
import { KubeletAuthorizer } from './server/kubelet-authorizer.ts';
import { KubeletServer, type KubeletServerOptions } from './server/kubelet-server.ts';

/** Kubernetes' version as the kubelet claims it, with naru's own. */
export const kubeletVersion = 'v1.36.0+naru.0.1.0';
const runtimeVersion = '0.1.0';
const userAgent = 'kube-probe/1.36';
/** How often containers are listed, in case an event was missed. */
const RELIST_MS = { process: 10_000, hollow: 300_000 } as const;

export interface KubeletOptions {
  readonly client: Client;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly rootDir: string;
  /** Of the kubelet's API. */
  readonly address: string;
  readonly port: number;
  readonly maxPods: number;
  /** Overrides the Node's spec.podCIDR. */
  readonly podCIDR?: string | undefined;
  readonly runtime: RuntimeName;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly clientCA?: string | undefined;
  /** Whether the API server is asked what callers of the kubelet API may do; default no. */
  readonly authorizeByWebhook?: boolean;
  readonly statusUpdateMs: number;
  /** PATH of containers that set none. */
  readonly path: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The agent of one node: runs the pods that are bound to it and keeps its Node object. */
export class Kubelet implements AsyncDisposable {
  readonly registry = new Registry();
  readonly #options: KubeletOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #informers: SharedInformerFactory;
  readonly #podInformer: Informer<Pod>;
  readonly #nodeInformer: Informer<Node>;
  readonly #opened: OpenedRuntime;
  readonly #recorder: EventRecorder;
  readonly #context: PodContext;
  readonly #prober: Prober;
  readonly #workers: PodWorkers;
  #server: KubeletServer | undefined;
  #nodeAgent: NodeAgent | undefined;
  #podCIDR: string | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { client, nodeName, logger, rootDir } = options;
    for (const folder of [rootDir, join(rootDir, 'pods')]) mkdirSync(folder, { recursive: true, mode: 0o750 });
    this.#informers = new SharedInformerFactory({ client, clock: this.#clock, logger });
    this.#podInformer = this.#informers.informer(pods, { fieldSelector: `spec.nodeName=${nodeName}` });
    this.#nodeInformer = this.#informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` });
    this.#opened = openRuntime(options.runtime, { ...options, clock: this.#clock, runtimeVersion });
    this.#recorder = new EventRecorder({ client, component: 'kubelet', host: nodeName, logger, clock: this.#clock });
    this.#prober = new Prober({ runtime: this.#opened.runtime, userAgent });
    this.#context = this.#makeContext();
    this.#workers = new PodWorkers(this.#context);
    this.#measure();
  }

  /** Takes up what runs, registers the node and begins to follow its pods. Resolves when it serves. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const { logger } = this.#options;
    await this.#opened.start();
    if (this.#options.podCIDR !== undefined) this.#setPodCIDR(this.#options.podCIDR);
    this.#server = new KubeletServer(await this.#serverOptions());
    const port = await this.#server.start();
    this.#informers.start(signal);
    this.#nodeAgent = this.#makeNodeAgent(port);
    this.#nodeInformer.addHandlers({
      added: (node) => this.#onNode(node),
      updated: (node) => this.#onNode(node),
    });
    for (const run of [this.#nodeAgent.start(), this.#followPods()])
      run.catch((error: unknown) => {
        if (!signal.aborted) logger.error({ err: error }, 'kubelet failed');
      });
    new LogManager({ runtime: this.#opened.runtime, clock: this.#clock, logger, signal }).start();
  }

  /** Stops looking after the pods; they run on, as upstream. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the kubelet stops'));
    await this.#server?.[Symbol.asyncDispose]();
    await this.#informers[Symbol.asyncDispose]();
    this.#context.probes[Symbol.dispose]();
    await this.#context.objects[Symbol.asyncDispose]();
    await this.#recorder[Symbol.asyncDispose]();
    await this.#prober[Symbol.asyncDispose]();
    await this.#context.hooks[Symbol.asyncDispose]();
    await this.#opened.runtime[Symbol.asyncDispose]();
  }

  async #followPods(): Promise<void> {
    const { signal } = this.#stop;
    await this.#informers.synced({ signal });
    this.#opened.restore(this.#podInformer.list());
    await this.#workers.start(this.#podInformer, { relistMs: RELIST_MS[this.#options.runtime] });
  }

  #onNode(node: Node): void {
    const podCIDR = this.#options.podCIDR ?? node.spec?.podCIDR;
    if (podCIDR === undefined || podCIDR === '' || podCIDR === this.#podCIDR) return;
    this.#setPodCIDR(podCIDR);
    // It was not Ready for want of a range; pods that wait for an address try again.
    void this.#nodeAgent
      ?.updateStatus()
      .catch((error: unknown) => this.#options.logger.warn({ err: error }, 'cannot update node'));
    for (const worker of this.#workers.workers) worker.wake();
  }

  #setPodCIDR(podCIDR: string): void {
    this.#opened.setPodCIDR(podCIDR);
    this.#podCIDR = podCIDR;
    this.#options.logger.info({ podCIDR }, 'pod CIDR set');
  }

  #makeContext(): PodContext {
    const { client, logger, nodeIP, rootDir } = this.#options;
    const { runtime, images, network, isHollow } = this.#opened;
    const clock = this.#clock;
    const { signal } = this.#stop;
    const wake = (uid: string): void => this.#workers.wake(uid);
    const tokens = new ServiceAccountTokens({ client, clock });
    const objects = new ObjectCache({
      client,
      clock,
      logger,
      onChange: (uids) => {
        for (const uid of uids) wake(uid);
      },
    });
    return {
      client,
      runtime,
      images,
      network,
      clock,
      logger,
      signal,
      objects,
      isHollow,
      // Events of thousands of hollow pods would cost more than the pods.
      recorder: isHollow ? { event: () => undefined } : this.#recorder,
      statuses: new StatusManager({ client, clock, logger, signal }),
      probes: new ProbeManager({
        probe: async (probe, target, timeoutMs) => await this.#prober.probe(probe, target, timeoutMs),
        clock,
        onChange: wake,
        onUnhealthy: (pod, container, message) =>
          this.#recorder.event(
            pod,
            { type: 'Warning', reason: 'Unhealthy', message },
            { fieldPath: containerFieldPath(pod, container.name) },
          ),
      }),
      hooks: new LifecycleHooks({ runtime, clock, userAgent }),
      volumes: new PodVolumes({ podsFolder: join(rootDir, 'pods'), objects, tokens, clock }),
      services: this.#informers.informer(services),
      node: () => this.#nodeAgent?.node,
      startBackoff: new CrashLoopBackoff(),
      hostIP: nodeIP,
      podLogsFolder: join(rootDir, 'pod-logs'),
      podsFolder: join(rootDir, 'pods'),
      admit: (pod) => this.#admit(pod),
    };
  }

  #admit(pod: Pod): ReturnType<PodContext['admit']> {
    const node = this.#nodeAgent?.node;
    if (node === undefined) return undefined;
    const others = [...this.#workers.workers].filter(
      (worker) => worker.uid !== pod.metadata.uid && worker.isAdmitted && worker.isActive,
    );
    return admit(
      pod,
      node,
      others.map((worker) => worker.pod),
    );
  }

  #makeNodeAgent(port: number): NodeAgent {
    const { nodeName, nodeIP, labels, taints, maxPods, rootDir, client, logger, statusUpdateMs } = this.#options;
    const { version } = this.#opened.runtime;
    return new NodeAgent({
      client,
      informer: this.#nodeInformer,
      recorder: this.#recorder,
      clock: this.#clock,
      logger,
      signal: this.#stop.signal,
      name: nodeName,
      nodeIP,
      labels,
      taints,
      maxPods,
      rootDir,
      kubeletVersion,
      containerRuntimeVersion: `${version.runtimeName}://${version.runtimeVersion}`,
      port,
      statusUpdateMs,
      notReadyReason: () => {
        const reason = this.#opened.network.notReadyReason();
        return reason === undefined
          ? undefined
          : `container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:${reason}`;
      },
    });
  }

  async #serverOptions(): Promise<KubeletServerOptions> {
    const { address, port, tls, clientCA, nodeName, nodeIP, rootDir, logger } = this.#options;
    const selfSigned = async (): Promise<{ cert: string; key: string }> => {
      // Loaded where it is needed: it is large.
      const { selfSignedCertificate } = await import('./server/serving-certificate.ts');
      return await selfSignedCertificate(join(rootDir, 'pki'), { nodeName, nodeIP });
    };
    return {
      host: address,
      port,
      tls: tls ?? (await selfSigned()),
      clientCA,
      authorizer:
        this.#options.authorizeByWebhook === true
          ? new KubeletAuthorizer({ client: this.#options.client, nodeName, clock: this.#clock })
          : undefined,
      registry: this.registry,
      logger,
      pods: () => [...this.#workers.workers].map((worker) => worker.pod),
      streamTargets: new StreamTargets({
        runtime: this.#opened.runtime,
        isHollow: this.#opened.isHollow,
        find: (namespace, name) => this.#workers.find(namespace, name),
      }),
      containerLog: async (target, { previous }) => await this.#containerLog(target, previous ? 'previous' : 'current'),
    };
  }

  async #containerLog(
    target: { readonly namespace: string; readonly pod: string; readonly container: string },
    which: 'current' | 'previous',
  ): ReturnType<KubeletServerOptions['containerLog']> {
    const { namespace, pod, container } = target;
    const worker = this.#workers.find(namespace, pod);
    if (worker === undefined) return { status: 404, message: `pod "${pod}" not found` };
    if (this.#opened.isHollow) return { status: 400, message: 'hollow containers have no logs' };
    const { runtime } = this.#opened;
    const all = await runtimePod(runtime, worker.uid);
    const status = which === 'previous' ? previousContainer(all, container) : newestContainer(all, container);
    if (status === undefined) {
      const said = allContainerStatuses(worker.status).find(({ name }) => name === container);
      if (said === undefined) return { status: 400, message: `container ${container} not found in pod ${pod}` };
      const message =
        which === 'previous'
          ? `previous terminated container "${container}" in pod "${pod}" not found`
          : `container "${container}" in pod "${pod}" is waiting to start: ${said.state?.waiting?.reason ?? 'unknown'}`;
      return { status: 400, message };
    }
    return {
      path: status.logPath,
      isRunning: async () => {
        const now = await runtime.containerStatus(status.id).catch(() => undefined);
        return now?.state === 'CONTAINER_RUNNING';
      },
    };
  }

  #measure(): void {
    collectDefaultMetrics({ register: this.registry });
    const workers = this.#workers;
    this.registry.registerMetric(
      new Gauge({
        name: 'kubelet_running_pods',
        help: 'Number of pods that have a worker.',
        registers: [],
        collect() {
          this.set(workers.size);
        },
      }),
    );
  }
}
