/** The parameters of a policy's binding: objects of a kind that the policy names. */
import {
  builtInResources,
  customResourceDefinitions,
  defineResource,
  labelSelectorFrom,
  parseApiVersion,
  type KubeObject,
  type LabelSelector,
  type Resource,
} from '@naru/api';
import { CelError } from '../../cel/cel-program.ts';
import type { AdmissionStore } from '../admission.ts';

export interface ParamKind {
  readonly apiVersion?: string;
  readonly kind?: string;
}

export interface ParamRef {
  readonly name?: string;
  readonly namespace?: string;
  readonly selector?: LabelSelector;
  readonly parameterNotFoundAction?: string;
}

/** The resource of a kind, built in or custom. */
function resourceOfKind({ apiVersion = '', kind = '' }: ParamKind, store: AdmissionStore): Resource | undefined {
  const { group, version } = parseApiVersion(apiVersion);
  const builtIn = builtInResources.find(
    (each) => each.group === group && each.version === version && each.kind === kind && each.stored,
  );
  if (builtIn !== undefined) return builtIn;
  const definition = store
    .list(customResourceDefinitions)
    .find(({ spec }) => spec.group === group && spec.names.kind === kind);
  if (definition === undefined) return undefined;
  const { names, scope } = definition.spec;
  return defineResource({
    group,
    version,
    resource: names.plural,
    kind,
    model: kind,
    namespaced: scope === 'Namespaced',
    schema: {},
  });
}

/**
 * What `params` is, one for each evaluation: a policy with several parameters must allow by each.
 * @throws CelError where there are none and there should be.
 */
export async function paramsOf(
  paramKind: ParamKind | undefined,
  paramRef: ParamRef | undefined,
  { store, namespace }: { readonly store: AdmissionStore; readonly namespace: string },
): Promise<readonly (KubeObject | null)[]> {
  if (paramKind === undefined || paramRef === undefined) return [null];
  const resource = resourceOfKind(paramKind, store);
  if (resource === undefined)
    throw new CelError(
      `failed to find resource referenced by paramKind: '${paramKind.apiVersion ?? ''}, Kind=${paramKind.kind ?? ''}'`,
    );
  const where = resource.namespaced ? (paramRef.namespace ?? namespace) : '';
  if (resource.namespaced && where === '')
    throw new CelError('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  const found = await find(resource, { paramRef, namespace: where, store });
  if (found.length > 0) return found;
  if (paramRef.parameterNotFoundAction === 'Allow') return [];
  throw new CelError('no params found for policy binding with `Deny` parameterNotFoundAction');
}

async function find(
  resource: Resource,
  { paramRef, namespace, store }: { paramRef: ParamRef; namespace: string; store: AdmissionStore },
): Promise<readonly KubeObject[]> {
  const { name, selector } = paramRef;
  if (name !== undefined && name !== '') {
    const cached = resource.schema === undefined ? store.get(resource, namespace, name) : undefined;
    const param = cached ?? (await store.getConsistent(resource, namespace, name));
    return param === undefined ? [] : [param];
  }
  const matcher = labelSelectorFrom(selector);
  const all =
    resource.schema === undefined ? store.list(resource, namespace) : await store.listConsistent(resource, namespace);
  return all.filter(({ metadata }) => matcher.matches(metadata.labels));
}
