/** What `pods/ephemeralcontainers` and `pods/resize` may change. */
import {
  cloneJson,
  fieldForbidden,
  fieldInvalid,
  podQosClass,
  type Container,
  type FieldError,
  type Pod,
  type PodSpec,
  type UnstructuredObject,
} from '@naru/api';
import type { SubresourceStrategy } from '../strategy.ts';
import { deepEqual } from './field-rules.ts';
import { validateEphemeralContainers } from './containers.ts';

const specOf = (object: UnstructuredObject): PodSpec => (object as Pod).spec ?? { containers: [] };

/** All becomes what it was, but for who owns it; the new spec is handed back. */
function keepTheRest(object: UnstructuredObject, old: UnstructuredObject): PodSpec {
  const given = specOf(object);
  const pod = object as Pod;
  pod.spec = cloneJson(specOf(old));
  const { status } = old as Pod;
  if (status === undefined) delete pod.status;
  else pod.status = cloneJson(status);
  pod.metadata = { ...cloneJson(old.metadata), ...managedFieldsOf(object) };
  return given;
}

function managedFieldsOf({ metadata: { managedFields } }: UnstructuredObject): Pick<Pod['metadata'], 'managedFields'> {
  return managedFields === undefined ? {} : { managedFields };
}

export const ephemeralContainersStrategy: SubresourceStrategy = {
  prepareForUpdate(object, old) {
    const { ephemeralContainers } = keepTheRest(object, old);
    const spec = specOf(object);
    if (ephemeralContainers === undefined) delete spec.ephemeralContainers;
    else spec.ephemeralContainers = ephemeralContainers;
  },
  validateUpdate(object, old) {
    const path = 'spec.ephemeralContainers';
    const spec = specOf(object);
    const errors = validateEphemeralContainers(spec, path);
    const now = new Map((spec.ephemeralContainers ?? []).map((each) => [each.name, each]));
    for (const before of specOf(old).ephemeralContainers ?? []) {
      const after = now.get(before.name);
      const name = JSON.stringify(before.name);
      if (after === undefined)
        errors.push(fieldForbidden(path, `existing ephemeral containers ${name} may not be removed\n`));
      else if (!deepEqual(before, after))
        errors.push(fieldForbidden(path, `existing ephemeral containers ${name} may not be changed\n`));
    }
    return errors;
  },
};

const resizable: ReadonlySet<string> = new Set(['cpu', 'memory']);
const containerFields = ['containers', 'initContainers'] as const;

export const resizeStrategy: SubresourceStrategy = {
  prepareForUpdate(object, old) {
    const given = keepTheRest(object, old);
    const spec = specOf(object);
    for (const field of containerFields) {
      const wanted = new Map((given[field] ?? []).map((each) => [each.name, each]));
      for (const container of spec[field] ?? []) resizeContainer(container, wanted.get(container.name));
    }
  },
  validateUpdate(object, old) {
    const [spec, before] = [specOf(object), specOf(old)];
    const errors: FieldError[] = [];
    if (podQosClass(spec) !== podQosClass(before))
      errors.push(fieldInvalid('spec', podQosClass(spec), 'Pod QOS Class may not change as a result of resizing'));
    for (const field of containerFields)
      for (const [i, container] of (spec[field] ?? []).entries())
        errors.push(...validateResize(`spec.${field}[${i}].resources`, container, before[field]?.[i]));
    return errors;
  },
};

function resizeContainer(container: Container, wanted: Container | undefined): void {
  if (wanted === undefined) return;
  for (const field of ['resources', 'resizePolicy'] as const) {
    if (wanted[field] === undefined) delete container[field];
    else Object.assign(container, { [field]: wanted[field] });
  }
}

type Resources = NonNullable<Container['resources']>;

function validateResize(path: string, container: Container, old: Container | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const part of ['limits', 'requests'] as const) {
    const now: Resources['limits'] = container.resources?.[part] ?? {};
    const before: Resources['limits'] = old?.resources?.[part] ?? {};
    for (const name of new Set([...Object.keys(now), ...Object.keys(before)])) {
      if (now[name] === before[name]) continue;
      const at = `${path}.${part}`;
      if (!resizable.has(name)) errors.push(fieldForbidden(at, 'only cpu and memory resources are mutable'));
      else if (now[name] === undefined) errors.push(fieldForbidden(at, `resource ${part} cannot be removed`));
    }
  }
  return errors;
}
