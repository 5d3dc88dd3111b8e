/** Which form of an answer the client accepts. */
import { newStatusError } from '@naru/api';
import { protobufType } from './object-body.ts';

/** `object`: as it is; `table` and `metadata`: as meta.k8s.io's Table or PartialObjectMetadata(List). */
export interface MediaType {
  readonly encoding: 'json' | 'yaml' | 'protobuf';
  readonly as: 'object' | 'table' | 'metadata';
  /** What the client takes of kinds that have no protobuf, or no table; undefined: nothing. Set with these only. */
  readonly otherwise?: MediaType | undefined;
}

const defaultMediaType: MediaType = { encoding: 'json', as: 'object' };
/** Parsed Accept headers kept; clients send few different ones. */
const ACCEPT_CACHE_MAX = 256;

const transforms: Readonly<Record<string, MediaType['as']>> = {
  Table: 'table',
  PartialObjectMetadata: 'metadata',
  PartialObjectMetadataList: 'metadata',
};

/** Chooses by Accept headers and remembers the choices. */
export class Negotiator {
  readonly #cache = new Map<string, MediaType>();

  /** @throws StatusError NotAcceptable. */
  choose(accept: string | undefined): MediaType {
    if (accept === undefined || accept === '' || accept === '*/*' || accept === 'application/json')
      return defaultMediaType;
    let chosen = this.#cache.get(accept);
    if (chosen === undefined) {
      chosen = parseAccept(accept);
      if (this.#cache.size >= ACCEPT_CACHE_MAX) this.#cache.clear();
      this.#cache.set(accept, chosen);
    }
    return chosen;
  }

  /** The same, but JSON rather than a refusal. */
  chooseAny(accept: string | undefined): MediaType {
    try {
      return this.choose(accept);
    } catch {
      return defaultMediaType;
    }
  }
}

interface AcceptClause {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

/** The clauses of an Accept header, most wanted first. */
export function acceptClauses(accept: string): AcceptClause[] {
  return accept
    .split(',')
    .map((clause) => {
      const [type = '', ...rest] = clause.split(';').map((each) => each.trim());
      const parameters = Object.fromEntries(
        rest.map((each) => {
          const equals = each.indexOf('=');
          return equals === -1 ? [each, ''] : [each.slice(0, equals), each.slice(equals + 1)];
        }),
      );
      const quality = Number(parameters['q'] ?? '1');
      return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
    })
    .filter(({ type, quality }) => type !== '' && quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
}

function parseAccept(accept: string): MediaType {
  const [first, ...others] = acceptClauses(accept)
    .map(mediaTypeOfClause)
    .filter((each) => each !== undefined);
  if (first === undefined) throw newNotAcceptable();
  if (first.encoding === 'protobuf')
    return { ...first, otherwise: others.find(({ encoding }) => encoding !== 'protobuf') };
  if (first.as === 'table') return { ...first, otherwise: others.find(({ as }) => as !== 'table') };
  return first;
}

/** The client takes nothing but a table. */
export function isTableOnly({ as, otherwise }: MediaType): boolean {
  return as === 'table' && otherwise === undefined;
}

/** The 406 of a client that takes nothing that there is. */
export function newNotAcceptable(): Error {
  return newStatusError(
    'NotAcceptable',
    `only the following media types are accepted: application/json, application/yaml, ${protobufType}`,
  );
}

function mediaTypeOfClause({ type, parameters }: AcceptClause): MediaType | undefined {
  const encoding = encodingOf(type);
  if (encoding === undefined) return undefined;
  const { as: wanted, g: group, v: version } = parameters;
  if (wanted === undefined) return { encoding, as: 'object' };
  const as = transforms[wanted];
  if (as === undefined || group !== 'meta.k8s.io' || version !== 'v1') return undefined;
  // Tables have no message.
  return as === 'table' && encoding === 'protobuf' ? undefined : { encoding, as };
}

function encodingOf(type: string): MediaType['encoding'] | undefined {
  switch (type) {
    case '*/*':
    case 'application/*':
    case 'application/json':
      return 'json';
    case 'application/yaml':
      return 'yaml';
    case protobufType:
      return 'protobuf';
    default:
      return undefined;
  }
}
