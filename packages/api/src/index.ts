export * from './field-error.ts';
export type * from './object.ts';
export * from './resource.ts';
export * from './resources.ts';
export * from './status.ts';
