/** managedFields of what is written by anything but apply. */
import { formatTime, isStatusError, trackUpdate, type UnstructuredObject } from '@naru/api';
import { withVersions, type KindVersions } from './kind-versions.ts';
import type { RequestContext } from './request-context.ts';

export interface TrackedWrite {
  /** Undefined: the object is new. */
  readonly old: UnstructuredObject | undefined;
  readonly versions: KindVersions;
  /** Fields that the write cannot set. */
  readonly resetFields: readonly string[];
}

/** What a client changes is its own from here on; what admission and strategies change is nobody's. */
export async function trackFields(
  object: UnstructuredObject,
  { old, versions, resetFields }: TrackedWrite,
  { fieldManager, nowMs }: Pick<RequestContext, 'fieldManager' | 'nowMs'>,
): Promise<void> {
  // Who makes the object may have left it the old one's metadata.
  object.metadata = { ...object.metadata };
  if (fieldManager === undefined) {
    if (old?.metadata.managedFields === undefined) delete object.metadata.managedFields;
    else object.metadata.managedFields = old.metadata.managedFields;
  } else if (!fieldManager.applies) {
    const { name: manager, subresource, apiVersion = object.apiVersion } = fieldManager;
    const modelOf: KindVersions['modelOf'] = (version) => versions.modelOf(version);
    const owner = { manager, subresource, apiVersion, modelOf, resetFields, now: formatTime(nowMs) };
    try {
      await withVersions(trackUpdate(object, old, owner), versions);
    } catch (error) {
      if (!isStatusError(error)) throw error;
      // An update needs no other version but for this: where there is none, nobody owns anything.
      delete object.metadata.managedFields;
    }
  }
}
