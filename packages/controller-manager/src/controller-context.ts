import type { Client, EventRecorder, InformerFactory } from '@naru/client';
import type { Clock, Logger } from '@naru/component';
import type { ControllerManagerOptions } from './options.ts';

/** What controllers are made from. */
export interface ControllerContext {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** A recorder of events that come from this component. */
  recorder(component: string): EventRecorder;
  readonly options: ControllerManagerOptions;
}

/** One control loop. It asks for its informers when it is made; it starts when their caches are filled. */
export interface ControlLoop extends AsyncDisposable {
  start(signal: AbortSignal): void;
}
