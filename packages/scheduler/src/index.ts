export { defaultConfig, parseConfig, type SchedulerConfig } from './config/config.ts';
export { startScheduler, type ServerOptions } from './server.ts';
