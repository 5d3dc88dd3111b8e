/** Query parameters of lists, watches and collections (metav1.ListOptions), checked as upstream does. */
import {
  fieldForbidden,
  fieldNotSupported,
  newBadRequest,
  newInvalid,
  newFieldSelector,
  newStatusError,
  parseFieldSelector,
  parseLabelSelector,
  type FieldError,
  type FieldSelector,
  type Selector,
} from '@naru/api';
import type { CachedObject } from '../cache/cached-object.ts';
import type { WatchScope } from '../cache/watcher-index.ts';
import type { ServedResource } from './served-resource.ts';

export type ResourceVersionMatch = '' | 'Exact' | 'NotOlderThan';

export interface ListOptions {
  readonly labelSelector: Selector | undefined;
  readonly fieldSelector: FieldSelector | undefined;
  /** 0: none. */
  readonly limit: number;
  readonly continue: string;
  /** Undefined: the newest. 0: whatever is at hand. */
  readonly resourceVersion: number | undefined;
  readonly resourceVersionMatch: ResourceVersionMatch;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  readonly timeoutSeconds: number | undefined;
}

/** The field selector is one of stored objects. @throws StatusError BadRequest or Invalid. */
export function parseListOptions(
  query: URLSearchParams,
  served: Pick<ServedResource, 'selectable' | 'view'>,
  options: { readonly watch: boolean },
): ListOptions {
  const labelText = query.get('labelSelector') ?? '';
  const fieldText = query.get('fieldSelector') ?? '';
  const labelSelector = labelText === '' ? undefined : parseLabelSelector(labelText);
  const fieldSelector = fieldText === '' ? undefined : storedSelector(parseFieldSelector(fieldText), served);
  const match = query.get('resourceVersionMatch') ?? '';
  const resourceVersionText = query.get('resourceVersion') ?? '';
  const sendInitialEvents = booleanOf(query, 'sendInitialEvents');
  checkCombination({
    watch: options.watch,
    resourceVersion: resourceVersionText,
    match,
    continueToken: query.get('continue') ?? '',
    sendInitialEvents,
  });
  return {
    labelSelector: labelSelector?.empty === true ? undefined : labelSelector,
    fieldSelector: fieldSelector?.empty === true ? undefined : fieldSelector,
    limit: Math.max(0, integerOf(query, 'limit') ?? 0),
    continue: query.get('continue') ?? '',
    resourceVersion: parseResourceVersion(resourceVersionText),
    resourceVersionMatch: match as ResourceVersionMatch,
    allowWatchBookmarks: booleanOf(query, 'allowWatchBookmarks') ?? false,
    sendInitialEvents,
    timeoutSeconds: integerOf(query, 'timeoutSeconds'),
  };
}

function storedSelector(
  { requirements }: FieldSelector,
  { selectable, view }: Pick<ServedResource, 'selectable' | 'view'>,
): FieldSelector {
  return newFieldSelector(
    requirements.map((each) => {
      const field = view === undefined ? each.field : view.storedField(each.field);
      if (field === undefined || !selectable.has(field)) throw unknownField(each.field, selectable);
      return { ...each, field };
    }),
  );
}

/** Upstream's kinds that know their metadata only say so. */
function unknownField(field: string, selectable: ReadonlySet<string>): Error {
  const own = [...selectable].some((each) => !each.startsWith('metadata.'));
  return newBadRequest(
    own
      ? `field label not supported: ${field}`
      : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
  );
}

/** Undefined for ''. @throws StatusError BadRequest. */
export function parseResourceVersion(text: string): number | undefined {
  if (text === '') return undefined;
  const revision = Number(text);
  if (!/^\d+$/u.test(text) || !Number.isSafeInteger(revision))
    throw newBadRequest(`invalid resource version: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  return revision;
}

/** A query parameter as a boolean: `true`, `1` and an empty value are true. */
export function booleanOf(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  return text === null ? undefined : text !== 'false' && text !== '0';
}

/** @throws StatusError BadRequest. */
export function integerOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (!/^[+-]?\d+$/u.test(text) || !Number.isSafeInteger(value))
    throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return value;
}

function checkCombination(given: {
  readonly watch: boolean;
  readonly resourceVersion: string;
  readonly match: string;
  readonly continueToken: string;
  readonly sendInitialEvents: boolean | undefined;
}): void {
  const { watch, resourceVersion, match, continueToken, sendInitialEvents } = given;
  const errors: FieldError[] = [];
  const forbid = (field: string, detail: string): void => void errors.push(fieldForbidden(field, detail));
  if (watch && sendInitialEvents !== undefined) {
    if (match === '')
      forbid('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
    else if (match !== 'NotOlderThan') errors.push(fieldNotSupported('resourceVersionMatch', match, ['NotOlderThan']));
  } else if (watch && match !== '') {
    forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  }
  if (!watch && sendInitialEvents !== undefined) forbid('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  if (!watch && match !== '') {
    if (resourceVersion === '')
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (continueToken !== '')
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan')
      errors.push(fieldNotSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    if (match === 'Exact' && resourceVersion === '0')
      forbid('resourceVersionMatch', 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  if (errors.length > 0) throw newInvalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);
}

/** The selectors as a predicate on cached objects; undefined: everything. */
export function predicateOf(options: ListOptions, name: string): ((object: CachedObject) => boolean) | undefined {
  const { labelSelector, fieldSelector } = options;
  if (labelSelector === undefined && fieldSelector === undefined && name === '') return undefined;
  return (object) =>
    (name === '' || object.name === name) &&
    (labelSelector === undefined || labelSelector.matches(object.labels)) &&
    (fieldSelector === undefined || fieldSelector.matches((field) => object.fields[field] ?? ''));
}

/** What a watch is limited to; `triggers` are the fields that watches are indexed by. */
export function scopeOf(options: ListOptions, namespace: string, triggers: readonly string[]): WatchScope {
  const name = options.fieldSelector?.requiresExactMatch('metadata.name');
  if (name !== undefined) return { namespace, name };
  for (const field of triggers) {
    const value = options.fieldSelector?.requiresExactMatch(field);
    if (value !== undefined) return { namespace, trigger: { field, value } };
  }
  return { namespace };
}

/** Where a limited list goes on: the revision it reads and the key it begins with. */
export interface ContinueToken {
  readonly revision: number;
  readonly startKey: string;
}

export function encodeContinue(token: ContinueToken, prefix: string): string {
  const start = token.startKey.slice(prefix.length);
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: token.revision, start })).toString('base64url');
}

/** @throws StatusError BadRequest. */
export function decodeContinue(text: string, prefix: string): ContinueToken {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (v === 'meta.k8s.io/v1' && Number.isSafeInteger(rv) && typeof start === 'string')
      return { revision: rv as number, startKey: prefix + start };
  } catch {
    // Said below, as for a token that is JSON of something else.
  }
  throw newBadRequest('continue key is not valid');
}

/** The 410 of a continue token whose revision is gone. */
export function expiredContinue(): Error {
  return newStatusError(
    'Expired',
    'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
  );
}
