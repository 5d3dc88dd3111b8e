import type { KeyObject } from 'node:crypto';
import type { SigningOptions } from './certificates/csr-signing-controller.ts';

/** What the controllers can be told: the values of upstream's flags, with times in milliseconds. */
export interface ControllerManagerOptions {
  readonly concurrentSyncs: {
    readonly cronJob: number;
    readonly daemonSet: number;
    readonly deployment: number;
    readonly endpoint: number;
    readonly garbageCollector: number;
    readonly job: number;
    readonly namespace: number;
    readonly replicationController: number;
    readonly replicaSet: number;
    readonly resourceQuota: number;
    readonly service: number;
    readonly serviceAccount: number;
    readonly statefulSet: number;
    readonly ttlAfterFinished: number;
  };
  readonly maxEndpointsPerSlice: number;
  readonly allocateNodeCidrs: boolean;
  readonly clusterCidr: string;
  readonly nodeCidrMaskSize: number;
  readonly nodeMonitorPeriodMs: number;
  readonly nodeMonitorGracePeriodMs: number;
  readonly nodeStartupGracePeriodMs: number;
  readonly nodeEvictionRatePerSecond: number;
  readonly terminatedPodGcThreshold: number;
  readonly resourceQuotaSyncPeriodMs: number;
  /** PEM of the cluster's CA, published as kube-root-ca.crt; undefined publishes nothing. */
  readonly rootCa: string | undefined;
  /** Signs the tokens of ServiceAccounts' Secrets; undefined: there are none. */
  readonly serviceAccountKey: KeyObject | undefined;
  /** Who signs CertificateSigningRequests; undefined: nobody. */
  readonly signing: SigningOptions | undefined;
  /** Every ServiceAccount gets a Secret with a token, as before 1.24. */
  readonly legacyServiceAccountTokens: boolean;
}

/** Upstream's defaults. */
export const defaultOptions: ControllerManagerOptions = {
  concurrentSyncs: {
    cronJob: 5,
    daemonSet: 2,
    deployment: 5,
    endpoint: 5,
    garbageCollector: 20,
    job: 5,
    namespace: 10,
    replicationController: 5,
    replicaSet: 5,
    resourceQuota: 5,
    service: 5,
    serviceAccount: 5,
    statefulSet: 5,
    ttlAfterFinished: 5,
  },
  maxEndpointsPerSlice: 100,
  allocateNodeCidrs: false,
  clusterCidr: '',
  nodeCidrMaskSize: 24,
  nodeMonitorPeriodMs: 5000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeStartupGracePeriodMs: 60_000,
  nodeEvictionRatePerSecond: 0.1,
  terminatedPodGcThreshold: 12_500,
  resourceQuotaSyncPeriodMs: 300_000,
  rootCa: undefined,
  serviceAccountKey: undefined,
  signing: undefined,
  legacyServiceAccountTokens: false,
};
