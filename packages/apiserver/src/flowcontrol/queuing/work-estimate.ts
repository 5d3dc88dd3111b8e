/** How many seats a request takes: what it costs, beside a request for one object. */
import type { RequestInfo } from '../../server/request-info.ts';

/** Seats of the widest request, as upstream has it. */
const SEATS_MAX = 10;
/** Objects that a list may have for each seat. */
const OBJECTS_PER_SEAT = 100;

/**
 * One, but for lists and for watches that begin with one: those take a seat per hundred objects. `countOf` says how many objects
 * there are of a resource, undefined if that is not known; `seatsMax` is the level's.
 */
export function estimateSeats(
  info: RequestInfo,
  query: URLSearchParams,
  countOf: (info: RequestInfo) => number | undefined,
  seatsMax: number,
): number {
  const { verb, name } = info;
  const isList = verb === 'list' || (verb === 'watch' && query.get('sendInitialEvents') === 'true');
  if (!isList || name !== '') return 1;
  const count = countOf(info) ?? 0;
  const limit = Number(query.get('limit') ?? 0);
  const processed = limit > 0 ? Math.min(limit, count) : count;
  return Math.max(1, Math.min(SEATS_MAX, seatsMax, Math.ceil(processed / OBJECTS_PER_SEAT)));
}
