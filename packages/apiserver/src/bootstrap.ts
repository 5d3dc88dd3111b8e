/** What a cluster must hold before it serves: system namespaces, roles and the like. */
import {
  findResourceByKind,
  isAlreadyExists,
  parseApiVersion,
  type KubeObject,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import type { UserInfo } from './authentication/authenticator.ts';
import { ownFieldManager, type RequestContext } from './registry/request-context.ts';
import type { ResourceStack } from './resource-stack.ts';

/** The server itself, as admission sees it. */
const loopbackUser: UserInfo = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };

/** The context of a request that the server makes of itself, of an object ('') or by a subresource. */
export function loopbackContext(namespace: string, nowMs: number, subresource = ''): RequestContext {
  return {
    user: loopbackUser,
    namespace,
    dryRun: false,
    fieldValidation: 'Ignore',
    nowMs,
    fieldManager: ownFieldManager(subresource),
    warn: () => undefined,
  };
}

/** Creates what is missing; several servers may do so at the same time. */
export async function createBootstrapObjects(
  stack: ResourceStack,
  objects: readonly KubeObject[],
  options: { readonly clock: Clock; readonly logger: Logger },
): Promise<void> {
  let created = 0;
  for (const object of objects) {
    const { namespace = '', name = '' } = object.metadata;
    const resource = findResourceByKind({ ...parseApiVersion(object.apiVersion), kind: object.kind });
    const registry = resource === undefined ? undefined : stack.registryOf(resource);
    if (registry === undefined || registry.cache.get(registry.keyOf(namespace, name)) !== undefined) continue;
    try {
      const context = loopbackContext(namespace, options.clock.now());
      const { object: stored } = await registry.create(structuredClone(object) as UnstructuredObject, context);
      // What follows may need it: admission looks for the namespace in the cache.
      await stack.feed.waitFor(Number(stored.metadata.resourceVersion));
      created++;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await stack.feed.waitFor(await stack.store.currentRevision());
    }
  }
  options.logger.info({ created }, 'bootstrap objects are there');
}
