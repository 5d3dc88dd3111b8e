export { defaultConfig, parseConfig, type SchedulerConfig } from './config.ts';
export { startScheduler, type ServerOptions } from './server.ts';
