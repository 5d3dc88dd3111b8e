/** Defaults of pods and pod templates; upstream's pkg/apis/core/v1/defaults.go. */
import type { Container, PodSpec, Probe, Volume } from '@naru/api';

const DEFAULT_MODE = 0o644;
const DEFAULT_TERMINATION_GRACE_PERIOD_SECONDS = 30;
const SERVICE_ACCOUNT_TOKEN_EXPIRATION_SECONDS = 3600;

interface PodDefaultsOptions {
  /** Host ports of host networking, requests from limits and service links are filled in for pods, not for templates. */
  readonly isPod: boolean;
}

/** Sets the defaults of a pod's spec, or of a template's. */
export function setPodSpecDefaults(spec: PodSpec, { isPod }: PodDefaultsOptions): void {
  spec.restartPolicy ??= 'Always';
  spec.terminationGracePeriodSeconds ??= DEFAULT_TERMINATION_GRACE_PERIOD_SECONDS;
  spec.dnsPolicy ??= 'ClusterFirst';
  if (isPod) spec.enableServiceLinks ??= true;
  spec.securityContext ??= {};
  spec.schedulerName ??= 'default-scheduler';
  // The deprecated alias and the field are one and the same on the wire.
  if (spec.serviceAccountName === undefined && spec.serviceAccount !== undefined)
    spec.serviceAccountName = spec.serviceAccount;
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName;
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
  for (const container of allContainers(spec)) {
    setContainerDefaults(container, { hostPorts: isPod && spec.hostNetwork === true });
    if (isPod) setRequestsFromLimits(container);
  }
  for (const constraint of spec.topologySpreadConstraints ?? []) {
    constraint.whenUnsatisfiable ??= 'DoNotSchedule';
  }
  if (isPod && spec.resources?.limits !== undefined) {
    spec.resources.requests = { ...spec.resources.limits, ...spec.resources.requests };
  }
}

/** Init, regular and ephemeral containers, in this order. */
export function allContainers(spec: PodSpec): Container[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

function setContainerDefaults(container: Container, { hostPorts }: { readonly hostPorts: boolean }): void {
  container.imagePullPolicy ??= pullPolicyOf(container.image ?? '');
  container.terminationMessagePath ??= '/dev/termination-log';
  container.terminationMessagePolicy ??= 'File';
  container.resources ??= {};
  for (const port of container.ports ?? []) {
    port.protocol ??= 'TCP';
    if (hostPorts) port.hostPort ??= port.containerPort;
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef !== undefined) valueFrom.fieldRef.apiVersion ??= 'v1';
    if (valueFrom?.resourceFieldRef !== undefined) valueFrom.resourceFieldRef.divisor ??= '0';
    if (valueFrom?.fileKeyRef !== undefined) valueFrom.fileKeyRef.optional ??= false;
  }
  setProbeDefaults(container.livenessProbe);
  setProbeDefaults(container.readinessProbe);
  setProbeDefaults(container.startupProbe);
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop])
    setHttpGetDefaults(handler?.httpGet);
}

/** Always for the tag latest or none, IfNotPresent for other tags and digests. */
export function pullPolicyOf(image: string): 'Always' | 'IfNotPresent' {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = /:([^:/]+)$/u.exec(image)?.[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function setProbeDefaults(probe: Probe | undefined): void {
  if (probe === undefined) return;
  setHttpGetDefaults(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
  // Zero means unset for these: the fields are plain numbers upstream.
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
}

function setHttpGetDefaults(httpGet: { path?: string; scheme?: string } | undefined): void {
  if (httpGet === undefined) return;
  httpGet.path ||= '/';
  httpGet.scheme ||= 'HTTP';
}

function setRequestsFromLimits(container: Container): void {
  const limits = container.resources?.limits;
  if (container.resources === undefined || limits === undefined) return;
  container.resources.requests = { ...limits, ...container.resources.requests };
}

const volumeSources = ['configMap', 'downwardAPI', 'secret', 'projected'] as const;

function setVolumeDefaults(volume: Volume): void {
  if (Object.keys(volume).every((field) => field === 'name')) volume.emptyDir = {};
  for (const source of volumeSources) {
    const value = volume[source];
    if (value !== undefined) value.defaultMode ??= DEFAULT_MODE;
  }
  if (volume.hostPath !== undefined) volume.hostPath.type ??= '';
  for (const item of volume.downwardAPI?.items ?? []) {
    if (item.fieldRef !== undefined) item.fieldRef.apiVersion ??= 'v1';
    if (item.resourceFieldRef !== undefined) item.resourceFieldRef.divisor ??= '0';
  }
  for (const source of volume.projected?.sources ?? []) {
    if (source.serviceAccountToken !== undefined)
      source.serviceAccountToken.expirationSeconds ??= SERVICE_ACCOUNT_TOKEN_EXPIRATION_SECONDS;
    for (const item of source.downwardAPI?.items ?? []) {
      if (item.fieldRef !== undefined) item.fieldRef.apiVersion ??= 'v1';
      if (item.resourceFieldRef !== undefined) item.resourceFieldRef.divisor ??= '0';
    }
  }
  if (volume.iscsi !== undefined) volume.iscsi.iscsiInterface ||= 'default';
  if (volume.rbd !== undefined) {
    volume.rbd.pool ||= 'rbd';
    volume.rbd.user ||= 'admin';
    volume.rbd.keyring ||= '/etc/ceph/keyring';
  }
  const template = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (template !== undefined) template.volumeMode ??= 'Filesystem';
}
