/** Lists and watches in Kubernetes protobuf. */
import { setImmediate } from 'node:timers/promises';
import { apiVersionOf, type Resource, type UnstructuredObject } from '@naru/api';
import type { FrameEncoder } from '../cache/cache-event.ts';
import { protobufCodec } from '../protobuf/protobuf-codec.ts';
import type { ListResult } from './cache-reads.ts';
import { listKindOf, listMetadata, type ListBody } from './list-response.ts';
import type { MediaType } from './negotiation.ts';
import { parseCached, partialMetadata } from './table.ts';
import type { ReadView } from './version-view.ts';

/** Objects that are encoded before others get their turn. */
const OBJECTS_PER_TURN = 256;

interface ProtobufForm {
  readonly resource: Resource;
  readonly view: ReadView | undefined;
  readonly as: MediaType['as'];
}

function shownObject({ view, as }: ProtobufForm, bytes: Buffer): Record<string, unknown> {
  const object: UnstructuredObject = parseCached(bytes);
  if (as === 'metadata') return partialMetadata(object) as Record<string, unknown>;
  return view?.fromStored(object) ?? object;
}

/** The list; its length stands in front of it, so that it is made as a whole. */
export async function protobufListBody(form: ProtobufForm, result: ListResult): Promise<ListBody> {
  const items: Buffer[] = [];
  for (const { bytes } of result.objects) {
    items.push(protobufCodec.encodeMessage(shownObject(form, bytes)));
    if (items.length % OBJECTS_PER_TURN === 0) await setImmediate();
  }
  const { resource, as } = form;
  const typeMeta =
    as === 'metadata'
      ? { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadataList' }
      : { apiVersion: apiVersionOf(resource), kind: listKindOf(resource) };
  const parts = protobufCodec.encodeList({ ...typeMeta, metadata: listMetadata(result) }, items);
  let length = 0;
  for (const part of parts) length += part.length;
  const [head = Buffer.alloc(0), ...rest] = parts;
  return { head, items: rest.slice(0, -1), tail: rest.at(-1) ?? Buffer.alloc(0), length };
}

/** Frames of a watch. */
export function protobufEncoder(form: ProtobufForm): FrameEncoder {
  const { resource, as } = form;
  return {
    key: `protobuf ${as === 'metadata' ? as : apiVersionOf(resource)}`,
    encode: (type, { bytes }) => protobufCodec.frame(type, protobufCodec.encode(shownObject(form, bytes))),
    encodeOther: (type, object) => protobufCodec.frame(type, protobufCodec.encode(object)),
  };
}
