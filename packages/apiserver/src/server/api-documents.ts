/** Discovery and OpenAPI: documents about the API, made when first asked for and then kept as bytes. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  aggregatedDiscoveryDocument,
  apiGroupDocument,
  apiGroupListDocument,
  apiResourceListDocument,
  apiVersionsDocument,
  openApiV2Document,
  openApiV3Document,
  openApiV3Index,
  openApiV3Path,
  type Resource,
} from '@naru/api';
import {
  mergeAggregated,
  mergeGroup,
  mergeGroupList,
  mergeOpenApiV2,
  mergeOpenApiV3Index,
  type RemoteGroupVersion,
} from '../aggregation/merged-documents.ts';
import { encodeOpenApiV2 } from '../protobuf/openapi-v2-document.ts';
import { acceptClauses } from './negotiation.ts';

/** Bytes of a document and their hash. */
interface KeptDocument {
  readonly bytes: Buffer;
  readonly hash: string;
}

const aggregatedMediaType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
const openApiV2Protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** Forms of `/openapi/v2`, and the names by which clients ask for them; a wildcard takes the first. */
const openApiV2Types: ReadonlyMap<string, string> = new Map([
  ['application/json', 'application/json'],
  ['application/com.github.proto-openapi.spec.v2@v1.0+protobuf', openApiV2Protobuf],
  [openApiV2Protobuf, openApiV2Protobuf],
]);

export interface ApiDocumentsOptions {
  readonly resources: () => readonly Resource[];
  /** What other servers serve. */
  readonly remotes: () => readonly RemoteGroupVersion[];
  /** Such as `v1.36.0`. */
  readonly version: string;
}

export class ApiDocuments {
  readonly #options: ApiDocumentsOptions;
  readonly #kept = new Map<string, KeptDocument>();
  #resources: readonly Resource[] | undefined;

  constructor(options: ApiDocumentsOptions) {
    this.#options = options;
  }

  /** Makes all documents anew when they are asked for: the resources are others now. */
  forget(): void {
    this.#kept.clear();
    this.#resources = undefined;
  }

  #all(): readonly Resource[] {
    return (this.#resources ??= this.#options.resources());
  }

  /** The discovery document at `/api`, `/apis`, `/apis/G`, `/api/V` or `/apis/G/V`; undefined: there is none. */
  discovery(path: string, serverAddress: string): object | undefined {
    const resources = this.#all();
    const [root, first, second, ...more] = path.split('/').filter((each) => each !== '');
    if (more.length > 0) return undefined;
    if (root === 'api') {
      if (first === undefined) return apiVersionsDocument(resources, serverAddress);
      return second === undefined ? apiResourceListDocument(resources, { group: '', version: first }) : undefined;
    }
    const remotes = this.#options.remotes();
    if (first === undefined) return mergeGroupList(apiGroupListDocument(resources), remotes);
    if (second === undefined) return mergeGroup(first, apiGroupDocument(resources, first), remotes);
    return apiResourceListDocument(resources, { group: first, version: second });
  }

  /** The paths of all discovery documents, in order. */
  paths(): readonly string[] {
    const paths = new Set(['/api', '/apis', '/apis/']);
    for (const { group, version } of [...this.#all(), ...this.#options.remotes()]) {
      if (group !== '') paths.add(`/apis/${group}`);
      paths.add(group === '' ? `/api/${version}` : `/apis/${group}/${version}`);
    }
    return [...paths].toSorted();
  }

  /** Answers `/api` or `/apis` in the aggregated form if the client wants that; false: it does not. */
  answerAggregated(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const at = path.replace(/\/$/u, '');
    if ((at !== '/api' && at !== '/apis') || !wantsAggregated(request)) return false;
    const kept = this.#keep(`aggregated ${at}`, () => {
      const own = aggregatedDiscoveryDocument(this.#all(), at);
      return at === '/api' ? own : mergeAggregated(own, this.#options.remotes());
    });
    send(request, response, kept, aggregatedMediaType);
    return true;
  }

  /** Answers `/openapi/v2`, `/openapi/v3` and what is below; false: there is no such document. */
  answerOpenApi(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const { version } = this.#options;
    const resources = this.#all();
    const [, , kind = '', ...rest] = path.split('/');
    if (kind === 'v2' && rest.length === 0) {
      this.#answerOpenApiV2(request, response);
      return true;
    }
    if (kind !== 'v3') return false;
    const below = rest.join('/');
    if (below === '') {
      send(
        request,
        response,
        this.#keep('v3', () => this.#index()),
        'application/json',
      );
      return true;
    }
    const own = resources.filter((each) => openApiV3Path(each) === below);
    if (own.length === 0) return false;
    const kept = this.#keep(`v3 ${below}`, () => openApiV3Document(own, { version }));
    send(request, response, kept, 'application/json');
    return true;
  }

  #answerOpenApiV2(request: IncomingMessage, response: ServerResponse): void {
    const type = openApiV2TypeOf(request);
    if (type === undefined) {
      response.writeHead(406, { vary: 'Accept', 'content-length': 0 });
      response.end();
      return;
    }
    const { remotes, version } = this.#options;
    const make = (): object => mergeOpenApiV2(openApiV2Document(this.#all(), { version }), remotes());
    const kept = this.#keep(`v2 ${type}`, make, type === openApiV2Protobuf ? encodeOpenApiV2 : encodeJson);
    send(request, response, kept, type);
  }

  #index(): object {
    const byPath = Map.groupBy(this.#all(), openApiV3Path);
    // A document depends on nothing but its resources and the version: no need to make them all for their hashes.
    const documents = [...byPath].map(([path, own]) => ({
      path,
      hash: hashOf(JSON.stringify([this.#options.version, own])),
    }));
    return mergeOpenApiV3Index(openApiV3Index(documents), this.#options.remotes());
  }

  #keep(key: string, make: () => object, encode: (document: object) => Buffer = encodeJson): KeptDocument {
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      const bytes = encode(make());
      kept = { bytes, hash: hashOf(bytes) };
      this.#kept.set(key, kept);
    }
    return kept;
  }
}

function encodeJson(document: object): Buffer {
  return Buffer.from(JSON.stringify(document));
}

function hashOf(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex').toUpperCase();
}

function send(request: IncomingMessage, response: ServerResponse, kept: KeptDocument, contentType: string): void {
  const etag = JSON.stringify(kept.hash);
  response.setHeader('etag', etag);
  response.setHeader('vary', 'Accept');
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304);
    response.end();
    return;
  }
  response.writeHead(200, { 'content-type': contentType, 'content-length': kept.bytes.length });
  response.end(kept.bytes);
}

/** The form of `/openapi/v2` that the client wants; undefined: none that there is. */
function openApiV2TypeOf({ headers }: IncomingMessage): string | undefined {
  for (const { type } of acceptClauses(headers.accept ?? '*/*')) {
    if (type === '*/*' || type === 'application/*') return 'application/json';
    const chosen = openApiV2Types.get(type);
    if (chosen !== undefined) return chosen;
  }
  return undefined;
}

/** Whether the client would rather have the aggregated form. */
function wantsAggregated(request: IncomingMessage): boolean {
  for (const { type, parameters } of acceptClauses(request.headers.accept ?? '')) {
    if (type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const { g, v, as } = parameters;
    if (as === undefined) return false;
    if (g === 'apidiscovery.k8s.io' && v === 'v2' && as === 'APIGroupDiscoveryList') return true;
  }
  return false;
}
