import type { GroupResource } from '@naru/api';
import type { Strategy } from '../strategy.ts';

const genericStrategy: Strategy = {};

const strategies: Readonly<Record<string, Strategy>> = {};

/** The strategy of a resource, by group and plural name; the generic one where a kind has nothing of its own. */
export function strategyFor({ group, resource }: GroupResource): Strategy {
  const key = group === '' ? resource : `${resource}.${group}`;
  return strategies[key] ?? genericStrategy;
}
