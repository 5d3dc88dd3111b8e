/** The checks of the baseline level (k8s.io/pod-security-admission/policy). */
import { containersOf, named, namesOf, quoted, type PodSpec, type Violation } from './containers.ts';

/** `minor`: of the version of Kubernetes whose checks are meant; Infinity: the latest. */
export type Check = (
  spec: PodSpec,
  annotations: Readonly<Record<string, string>>,
  minor: number,
) => Violation | undefined;

const defaultCapabilities: ReadonlySet<string> = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

/** By the minor version since which they are safe. */
const safeSysctls: Readonly<Record<string, number>> = {
  'kernel.shm_rmid_forced': 0,
  'net.ipv4.ip_local_port_range': 0,
  'net.ipv4.tcp_syncookies': 0,
  'net.ipv4.ping_group_range': 0,
  'net.ipv4.ip_unprivileged_port_start': 0,
  'net.ipv4.ip_local_reserved_ports': 27,
  'net.ipv4.tcp_keepalive_time': 29,
  'net.ipv4.tcp_fin_timeout': 29,
  'net.ipv4.tcp_keepalive_intvl': 29,
  'net.ipv4.tcp_keepalive_probes': 29,
  'net.ipv4.tcp_rmem': 32,
  'net.ipv4.tcp_wmem': 32,
};

const seLinuxTypes: Readonly<Record<string, number>> = {
  '': 0,
  container_t: 0,
  container_init_t: 0,
  container_kvm_t: 0,
  container_engine_t: 31,
};

const isAllowed = (since: Readonly<Record<string, number>>, name: string, minor: number): boolean =>
  Object.hasOwn(since, name) && (since[name] ?? Infinity) <= minor;

const when = (parts: readonly string[], reason: string, separator = '; '): Violation | undefined =>
  parts.length === 0 ? undefined : { reason, detail: parts.join(separator) };

function privileged(spec: PodSpec): Violation | undefined {
  const names = namesOf(spec, (context) => context.privileged === true);
  if (names.length === 0) return undefined;
  return { reason: 'privileged', detail: `${named('container', names)} must not set securityContext.privileged=true` };
}

function hostNamespaces(spec: PodSpec): Violation | undefined {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name] === true);
  return when(
    used.map((name) => `${name}=true`),
    'host namespaces',
    ', ',
  );
}

export function hostPathVolumes(spec: PodSpec): Violation | undefined {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  return names.length === 0 ? undefined : { reason: 'hostPath volumes', detail: named('volume', names) };
}

function hostPorts(spec: PodSpec): Violation | undefined {
  const using = containersOf(spec).filter(({ ports = [] }) => ports.some(({ hostPort = 0 }) => hostPort !== 0));
  if (using.length === 0) return undefined;
  const ports = using.flatMap((container) => (container.ports ?? []).map(({ hostPort = 0 }) => hostPort));
  const shown = [...new Set(ports.filter((port) => port !== 0))].toSorted((a, b) => a - b);
  const names = using.map(({ name }) => name);
  const verb = names.length === 1 ? 'uses' : 'use';
  return {
    reason: 'hostPort',
    detail: `${named('container', names)} ${verb} hostPort${shown.length === 1 ? '' : 's'} ${shown.join(', ')}`,
  };
}

export function baselineCapabilities(spec: PodSpec): Violation | undefined {
  const added = new Set<string>();
  const names = namesOf(spec, ({ capabilities }) => {
    const wrong = (capabilities?.add ?? []).filter((each) => !defaultCapabilities.has(each));
    for (const each of wrong) added.add(each);
    return wrong.length > 0;
  });
  if (names.length === 0) return undefined;
  const list = quoted([...added].toSorted());
  return {
    reason: 'non-default capabilities',
    detail: `${named('container', names)} must not include ${list} in securityContext.capabilities.add`,
  };
}

function procMount(spec: PodSpec): Violation | undefined {
  const names = namesOf(spec, (context) => (context.procMount ?? 'Default') !== 'Default');
  if (names.length === 0 || spec.hostUsers === false) return undefined;
  return {
    reason: 'procMount',
    detail: `${named('container', names)} must not set securityContext.procMount to "Unmasked"`,
  };
}

