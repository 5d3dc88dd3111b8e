import { UsageError } from '@naru/component';
import type { ControllerContext, ControlLoop } from './controller-context.ts';
import { CronJobController } from './cronjob/cron-job-controller.ts';
import { DaemonSetController } from './daemonset/daemon-set-controller.ts';
import { JobController } from './job/job-controller.ts';
import { PvProtectionController } from './storage-protection/pv-protection-controller.ts';
import { PvcProtectionController } from './storage-protection/pvc-protection-controller.ts';
import { StatefulSetController } from './statefulset/stateful-set-controller.ts';
import { BootstrapSignerController } from './bootstrap-tokens/bootstrap-signer-controller.ts';
import { TokenCleanerController } from './bootstrap-tokens/token-cleaner-controller.ts';
import { CsrApprovingController } from './certificates/csr-approving-controller.ts';
import { CsrCleanerController } from './certificates/csr-cleaner-controller.ts';
import { CsrSigningController } from './certificates/csr-signing-controller.ts';
import { ClusterRoleAggregationController } from './clusterrole-aggregation/cluster-role-aggregation-controller.ts';
import { DisruptionController } from './disruption/disruption-controller.ts';
import { TtlAfterFinishedController } from './ttl-after-finished/ttl-after-finished-controller.ts';
import { DeploymentController } from './deployment/deployment-controller.ts';
import { EndpointsController } from './endpoints/endpoints-controller.ts';
import { GarbageCollector } from './garbage-collector/garbage-collector.ts';
import { NodeIpamController } from './node-ipam/node-ipam-controller.ts';
import { NodeLifecycleController } from './node-lifecycle/node-lifecycle-controller.ts';
import { TaintEvictionController } from './node-lifecycle/taint-eviction-controller.ts';
import { PodGcController } from './pod-gc/pod-gc-controller.ts';
import { EndpointSliceController } from './endpointslice/endpoint-slice-controller.ts';
import { NamespaceController } from './namespace/namespace-controller.ts';
import { ReplicaSetController } from './replicaset/replica-set-controller.ts';
import { replicaSetKind, replicationControllerKind } from './replicaset/replica-kind.ts';
import { ResourceQuotaController } from './resourcequota/resource-quota-controller.ts';
import { RootCaPublisher } from './serviceaccount/root-ca-publisher.ts';
import { TokensController } from './serviceaccount/tokens-controller.ts';
import { ServiceAccountController } from './serviceaccount/service-account-controller.ts';

type MakeControlLoop = (context: ControllerContext) => ControlLoop | undefined;

/** The controllers by upstream's names. One that its options leave without work is undefined. */
const controllers: Readonly<Record<string, MakeControlLoop>> = {
  'serviceaccount-controller': (context) => new ServiceAccountController(context),
  'serviceaccount-token-controller': (context) =>
    context.options.serviceAccountKey === undefined
      ? undefined
      : new TokensController(context, context.options.serviceAccountKey),
  'root-ca-certificate-publisher-controller': (context) =>
    context.options.rootCa === undefined ? undefined : new RootCaPublisher(context, context.options.rootCa),
  'replicaset-controller': (context) =>
    new ReplicaSetController(context, replicaSetKind, context.options.concurrentSyncs.replicaSet),
  'replicationcontroller-controller': (context) =>
    new ReplicaSetController(context, replicationControllerKind, context.options.concurrentSyncs.replicationController),
  'daemonset-controller': (context) => new DaemonSetController(context),
  'statefulset-controller': (context) => new StatefulSetController(context),
  'job-controller': (context) => new JobController(context),
  'cronjob-controller': (context) => new CronJobController(context),
  'deployment-controller': (context) => new DeploymentController(context),
  'endpoints-controller': (context) => new EndpointsController(context),
  'endpointslice-controller': (context) => new EndpointSliceController(context),
  'namespace-controller': (context) => new NamespaceController(context),
  'node-lifecycle-controller': (context) => new NodeLifecycleController(context),
  'taint-eviction-controller': (context) => new TaintEvictionController(context),
  'node-ipam-controller': (context) =>
    context.options.allocateNodeCidrs ? new NodeIpamController(context) : undefined,
  'pod-garbage-collector-controller': (context) => new PodGcController(context),
  'persistentvolumeclaim-protection-controller': (context) => new PvcProtectionController(context),
  'persistentvolume-protection-controller': (context) => new PvProtectionController(context),
  'disruption-controller': (context) => new DisruptionController(context),
  'ttl-after-finished-controller': (context) => new TtlAfterFinishedController(context),
  'resourcequota-controller': (context) => new ResourceQuotaController(context),
  'certificatesigningrequest-signing-controller': (context) =>
    context.options.signing === undefined ? undefined : new CsrSigningController(context, context.options.signing),
  'certificatesigningrequest-approving-controller': (context) => new CsrApprovingController(context),
  'certificatesigningrequest-cleaner-controller': (context) => new CsrCleanerController(context),
  'bootstrap-signer-controller': (context) => new BootstrapSignerController(context),
  'token-cleaner-controller': (context) => new TokenCleanerController(context),
  'clusterrole-aggregation-controller': (context) => new ClusterRoleAggregationController(context),
  // Last: it shares the informers that the others have asked for.
  'garbage-collector-controller': (context) => new GarbageCollector(context),
};

