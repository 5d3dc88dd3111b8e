import { equalJson, runtimeClasses, type Pod, type RuntimeClass } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

/** Pods get the overhead, node selector and tolerations of their RuntimeClass. */
export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  handles: (operation, resource, subresource) =>
    operation === 'CREATE' && subresource === '' && isResource(resource, '', 'pods'),
  async admit(attributes, store) {
    const spec = (attributes.object as Pod | undefined)?.spec;
    const found = await classOf(attributes, store);
    if (spec === undefined || found === undefined) return;
    const overhead = found.overhead?.podFixed;
    if (overhead !== undefined && (spec.overhead === undefined || Object.keys(spec.overhead).length === 0))
      spec.overhead = { ...overhead };
    const { nodeSelector = {}, tolerations = [] } = found.scheduling ?? {};
    for (const [key, value] of Object.entries(nodeSelector)) {
      const own = spec.nodeSelector?.[key];
      if (own !== undefined && own !== value)
        throw refuse(
          attributes,
          `pod rejected: conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        );
    }
    if (Object.keys(nodeSelector).length > 0) spec.nodeSelector = { ...spec.nodeSelector, ...nodeSelector };
    const own = spec.tolerations ?? [];
    const added = tolerations.filter((each) => !own.some((other) => equalJson(other, each)));
    if (added.length > 0) spec.tolerations = [...own, ...structuredClone(added)];
  },
  async validate(attributes, store) {
    const spec = (attributes.object as Pod | undefined)?.spec;
    const wanted = (await classOf(attributes, store))?.overhead?.podFixed;
    if (spec?.overhead !== undefined && Object.keys(spec.overhead).length > 0 && !equalJson(spec.overhead, wanted))
      throw refuse(
        attributes,
        wanted === undefined
          ? 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead'
          : "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
      );
  },
};

async function classOf(attributes: AdmissionAttributes, store: AdmissionStore): Promise<RuntimeClass | undefined> {
  const name = (attributes.object as Pod | undefined)?.spec?.runtimeClassName ?? '';
  if (name === '') return undefined;
  const found = store.get(runtimeClasses, '', name) ?? (await store.getConsistent(runtimeClasses, '', name));
  if (found === undefined) throw refuse(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  return found;
}
