import { UsageError, type Clock } from '@naru/component';
import type { AdmissionConfig } from './admission-config.ts';
import type { AdmissionPlugin } from './admission.ts';
import type { ObservingAuthorizer } from '../authorization/cluster-authorizer.ts';
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './certificates.ts';
import { defaultIngressClass } from './default-ingress-class.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeRestriction } from './node-restriction.ts';
import { mutatingPolicies } from './policies/mutating-policies.ts';
import { validatingPolicies } from './policies/validating-policies.ts';
import { podSecurity } from './pod-security/pod-security.ts';
import { priority } from './priority.ts';
import { rbacEscalation } from './rbac-escalation.ts';
import { reinvoking, type DynamicMutation } from './reinvocation.ts';
import { resourceQuotaPlugin } from './resource-quota.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccountPlugin } from './service-account.ts';
import { defaultStorageClass, persistentVolumeClaimResize, storageObjectInUseProtection } from './storage-defaults.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';
import { mutatingWebhooks } from './webhooks/mutating-webhooks.ts';
import { validatingWebhooks } from './webhooks/validating-webhooks.ts';
import type { WebhookClient } from './webhooks/webhook-client.ts';

export interface AdmissionOptions {
  /** `--enable-admission-plugins`: beside those that are on by default. */
  readonly enable?: readonly string[];
  /** `--disable-admission-plugins`. */
  readonly disable?: readonly string[];
  /** What plugins are told. */
  readonly config?: AdmissionConfig | undefined;
  /** Whether pods get their ServiceAccount's token mounted; needs a signing key. Default true. */
  readonly mountServiceAccountTokens?: boolean;
  /** Checks that nobody grants what they do not have; without it nobody is checked. */
  readonly authorizer?: ObservingAuthorizer;
  readonly webhooks: WebhookClient;
  readonly clock: Clock;
  readonly random: () => number;
}

interface Entry<Plugin = AdmissionPlugin> {
  readonly plugin: Plugin;
  readonly isDefault: boolean;
}

/** Upstream's other plugins: what can be named in `--disable-admission-plugins` without harm. */
const otherPlugins: ReadonlySet<string> = new Set([
  'AlwaysAdmit',
  'AlwaysDeny',
  'AlwaysPullImages',
  'ClusterTrustBundleAttest',
  'DenyServiceExternalIPs',
  'EventRateLimit',
  'ExtendedResourceToleration',
  'ImagePolicyWebhook',
  'LimitPodHardAntiAffinityTopology',
  'NamespaceAutoProvision',
  'NamespaceExists',
  'OwnerReferencesPermissionEnforcement',
  'PodNodeSelector',
  'PodTolerationRestriction',
  'PodTopologyLabels',
]);

/** Every plugin, in upstream's order. */
function allPlugins(options: AdmissionOptions): {
  readonly inTree: readonly Entry[];
  readonly mutations: readonly Entry<DynamicMutation>[];
  readonly validations: readonly Entry[];
} {
  const { clock, authorizer, webhooks: client } = options;
  return {
    inTree: inTreePlugins(options),
    mutations: [
      { plugin: mutatingPolicies({ authorizer }), isDefault: true },
      { plugin: mutatingWebhooks({ client, authorizer }), isDefault: true },
    ],
    validations: [
      { plugin: validatingPolicies({ authorizer }), isDefault: true },
      { plugin: validatingWebhooks({ client, authorizer }), isDefault: true },
      // Last, so that what others refuse is never charged.
      { plugin: resourceQuotaPlugin(clock), isDefault: true },
    ],
  };
}

function inTreePlugins(options: AdmissionOptions): readonly Entry[] {
  const { mountServiceAccountTokens = true, authorizer, clock, random } = options;
  return [
    { plugin: namespaceLifecycle, isDefault: true },
    { plugin: limitRanger, isDefault: true },
    { plugin: serviceAccountPlugin({ mountTokens: mountServiceAccountTokens, clock, random }), isDefault: true },
    { plugin: nodeRestriction, isDefault: true },
    { plugin: taintNodesByCondition, isDefault: true },
    { plugin: podSecurity(options.config?.podSecurity), isDefault: true },
    { plugin: priority, isDefault: true },
    { plugin: defaultTolerationSeconds, isDefault: true },
    { plugin: defaultStorageClass, isDefault: true },
    { plugin: storageObjectInUseProtection, isDefault: true },
    { plugin: persistentVolumeClaimResize, isDefault: true },
    { plugin: runtimeClass, isDefault: true },
    { plugin: certificateApproval(authorizer), isDefault: true },
    { plugin: certificateSigning(authorizer), isDefault: true },
    { plugin: certificateSubjectRestriction, isDefault: true },
    { plugin: defaultIngressClass, isDefault: true },
  ];
}

/**
 * The plugins that are on, in the order in which they run.
 * @throws UsageError for a name that is unknown, or that is to be on but is not there.
 */
export function createAdmissionPlugins(options: AdmissionOptions): readonly AdmissionPlugin[] {
  const { enable = [], disable = [] } = options;
  const { inTree, mutations, validations } = allPlugins(options);
  const known = new Set([...inTree, ...mutations, ...validations].map(({ plugin }) => plugin.name));
  for (const name of enable) {
    if (known.has(name)) continue;
    const why = otherPlugins.has(name) ? 'is not supported' : 'is unknown';
    throw new UsageError(`enable-admission-plugins: plugin ${JSON.stringify(name)} ${why}`);
  }
  for (const name of disable) {
    if (!known.has(name) && !otherPlugins.has(name))
      throw new UsageError(`disable-admission-plugins: plugin ${JSON.stringify(name)} is unknown`);
    if (enable.includes(name))
      throw new UsageError(
        `${JSON.stringify(name)} in enable-admission-plugins and disable-admission-plugins overlapped`,
      );
  }
  const on = <Plugin extends { readonly name: string }>(entries: readonly Entry<Plugin>[]): readonly Plugin[] =>
    entries
      .filter(({ plugin, isDefault }) => (isDefault || enable.includes(plugin.name)) && !disable.includes(plugin.name))
      .map(({ plugin }) => plugin);
  const checks = options.authorizer === undefined ? [] : [rbacEscalation(options.authorizer)];
  return [...checks, ...on(inTree), reinvoking(on(inTree), on(mutations)), ...on(validations)];
}