/** Those that run only where they are named, as upstream. */
const offByDefault: ReadonlySet<string> = new Set(['bootstrap-signer-controller', 'token-cleaner-controller']);

/** Names before 1.28, which `--controllers` still takes. */
const aliases: Readonly<Record<string, string>> = {
  bootstrapsigner: 'bootstrap-signer-controller',
  tokencleaner: 'token-cleaner-controller',
  'clusterrole-aggregation': 'clusterrole-aggregation-controller',
  csrapproving: 'certificatesigningrequest-approving-controller',
  csrcleaner: 'certificatesigningrequest-cleaner-controller',
  csrsigning: 'certificatesigningrequest-signing-controller',
  cronjob: 'cronjob-controller',
  daemonset: 'daemonset-controller',
  deployment: 'deployment-controller',
  disruption: 'disruption-controller',
  endpoint: 'endpoints-controller',
  endpointslice: 'endpointslice-controller',
  garbagecollector: 'garbage-collector-controller',
  job: 'job-controller',
  namespace: 'namespace-controller',
  nodeipam: 'node-ipam-controller',
  nodelifecycle: 'node-lifecycle-controller',
  'pvc-protection': 'persistentvolumeclaim-protection-controller',
  'pv-protection': 'persistentvolume-protection-controller',
  podgc: 'pod-garbage-collector-controller',
  replicaset: 'replicaset-controller',
  replicationcontroller: 'replicationcontroller-controller',
  'root-ca-cert-publisher': 'root-ca-certificate-publisher-controller',
  resourcequota: 'resourcequota-controller',
  serviceaccount: 'serviceaccount-controller',
  'serviceaccount-token': 'serviceaccount-token-controller',
  statefulset: 'statefulset-controller',
  'ttl-after-finished': 'ttl-after-finished-controller',
};

/**
 * The controllers that `--controllers` names.
 * @throws UsageError for a name that is none.
 */
export function selectControllers(selection: readonly string[]): readonly MakeControlLoop[] {
  const all = selection.includes('*');
  const on = new Set<string>();
  const off = new Set<string>();
  for (const each of selection) {
    if (each === '*') continue;
    const given = each.replace(/^[-+]/u, '');
    const name = Object.hasOwn(controllers, given) ? given : aliases[given];
    if (name === undefined)
      throw new UsageError(
        `invalid argument for "--controllers" flag: "${given}" is not in the list of known controllers`,
      );
    (each.startsWith('-') ? off : on).add(name);
  }
  return Object.entries(controllers)
    .filter(([name]) => !off.has(name) && ((all && !offByDefault.has(name)) || on.has(name)))
    .map(([, make]) => make);
}
