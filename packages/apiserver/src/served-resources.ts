/** Everything that has a place in the API: stored kinds, kinds in a second version, computed ones. */
import { bindings, builtInResources, pods, type Resource, type Status } from '@naru/api';
import type { Clock } from '@naru/component';
import { bindPod } from './registry/pod-binding.ts';
import type { VirtualResource } from './registry/virtual-resource.ts';
import { triggerFieldsOf, type ResourceStack } from './resource-stack.ts';
import type { Identity } from './security.ts';
import { ServedResources } from './server/served-resource.ts';
import { servedSubresources } from './server/subresource-handler.ts';
import { viewOf } from './server/version-view.ts';

export function serveResources(
  stack: ResourceStack,
  identity: Identity,
  clock: Clock,
  computed: readonly VirtualResource[],
): ServedResources {
  const resources = new ServedResources();
  const virtualResources = [...identity.virtualResources, bindingResource(stack, clock), ...computed];
  for (const known of builtInResources) {
    const view = viewOf(known);
    const registry = stack.registryOf(view?.stored ?? known);
    const virtual = virtualResources.find((each) => each.resource === known);
    if (registry === undefined && virtual === undefined) continue;
    const selectable = new Set(['metadata.name', ...Object.keys(registry?.strategy.selectableFields ?? {})]);
    if (known.namespaced) selectable.add('metadata.namespace');
    const own = identity.virtualSubresources.filter((each) => each.parent === known);
    const virtualSubresources = new Map(own.map((each) => [each.subresource, each]));
    // Discovery says only what there is.
    const resource: Resource = {
      ...known,
      subresources: known.subresources.filter(
        ({ name }) => servedSubresources.has(name) || virtualSubresources.has(name),
      ),
    };
    const triggerFields = triggerFieldsOf(known);
    resources.add({ resource, registry, view, virtual, virtualSubresources, selectable, triggerFields });
  }
  return resources;
}

/** POST to `bindings`: the same as to `pods/NAME/binding`. */
function bindingResource(stack: ResourceStack, clock: Clock): VirtualResource {
  return {
    resource: bindings,
    async create(binding, { user, namespace, dryRun }) {
      const registry = stack.registryOf(pods);
      if (registry === undefined) throw new Error('pods are not served');
      const context = {
        user,
        namespace,
        dryRun,
        fieldValidation: 'Warn' as const,
        nowMs: clock.now(),
        warn: () => undefined,
      };
      await bindPod(registry, binding.metadata.name ?? '', binding, context);
      const done: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
      return { ...done, metadata: {} };
    },
  };
}
