import type { FlagTable } from '@naru/component';
import { signingFlags } from './certificates/signing-flags.ts';

/** Upstream's flags, as far as they mean something here. */
export const controllerManagerFlags = {
  kubeconfig: { type: 'string', required: true, description: 'Path to the kubeconfig of the API server.' },
  controllers: {
    type: 'list',
    default: ['*'],
    description: "Controllers to run: '*' all that are on by default, 'foo' the one named foo, '-foo' all but it.",
  },
  'leader-elect': {
    type: 'boolean',
    default: true,
    description: 'Wait to be elected before the controllers run, so that several instances can stand by.',
  },
  'leader-elect-lease-duration': {
    type: 'duration',
    default: 15_000,
    description: 'How long others wait for the leader to renew before they try to take over.',
  },
  'leader-elect-renew-deadline': {
    type: 'duration',
    default: 10_000,
    description: 'How long the leader tries to renew before it gives up.',
  },
  'leader-elect-retry-period': { type: 'duration', default: 2000, description: 'Time between two tries.' },
  'leader-elect-resource-lock': {
    type: 'string',
    default: 'leases',
    values: ['leases'],
    description: 'Type of the object that is the lock.',
  },
  'leader-elect-resource-name': {
    type: 'string',
    default: 'kube-controller-manager',
    description: 'Name of the Lease that is the lock.',
  },
  'leader-elect-resource-namespace': {
    type: 'string',
    default: 'kube-system',
    description: 'Namespace of the Lease that is the lock.',
  },
  'allocate-node-cidrs': {
    type: 'boolean',
    default: false,
    description: 'Give each node a part of --cluster-cidr for its pods.',
  },
  'cluster-cidr': { type: 'string', default: '', description: 'Range of the pods’ addresses.' },
  'node-cidr-mask-size': {
    type: 'integer',
    default: 24,
    min: 8,
    max: 30,
    description: 'Size of a node’s part of --cluster-cidr, as a mask.',
  },
  'node-monitor-period': {
    type: 'duration',
    default: 5000,
    description: 'How often the heartbeats of nodes are checked.',
  },
  'node-monitor-grace-period': {
    type: 'duration',
    default: 50_000,
    description: 'How long a node may be silent before it counts as unreachable.',
  },
  'node-startup-grace-period': {
    type: 'duration',
    default: 60_000,
    description: 'How long a new node may be silent before it counts as unreachable.',
  },
  'node-eviction-rate': {
    type: 'string',
    default: '0.1',
    description: 'Nodes per second that are tainted for eviction while a zone is healthy.',
  },
  'terminated-pod-gc-threshold': {
    type: 'integer',
    default: 12_500,
    description: 'Number of ended pods above which the oldest are deleted; 0 or less deletes none.',
  },
  'max-endpoints-per-slice': {
    type: 'integer',
    default: 100,
    min: 1,
    max: 1000,
    description: 'Endpoints that one EndpointSlice holds at most.',
  },
  'root-ca-file': {
    type: 'string',
    default: '',
    description: 'CA certificates to publish as kube-root-ca.crt in every namespace.',
  },
  'service-account-private-key-file': {
    type: 'string',
    default: '',
    description: 'Key that signs the tokens of Secrets of type kubernetes.io/service-account-token.',
  },
  ...signingFlags,
  'feature-gates': {
    type: 'list',
    default: [],
    description:
      'Features on or off, as NAME=true|false: LegacyServiceAccountTokenNoAutoGeneration (true; false gives every ServiceAccount a Secret with a token, as before 1.24).',
  },
  'use-service-account-credentials': {
    type: 'boolean',
    default: false,
    description: 'Accepted; all controllers use the credentials of --kubeconfig.',
  },
  'healthz-bind-address': {
    type: 'string',
    default: '127.0.0.1:10257',
    description: 'HOST:PORT of /healthz, /livez, /readyz and /metrics; empty serves none.',
  },
  'concurrent-cron-job-syncs': syncs(5, 'CronJobs'),
  'concurrent-daemonset-syncs': syncs(2, 'DaemonSets'),
  'concurrent-deployment-syncs': syncs(5, 'Deployments'),
  'concurrent-endpoint-syncs': syncs(5, 'Endpoints'),
  'concurrent-gc-syncs': syncs(20, 'garbage collector'),
  'concurrent-job-syncs': syncs(5, 'Jobs'),
  'concurrent-namespace-syncs': syncs(10, 'namespaces'),
  'concurrent-rc-syncs': syncs(5, 'ReplicationControllers'),
  'concurrent-replicaset-syncs': syncs(5, 'ReplicaSets'),
  'resource-quota-sync-period': {
    type: 'duration',
    default: 300_000,
    description: 'How often ResourceQuotas are counted anew without a reason.',
  },
  'concurrent-resource-quota-syncs': syncs(5, 'ResourceQuotas'),
  'concurrent-service-endpoint-syncs': syncs(5, 'Services’ EndpointSlices'),
  'concurrent-serviceaccount-token-syncs': syncs(5, 'ServiceAccounts'),
  'concurrent-statefulset-syncs': syncs(5, 'StatefulSets'),
  'concurrent-ttl-after-finished-syncs': syncs(5, 'finished Jobs'),
} as const satisfies FlagTable;

function syncs(count: number, what: string): { type: 'integer'; default: number; min: 1; description: string } {
  return { type: 'integer', default: count, min: 1, description: `Workers for ${what}.` };
}
