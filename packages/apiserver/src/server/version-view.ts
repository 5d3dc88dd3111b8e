/**
 * Kinds that are served in two versions and stored in one: Events (core and events.k8s.io) and HorizontalPodAutoscalers
 * (autoscaling/v1 and v2). Everything is stored, cached and checked in the one; the other is a view of it.
 */
import { conversionOf, type Resource, type UnstructuredObject } from '@naru/api';
import { frameHead, type FrameEncoder } from '../cache/cache-event.ts';

export interface VersionView extends ReadView {
  /** The resource as it is stored. */
  readonly stored: Resource;
  /** The argument is not changed. */
  toStored(object: UnstructuredObject): UnstructuredObject;
  /** The stored name of a field that a selector names; undefined: it cannot be selected by. */
  storedField(field: string): string | undefined;
}

/** How stored objects are read. */
export interface ReadView {
  /** The resource as it is served. */
  readonly served: Resource;
  /** The argument is not changed. */
  fromStored(object: UnstructuredObject): UnstructuredObject;
}

/** The view that serves a resource; undefined: it is stored as it is served. */
export function viewOf(resource: Resource): VersionView | undefined {
  const conversion = conversionOf(resource);
  if (conversion === undefined) return undefined;
  return {
    served: resource,
    stored: conversion.hub,
    toStored: (object) => conversion.toHub(object),
    fromStored: (object) => conversion.fromHub(object),
    storedField: (field) => (conversion.hubField === undefined ? field : conversion.hubField(field)),
  };
}

/** Bytes of a stored object as the view shows it. */
export function viewBytes(view: ReadView, bytes: Buffer): Buffer {
  return Buffer.from(JSON.stringify(view.fromStored(JSON.parse(bytes.toString()) as UnstructuredObject)));
}

/** Frames of a watch through the view. */
export function viewEncoder(view: ReadView): FrameEncoder {
  return {
    key: `version ${view.served.group}/${view.served.version}`,
    encode: (type, object) =>
      Buffer.concat([Buffer.from(frameHead(type)), viewBytes(view, object.bytes), Buffer.from('}\n')]),
  };
}
