/** What a request is about, from its method and path alone (k8s.io/apiserver/pkg/endpoints/request). */

export interface RequestInfo {
  /** True for `/api/v1/…` and `/apis/GROUP/VERSION/…` with something behind. */
  readonly isResourceRequest: boolean;
  /** Percent-decoded, without the query. */
  readonly path: string;
  /** An API verb for resources (`list`, `watch`…), the method in lower case otherwise. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, for proxies; '' if nothing does. */
  readonly rest: string;
}

/** Parts below `namespaces/NAME` that belong to the namespace itself. */
const namespaceSubresources: ReadonlySet<string> = new Set(['status', 'finalize']);

const verbByMethod: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** `query` is needed for `watch` and for the name in `fieldSelector=metadata.name=x`. @throws URIError for bad escapes. */
export function requestInfoOf(method: string, rawPath: string, query: URLSearchParams): RequestInfo {
  const path = rawPath.includes('%') ? decodeURIComponent(rawPath) : rawPath;
  const none = { path, group: '', version: '', namespace: '', resource: '', name: '', subresource: '', rest: '' };
  const segments = rawPath.split('/');
  // Segments are decoded one by one, so that an encoded slash stays in its segment.
  const parts = (rawPath.includes('%') ? segments.map(decodeURIComponent) : segments).filter((each) => each !== '');
  const isCore = parts[0] === 'api';
  const prefixLength = isCore ? 2 : 3;
  if ((!isCore && parts[0] !== 'apis') || parts.length <= prefixLength)
    return { ...none, isResourceRequest: false, verb: method.toLowerCase() };
  const group = isCore ? '' : (parts[1] ?? '');
  const version = parts[prefixLength - 1] ?? '';
  let where = parts.slice(prefixLength);
  let namespace = '';
  // `/api/v1/watch/…`, from before lists could be watched.
  const isWatchPath = where[0] === 'watch' && where.length > 1 && method === 'GET';
  if (isWatchPath) where = where.slice(1);
  if (where[0] === 'namespaces' && where.length > 1) {
    namespace = where[1] ?? '';
    if (where.length > 2 && !namespaceSubresources.has(where[2] ?? '')) where = where.slice(2);
  }
  const [resource = '', name = '', subresource = '', ...rest] = where;
  const verb = isWatchPath ? 'watch' : resourceVerb(method, name, query);
  return {
    isResourceRequest: true,
    path,
    verb,
    group,
    version,
    namespace,
    resource,
    name:
      name === '' && (verb === 'list' || verb === 'watch' || verb === 'deletecollection') ? selectedName(query) : name,
    subresource,
    rest: rest.join('/'),
  };
}

function resourceVerb(method: string, name: string, query: URLSearchParams): string {
  if (method === 'GET' || method === 'HEAD') {
    if (name !== '') return 'get';
    const watch = query.get('watch');
    return watch === null || watch === 'false' || watch === '0' ? 'list' : 'watch';
  }
  if (method === 'DELETE' && name === '') return 'deletecollection';
  return verbByMethod[method] ?? method.toLowerCase();
}

/** The name in `fieldSelector=metadata.name=x`: authorization sees such a list as one of that name. */
function selectedName(query: URLSearchParams): string {
  const selector = query.get('fieldSelector');
  if (selector === null) return '';
  return /(?:^|,)metadata\.name==?([^,=!]+)(?:,|$)/u.exec(selector)?.[1] ?? '';
}

const noQuery = new URLSearchParams();

/** Splits a request's URL into its path and query. */
export function splitUrl(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const mark = url.indexOf('?');
  return mark === -1
    ? { path: url, query: noQuery }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}
