import { priorityClasses, type KubeObject, type Pod, type PriorityClass } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

/** Pods get the number of their PriorityClass. */
export const priority: AdmissionPlugin = {
  name: 'Priority',
  handles: (operation, resource, subresource) =>
    subresource === '' &&
    (operation === 'CREATE' || operation === 'UPDATE') &&
    (isResource(resource, '', 'pods') || isResource(resource, 'scheduling.k8s.io', 'priorityclasses')),
  async admit(attributes, store) {
    if (!isResource(attributes.resource, '', 'pods')) return;
    if (attributes.operation === 'UPDATE') keepPriority(attributes);
    else await setPriority(attributes, store);
  },
  validate(attributes, store) {
    if (isResource(attributes.resource, '', 'pods')) return;
    checkGlobalDefault(attributes, store.list(priorityClasses));
  },
};

/** Clients that do not know the computed fields leave them out. */
function keepPriority({ object, oldObject }: AdmissionAttributes): void {
  const spec = (object as Pod | undefined)?.spec;
  const old = (oldObject as Pod | undefined)?.spec;
  if (spec === undefined || old === undefined) return;
  if (spec.priority === undefined && old.priority !== undefined) spec.priority = old.priority;
  if (spec.preemptionPolicy === undefined && old.preemptionPolicy !== undefined)
    spec.preemptionPolicy = old.preemptionPolicy;
}

async function setPriority(attributes: AdmissionAttributes, store: AdmissionStore): Promise<void> {
  const spec = (attributes.object as Pod | undefined)?.spec;
  if (spec === undefined) return;
  const name = spec.priorityClassName ?? '';
  let found: PriorityClass | undefined;
  if (name === '') {
    found = defaultClass(store.list(priorityClasses));
    if (found !== undefined) spec.priorityClassName = found.metadata.name ?? '';
  } else {
    found = store.get(priorityClasses, '', name) ?? (await store.getConsistent(priorityClasses, '', name));
    if (found === undefined) throw refuse(attributes, `no PriorityClass with name ${name} was found`);
  }
  const value = found?.value ?? 0;
  const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority';
  if (spec.priority !== undefined && spec.priority !== value)
    throw refuse(
      attributes,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy)
    throw refuse(
      attributes,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

/** Of several default classes the one with the lowest value counts. */
function defaultClass(classes: readonly PriorityClass[]): PriorityClass | undefined {
  return classes.filter((each) => each.globalDefault === true).toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}

function checkGlobalDefault(attributes: AdmissionAttributes, classes: readonly PriorityClass[]): void {
  const object = attributes.object as (KubeObject & { globalDefault?: boolean }) | undefined;
  if (object?.globalDefault !== true) return;
  const other = classes.find((each) => each.globalDefault === true && each.metadata.name !== object.metadata.name);
  if (other !== undefined)
    throw refuse(
      attributes,
      `PriorityClass ${other.metadata.name ?? ''} is already marked as default. Only one default can exist`,
    );
}
