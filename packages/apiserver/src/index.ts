export { readConfig, type ApiserverConfig } from './config.ts';
export { apiserverFlags } from './flags.ts';
export { ApiServer, type ApiServerOptions } from './server.ts';
export type * from './registry/strategy.ts';
