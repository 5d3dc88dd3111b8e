import { silentLogger } from '@naru/component';
import { EventRecorder, RestClient, SharedInformerFactory } from '@naru/client';
import { FakeApiServer, VirtualClock } from '@naru/testkit';
import type { ControllerContext, ControlLoop } from '../src/controller-context.ts';
import { defaultOptions, type ControllerManagerOptions } from '../src/options.ts';

/** Controllers that run against a fake API server, on a virtual clock. */
export class Running implements AsyncDisposable {
  readonly server = new FakeApiServer();
  readonly clock = new VirtualClock();
  readonly #stack = new AsyncDisposableStack();
  readonly #stop = new AbortController();
  #context: ControllerContext | undefined;

  static async start(
    make: (context: ControllerContext) => readonly ControlLoop[],
    options: Partial<ControllerManagerOptions> = {},
  ): Promise<Running> {
    const running = new Running();
    const { server, clock } = running;
    const stack = running.#stack;
    stack.use(server);
    const client = stack.use(new RestClient({ server: await server.start() }));
    const logger = silentLogger();
    const informers = stack.use(new SharedInformerFactory({ client, clock, logger }));
    running.#context = {
      client,
      informers,
      clock,
      logger,
      random: () => 0.5,
      recorder: (component) => stack.use(new EventRecorder({ client, clock, component, logger })),
      options: { ...defaultOptions, ...options },
    };
    const loops = make(running.#context);
    for (const loop of loops) stack.use(loop);
    informers.start(running.#stop.signal);
    await informers.synced();
    for (const loop of loops) loop.start(running.#stop.signal);
    return running;
  }

  get context(): ControllerContext {
    if (this.#context === undefined) throw new Error('not started');
    return this.#context;
  }

  get client(): RestClient {
    return this.context.client as RestClient;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.#stack[Symbol.asyncDispose]();
  }
}
