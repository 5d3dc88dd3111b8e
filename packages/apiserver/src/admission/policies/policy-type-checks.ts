/**
 * Writes the type warnings of ValidatingAdmissionPolicies into their status, once for each generation. Every server does it for
 * all of them; who comes second finds it done.
 */
import {
  builtInResources,
  customResourceDefinitions,
  isNotFound,
  parseApiVersion,
  validatingAdmissionPolicies,
  type JsonSchema,
  type KubeObject,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import { ReconcileQueue } from '../../aggregation/reconcile-queue.ts';
import { loopbackContext } from '../../bootstrap.ts';
import type { ObjectChange } from '../../registry/object-observer.ts';
import type { ResourceStack } from '../../resource-stack.ts';
import { typeWarnings, type KindFinder, type KnownKind } from './type-warnings.ts';

const RETRY = { baseMs: 100, maxMs: 30_000 } as const;

type Policy = KubeObject & { readonly spec?: unknown; readonly status?: { readonly observedGeneration?: number } };

export class PolicyTypeChecks {
  static readonly observed: readonly Resource[] = [validatingAdmissionPolicies];

  readonly #stack: ResourceStack;
  readonly #clock: Clock;
  readonly #queue: ReconcileQueue;

  constructor({
    stack,
    clock,
    logger,
  }: {
    readonly stack: ResourceStack;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#stack = stack;
    this.#clock = clock;
    this.#queue = new ReconcileQueue({
      clock,
      retry: RETRY,
      reconcile: async (name) => await this.#reconcile(name),
      failed: (name, err) => logger.warn({ err, name }, 'checking the types of a policy failed'),
    });
  }

  observe({ object }: Pick<ObjectChange, 'object'>): void {
    this.#queue.mark(object.metadata.name ?? '');
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#queue.run(signal);
  }

  async #reconcile(name: string): Promise<void> {
    const registry = this.#stack.registryOf(validatingAdmissionPolicies);
    const policy: Policy | undefined = this.#stack.caches.get(validatingAdmissionPolicies, '', name);
    if (registry === undefined || policy === undefined || isChecked(policy)) return;
    const make = (old: UnstructuredObject): UnstructuredObject => (isChecked(old) ? old : this.#checked(old));
    try {
      await registry.update(name, 'status', make, loopbackContext('', this.#clock.now(), 'status'));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #checked(policy: UnstructuredObject): UnstructuredObject {
    const warnings = typeWarnings(policy['spec'] ?? {}, this.#finder);
    const status = {
      ...(policy['status'] as object | undefined),
      observedGeneration: policy.metadata.generation ?? 0,
      typeChecking: warnings.length === 0 ? {} : { expressionWarnings: warnings },
    };
    return { ...policy, metadata: { ...policy.metadata }, status };
  }

  readonly #finder: KindFinder = {
    ofResource: (group, version, resource) =>
      this.#find((each) => each.group === group && each.version === version && each.resource === resource),
    ofParam: ({ apiVersion = '', kind = '' }) => {
      const { group, version } = parseApiVersion(apiVersion);
      return this.#find((each) => each.group === group && each.version === version && each.kind === kind);
    },
  };

  #find(isWanted: (each: Pick<Resource, 'group' | 'version' | 'resource' | 'kind'>) => boolean): KnownKind | undefined {
    const builtIn = builtInResources.find((each) => each.schema === undefined && isWanted(each));
    if (builtIn !== undefined) {
      const { group, version, kind, model } = builtIn;
      return { group, version, kind, schema: { model } };
    }
    for (const { spec } of this.#stack.caches.list(customResourceDefinitions))
      for (const { name: version, served, schema } of spec.versions) {
        const { group, names } = spec;
        const { kind } = names;
        if (!served || !isWanted({ group, version, resource: names.plural, kind })) continue;
        return { group, version, kind, schema: { schema: (schema?.openAPIV3Schema ?? {}) as unknown as JsonSchema } };
      }
    return undefined;
  }
}

function isChecked({
  metadata,
  status,
}: {
  readonly metadata: KubeObject['metadata'];
  readonly status?: unknown;
}): boolean {
  const { observedGeneration } = (status ?? {}) as { readonly observedGeneration?: number };
  return observedGeneration !== undefined && observedGeneration >= (metadata.generation ?? 0);
}
