/** WATCH: one response that lasts, an event per line. */
import type { ServerResponse } from 'node:http';
import { apiVersionOf, isStatusError, type Resource } from '@naru/api';
import type { Clock } from '@naru/component';
import { CacheWatcher, type CacheWatcherOptions } from '../cache/cache-watcher.ts';
import { ConvertingWatcher } from '../cache/converting-watcher.ts';
import { encodeOther, type FrameEncoder } from '../cache/cache-event.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { WatchScope } from '../cache/watcher-index.ts';
import type { CacheReads } from './cache-reads.ts';
import { predicateOf, scopeOf, type ListOptions } from './list-options.ts';
import type { ObjectConverter } from './object-converter.ts';

/** How long a client may take to read the end of its watch. */
const UNREAD_END_MS = 10_000;

export interface WatchRequestOptions {
  readonly cache: WatchCache;
  /** Makes the cache's objects those of the version that is watched. */
  readonly converter?: ObjectConverter | undefined;
  readonly resource: Resource;
  /** The client wants metadata only: its bookmarks are of that kind, too. */
  readonly asMetadata: boolean;
  readonly namespace: string;
  /** Of the one object to watch; '' for all. */
  readonly name: string;
  readonly options: ListOptions;
  readonly triggerFields: readonly string[];
  readonly encoder: FrameEncoder | undefined;
  readonly contentType: string;
  /** `--min-request-timeout`: a watch without timeoutSeconds lasts this to twice this. */
  readonly minRequestTimeoutMs: number;
  readonly random: () => number;
  readonly clock: Clock;
  /** Ends all watches: the server shuts down. */
  readonly shutdown: AbortSignal;
}

/** Serves the watch; resolves when its initial objects are written. It goes on by itself. */
export async function serveWatch(
  response: ServerResponse,
  reads: CacheReads,
  request: WatchRequestOptions,
): Promise<void> {
  const { cache, namespace, options, clock, shutdown } = request;
  const { resourceVersion, sendInitialEvents } = options;
  // Without a resourceVersion, or with 0, a watch begins with the objects there are, unless told otherwise.
  const wantsInitial = sendInitialEvents ?? (resourceVersion === undefined || resourceVersion === 0);
  const startsNow = wantsInitial || resourceVersion === undefined || resourceVersion === 0;
  if (startsNow) await reads.waitFor(resourceVersion);
  if (response.destroyed) return;
  response.statusCode = 200;
  response.setHeader('content-type', request.contentType);
  response.setHeader('cache-control', 'no-cache, private');
  response.flushHeaders();

  const scope: WatchScope =
    request.name === '' ? scopeOf(options, namespace, request.triggerFields) : { namespace, name: request.name };
  const selects = predicateOf(options, request.name);
  const matches =
    scope.trigger === undefined || namespace === ''
      ? selects
      : (object: CachedObject): boolean => object.namespace === namespace && (selects?.(object) ?? true);
  const timeoutMs =
    options.timeoutSeconds !== undefined && options.timeoutSeconds > 0
      ? options.timeoutSeconds * 1000
      : request.minRequestTimeoutMs * (1 + request.random());
  const { converter } = request;
  const watcherOptions: CacheWatcherOptions = {
    output: response,
    matches,
    encoder: request.encoder,
    bookmark: options.allowWatchBookmarks ? bookmarkEncoder(request) : undefined,
    onEnd: () => {
      cancelTimeout();
      shutdown.removeEventListener('abort', onShutdown);
      remove?.();
      // Whoever does not even read the end is cut off.
      if (!response.closed)
        response.once(
          'close',
          clock.after(UNREAD_END_MS, () => response.destroy()),
        );
    },
  };
  const watcher =
    converter === undefined
      ? new CacheWatcher(watcherOptions)
      : new ConvertingWatcher({ ...watcherOptions, convert: async (event) => await converter.event(event) });
  const onShutdown = (): void => watcher.end();
  const cancelTimeout = clock.after(timeoutMs, () => watcher.end());
  shutdown.addEventListener('abort', onShutdown);
  let remove: (() => void) | undefined;
  try {
    const revision = startsNow ? reads.revision : (resourceVersion ?? 0);
    const page = { namespace, limit: 0, matches: converter === undefined ? matches : undefined };
    const initial = wantsInitial ? cache.page(page).objects : undefined;
    remove = cache.watch(watcher, scope, revision);
    const converted = initial === undefined ? undefined : await converter?.objects(initial);
    await watcher.start(converted?.filter((each) => matches?.(each) ?? true) ?? initial, {
      endBookmark: sendInitialEvents === true,
    });
  } catch (error) {
    if (!isStatusError(error)) throw error;
    watcher.end(encodeOther('ERROR', error.status, request.encoder));
  }
}

function bookmarkEncoder({
  resource,
  asMetadata,
  encoder,
}: WatchRequestOptions): (revision: number, initialEventsEnd: boolean) => Buffer {
  return (revision, initialEventsEnd) => {
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    };
    const typeMeta = asMetadata
      ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' }
      : { kind: resource.kind, apiVersion: apiVersionOf(resource) };
    return encodeOther('BOOKMARK', { ...typeMeta, metadata }, encoder);
  };
}
