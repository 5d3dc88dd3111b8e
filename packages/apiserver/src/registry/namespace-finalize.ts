/** namespaces/finalize: the namespace controller takes its finalizer away, and the namespace goes. */
import { cloneJson, type UnstructuredObject } from '@naru/api';
import { checkPreconditions, type GenericRegistry, type WrittenObject } from './generic-registry.ts';
import type { RequestContext } from './request-context.ts';

interface Finalizable {
  spec?: { finalizers?: string[] };
}

export async function finalizeNamespace(
  namespaces: GenericRegistry,
  name: string,
  wanted: UnstructuredObject,
  context: RequestContext,
): Promise<WrittenObject> {
  return await namespaces.guaranteedUpdate('', name, context, async (old) => {
    const object = cloneJson(old);
    checkPreconditions(namespaces.resource, object, wanted.metadata.uid, wanted.metadata.resourceVersion);
    const finalizers = (wanted as Finalizable).spec?.finalizers ?? [];
    const spec: { finalizers?: string[] } = { ...(object as Finalizable).spec };
    if (finalizers.length > 0) spec.finalizers = finalizers;
    else delete spec.finalizers;
    object['spec'] = spec;
    const attributes = namespaces.attributes('UPDATE', 'finalize', object, old, context);
    await namespaces.admit(attributes);
    await namespaces.validateAdmission(attributes);
    const remove =
      object.metadata.deletionTimestamp !== undefined &&
      finalizers.length === 0 &&
      (object.metadata.finalizers ?? []).length === 0;
    return { object, remove };
  });
}
