import type { KubeObject, Resource } from '@naru/api';
import type { ResourceRegistration } from './strategy.ts';
import { strategyFor } from './strategies/strategies.ts';
import { tableFor } from './tables/tables.ts';

/** Strategy and table of a resource: its own where it has some, else the generic ones. */
export function registrationFor<T extends KubeObject>(resource: Resource<T>): ResourceRegistration<T> {
  return { resource, strategy: strategyFor(resource), table: tableFor(resource) };
}
