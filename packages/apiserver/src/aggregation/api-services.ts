/** Which APIServices there are to be: one for each group version that this server serves (k8s.io/kube-aggregator, controlplane/apiserver). */
import type { APIService, CustomResourceDefinition, UnstructuredObject } from '@naru/api';

/** Says that an APIService is the server's own: `onstart` for what is built in, `true` for what definitions define. */
export const autoManagedLabel = 'kube-aggregator.kubernetes.io/automanaged';

interface Priority {
  readonly group: number;
  readonly version: number;
}

/** Where built-in groups stand in discovery; the aggregator's own has no APIService. */
const priorities: Readonly<Record<string, Priority>> = {
  'v1.': { group: 18_000, version: 1 },
  'v1.apps': { group: 17_800, version: 15 },
  'v1.events.k8s.io': { group: 17_750, version: 15 },
  'v1.authentication.k8s.io': { group: 17_700, version: 15 },
  'v1.authorization.k8s.io': { group: 17_600, version: 15 },
  'v1.autoscaling': { group: 17_500, version: 15 },
  'v2.autoscaling': { group: 17_500, version: 30 },
  'v1.batch': { group: 17_400, version: 15 },
  'v1.certificates.k8s.io': { group: 17_300, version: 15 },
  'v1.networking.k8s.io': { group: 17_200, version: 15 },
  'v1.policy': { group: 17_100, version: 15 },
  'v1.rbac.authorization.k8s.io': { group: 17_000, version: 15 },
  'v1.storage.k8s.io': { group: 16_800, version: 15 },
  'v1.apiextensions.k8s.io': { group: 16_700, version: 15 },
  'v1.admissionregistration.k8s.io': { group: 16_700, version: 15 },
  'v1.scheduling.k8s.io': { group: 16_600, version: 15 },
  'v1.coordination.k8s.io': { group: 16_500, version: 15 },
  'v1.node.k8s.io': { group: 16_300, version: 15 },
  'v1.discovery.k8s.io': { group: 16_200, version: 15 },
  'v1.resource.k8s.io': { group: 16_200, version: 20 },
  'v1.flowcontrol.apiserver.k8s.io': { group: 16_100, version: 21 },
};
const customPriority: Priority = { group: 1000, version: 100 };

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

export function apiServiceName({ group, version }: GroupVersion): string {
  return `${version}.${group}`;
}

function newApiService(groupVersion: GroupVersion, priority: Priority, managed: string): APIService {
  return {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: apiServiceName(groupVersion), labels: { [autoManagedLabel]: managed } },
    spec: { ...groupVersion, groupPriorityMinimum: priority.group, versionPriority: priority.version },
  };
}

/** The APIServices of what is built in and of what is defined, by name. */
export function wantedApiServices(
  builtIn: Iterable<GroupVersion>,
  definitions: Iterable<CustomResourceDefinition>,
): Map<string, APIService> {
  const wanted = new Map<string, APIService>();
  for (const { spec } of definitions)
    for (const { name, served } of spec.versions) {
      const groupVersion = { group: spec.group, version: name };
      if (served) wanted.set(apiServiceName(groupVersion), newApiService(groupVersion, customPriority, 'true'));
    }
  for (const { group, version } of builtIn) {
    const priority = priorities[apiServiceName({ group, version })];
    if (priority !== undefined)
      wanted.set(apiServiceName({ group, version }), newApiService({ group, version }, priority, 'onstart'));
  }
  return wanted;
}

/** The service that a group version is served by; undefined: this server. */
export function remoteServiceOf(
  apiService: APIService,
): { readonly namespace: string; readonly name: string; readonly port: number } | undefined {
  const { service } = apiService.spec ?? {};
  if (service === undefined || service === null) return undefined;
  const { namespace = '', name = '', port = 443 } = service;
  return { namespace, name, port };
}

export function isAutoManaged({ metadata }: Pick<UnstructuredObject, 'metadata'>): boolean {
  return metadata.labels?.[autoManagedLabel] !== undefined;
}
