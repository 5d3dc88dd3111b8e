export type * from './registry/strategy.ts';