export function baselineSeccomp(spec: PodSpec): Violation | undefined {
  const parts: string[] = [];
  if (spec.securityContext?.seccompProfile?.type === 'Unconfined') parts.push('pod');
  const names = namesOf(spec, (context) => context.seccompProfile?.type === 'Unconfined');
  if (names.length > 0) parts.push(named('container', names));
  if (parts.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `${parts.join(' and ')} must not set securityContext.seccompProfile.type to "Unconfined"`,
  };
}

function seLinuxOptions(spec: PodSpec, _: object, minor: number): Violation | undefined {
  const problems = new Set<string>();
  const isWrong = (options: { type?: string; user?: string; role?: string } | undefined): boolean => {
    if (options === undefined) return false;
    const { type = '', user = '', role = '' } = options;
    const found = [
      ...(isAllowed(seLinuxTypes, type, minor) ? [] : [`type ${JSON.stringify(type)}`]),
      ...(user === '' ? [] : ['user may not be set']),
      ...(role === '' ? [] : ['role may not be set']),
    ];
    for (const each of found) problems.add(each);
    return found.length > 0;
  };
  const setters: string[] = isWrong(spec.securityContext?.seLinuxOptions) ? ['pod'] : [];
  const names = namesOf(spec, (context) => isWrong(context.seLinuxOptions));
  if (names.length > 0) setters.push(named('container', names));
  if (setters.length === 0) return undefined;
  return {
    reason: 'seLinuxOptions',
    detail: `${setters.join(' and ')} set forbidden securityContext.seLinuxOptions: ${[...problems].join('; ')}`,
  };
}

function sysctls(spec: PodSpec, _: object, minor: number): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? []).map(({ name }) => name);
  const wrong = names.filter((name) => !isAllowed(safeSysctls, name, minor));
  return when(wrong, 'forbidden sysctls', ', ');
}

const APP_ARMOR = 'container.apparmor.security.beta.kubernetes.io/';

function appArmorProfile(spec: PodSpec, annotations: Readonly<Record<string, string>>): Violation | undefined {
  const setters: string[] = [];
  if (spec.securityContext?.appArmorProfile?.type === 'Unconfined') setters.push('pod');
  const names = namesOf(spec, (context) => context.appArmorProfile?.type === 'Unconfined');
  if (names.length > 0) setters.push(named('container', names));
  const parts =
    setters.length === 0 ? [] : [`${setters.join(' and ')} must not set AppArmor profile type to "Unconfined"`];
  const wrong = Object.entries(annotations)
    .filter(([key, value]) => key.startsWith(APP_ARMOR) && !/^(?:|runtime\/default|localhost\/.*)$/u.test(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .toSorted();
  if (wrong.length > 0) parts.push(`annotation${wrong.length === 1 ? '' : 's'} ${wrong.join(', ')}`);
  return when(parts, `forbidden AppArmor profile${wrong.length + setters.length === 1 ? '' : 's'}`);
}

function windowsHostProcess(spec: PodSpec): Violation | undefined {
  const setters: string[] = spec.securityContext?.windowsOptions?.hostProcess === true ? ['pod'] : [];
  const names = namesOf(spec, (context) => context.windowsOptions?.hostProcess === true);
  if (names.length > 0) setters.push(named('container', names));
  if (setters.length === 0) return undefined;
  return {
    reason: 'hostProcess',
    detail: `${setters.join(' and ')} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

/** In upstream's order. Those of the same name are replaced by the restricted level's. */
export const baselineChecks: Readonly<Record<string, Check>> = {
  appArmorProfile,
  capabilities: baselineCapabilities,
  hostNamespaces,
  volumes: hostPathVolumes,
  hostPorts,
  privileged,
  procMount,
  seLinuxOptions,
  seccompProfile: baselineSeccomp,
  sysctls,
  windowsHostProcess,
};
