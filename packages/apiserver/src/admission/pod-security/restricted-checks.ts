/** What the restricted level adds to the baseline. */
import type { Check } from './baseline-checks.ts';
import { named, namesOf, quoted, type PodSpec, type SecurityContext, type Violation } from './containers.ts';

const volumeTypes: ReadonlySet<string> = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

/** What pods of Windows cannot say was asked of them, too, before 1.25. */
const isWindows = (spec: PodSpec, minor: number): boolean => spec.os?.name === 'windows' && minor >= 25;

function restrictedVolumes(spec: PodSpec): Violation | undefined {
  const wrong = (spec.volumes ?? []).flatMap((volume) => {
    const type = Object.keys(volume).find((key) => key !== 'name') ?? '';
    return type === '' || volumeTypes.has(type) ? [] : [{ name: volume.name, type }];
  });
  if (wrong.length === 0) return undefined;
  const types = [...new Set(wrong.map(({ type }) => type))].toSorted();
  const names = wrong.map(({ name }) => name);
  return {
    reason: 'restricted volume types',
    detail: `${named('volume', names)} ${names.length === 1 ? 'uses' : 'use'} restricted volume type${types.length === 1 ? '' : 's'} ${quoted(types)}`,
  };
}

function allowPrivilegeEscalation(spec: PodSpec, _: object, minor: number): Violation | undefined {
  if (isWindows(spec, minor)) return undefined;
  const names = namesOf(spec, (context) => context.allowPrivilegeEscalation !== false);
  if (names.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${named('container', names)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function capabilities(spec: PodSpec, _: object, minor: number): Violation | undefined {
  if (isWindows(spec, minor)) return undefined;
  const added = new Set<string>();
  const adding = namesOf(spec, (context) => {
    const wrong = (context.capabilities?.add ?? []).filter((each) => each !== 'NET_BIND_SERVICE');
    for (const each of wrong) added.add(each);
    return wrong.length > 0;
  });
  const keeping = namesOf(spec, (context) => context.capabilities?.drop?.includes('ALL') !== true);
  const parts: string[] = [];
  if (keeping.length > 0)
    parts.push(`${named('container', keeping)} must set securityContext.capabilities.drop=["ALL"]`);
  if (adding.length > 0)
    parts.push(
      `${named('container', adding)} must not include ${quoted([...added].toSorted())} in securityContext.capabilities.add`,
    );
  return parts.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: parts.join('; ') };
}

/** A setting that the pod can make for the containers that do not. */
function inherited<T>(
  spec: PodSpec,
  read: (context: SecurityContext | NonNullable<PodSpec['securityContext']>) => T | undefined,
  isGood: (value: T) => boolean,
): { readonly podValue: T | undefined; readonly bad: string[]; readonly silent: string[] } {
  const podValue = spec.securityContext === undefined ? undefined : read(spec.securityContext);
  const bad = namesOf(spec, (context) => {
    const value = read(context);
    return value !== undefined && !isGood(value);
  });
  const silent = namesOf(spec, (context) => read(context) === undefined);
  return { podValue, bad, silent };
}

function runAsNonRoot(spec: PodSpec): Violation | undefined {
  if (spec.hostUsers === false) return undefined;
  const { podValue, bad, silent } = inherited(
    spec,
    (context) => context.runAsNonRoot,
    (value) => value,
  );
  const reason = 'runAsNonRoot != true';
  if (bad.length > 0 || (podValue === false && silent.length > 0)) {
    const setters = [...(podValue === false ? ['pod'] : []), ...(bad.length > 0 ? [named('container', bad)] : [])];
    return { reason, detail: `${setters.join(' and ')} must not set securityContext.runAsNonRoot=false` };
  }
  if (podValue === true || silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named('container', silent)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser(spec: PodSpec): Violation | undefined {
  if (spec.hostUsers === false) return undefined;
  const setters: string[] = spec.securityContext?.runAsUser === 0 ? ['pod'] : [];
  const names = namesOf(spec, (context) => context.runAsUser === 0);
  if (names.length > 0) setters.push(named('container', names));
  if (setters.length === 0) return undefined;
  return { reason: 'runAsUser=0', detail: `${setters.join(' and ')} must not set runAsUser=0` };
}

function seccompProfile(spec: PodSpec, _: object, minor: number): Violation | undefined {
  if (isWindows(spec, minor)) return undefined;
  const isGood = (type: string): boolean => type === 'RuntimeDefault' || type === 'Localhost';
  const { podValue, bad, silent } = inherited(spec, (context) => context.seccompProfile?.type, isGood);
  const reason = 'seccompProfile';
  const isPodBad = podValue !== undefined && !isGood(podValue);
  if (bad.length > 0 || (isPodBad && silent.length > 0)) {
    const setters = [...(isPodBad ? ['pod'] : []), ...(bad.length > 0 ? [named('container', bad)] : [])];
    return {
      reason,
      detail: `${setters.join(' and ')} must not set securityContext.seccompProfile.type to "Unconfined"`,
    };
  }
  if (podValue !== undefined || silent.length === 0) return undefined;
  return {
    reason,
    detail: `pod or ${named('container', silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}

/** In upstream's order. */
export const restrictedChecks: Readonly<Record<string, Check>> = {
  allowPrivilegeEscalation,
  capabilities,
  volumes: restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompProfile,
};

/** The minor version since which a check is made; the others always were. */
export const restrictedSince: Readonly<Record<string, number>> = {
  allowPrivilegeEscalation: 8,
  capabilities: 22,
  runAsUser: 23,
  seccompProfile: 19,
};
