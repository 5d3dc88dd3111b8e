export { selectControllers } from './controllers.ts';
export type { ControllerContext, ControlLoop } from './controller-context.ts';
export { controllerManagerFlags } from './flags.ts';
export { defaultOptions, type ControllerManagerOptions } from './options.ts';
export { startControllerManager } from './server.ts';
