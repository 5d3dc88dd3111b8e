import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  isRelaxedEnvVarName,
  isValidPortName,
  type Container,
  type FieldError,
  type PodSpec,
} from '@naru/api';
import { dataKey, invalidAll, oneOf, optionalOneOf, portNumber, required, requiredDnsLabel } from './field-rules.ts';
import { validateLifecycle, validateProbes } from './probes.ts';
import { validateResourceRequirements } from './resource-requirements.ts';

const pullPolicies = ['Always', 'IfNotPresent', 'Never'];
const protocols = ['SCTP', 'TCP', 'UDP'];
const envFieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** All that the downward API can name, whether or not it can be an environment variable. */
const downwardFieldPaths = [
  ...envFieldPaths,
  'metadata.annotations',
  'metadata.labels',
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
];
const resourceFields = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

export interface ContainerContext {
  readonly spec: PodSpec;
  readonly volumes: ReadonlySet<string>;
  readonly path: string;
}

/** spec.containers and spec.initContainers. */
export function validateContainers(context: ContainerContext): FieldError[] {
  const { spec, path } = context;
  const names = new Set<string>();
  const errors: FieldError[] = [];
  if ((spec.containers ?? []).length === 0) errors.push(fieldRequired(`${path}.containers`));
  for (const [i, container] of (spec.containers ?? []).entries()) {
    const at = `${path}.containers[${i}]`;
    errors.push(...validateContainer(at, container, context, names));
    errors.push(...validateLifecycle(at, container, spec.terminationGracePeriodSeconds));
    errors.push(...validateProbes(at, container));
    if (container.restartPolicy !== undefined && container.restartPolicy !== '')
      errors.push(fieldForbidden(`${at}.restartPolicy`, 'may not be set for non-init containers'));
  }
  errors.push(...hostPortConflicts(spec.containers ?? [], `${path}.containers`));
  for (const [i, container] of (spec.initContainers ?? []).entries())
    errors.push(...validateInitContainer(`${path}.initContainers[${i}]`, container, context, names));
  return errors;
}

/** What an ephemeral container may not have: it gets no resources of its own, and nobody looks after it. */
const notForEphemeral = [
  'lifecycle',
  'livenessProbe',
  'ports',
  'readinessProbe',
  'resources',
  'resizePolicy',
  'startupProbe',
] as const;

/** spec.ephemeralContainers of a pod that runs. */
export function validateEphemeralContainers(spec: PodSpec, path: string): FieldError[] {
  const volumes = new Set((spec.volumes ?? []).map((each) => each.name));
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((each) => each.name);
  const names = new Set(others);
  return (spec.ephemeralContainers ?? []).flatMap((container, i) => {
    const at = `${path}[${i}]`;
    const { targetContainerName: target, ...rest } = container;
    const errors = validateContainer(at, rest, { spec, volumes, path }, names);
    if (target !== undefined && target !== '' && !others.includes(target))
      errors.push(fieldNotFound(`${at}.targetContainerName`, target));
    for (const field of notForEphemeral) {
      const value: unknown = container[field];
      if (value !== undefined && Object.keys(value as object).length > 0)
        errors.push(fieldForbidden(`${at}.${field}`, 'cannot be set for an Ephemeral Container'));
    }
    for (const [j, mount] of (container.volumeMounts ?? []).entries())
      for (const field of ['subPath', 'subPathExpr'] as const)
        if ((mount[field] ?? '') !== '')
          errors.push(fieldForbidden(`${at}.volumeMounts[${j}].${field}`, 'cannot be set for an Ephemeral Container'));
    return errors;
  });
}

function validateInitContainer(
  path: string,
  container: Container,
  context: ContainerContext,
  names: Set<string>,
): FieldError[] {
  const errors = validateContainer(path, container, context, names);
  errors.push(...hostPortConflicts([container], path.replace(/\[\d+\]$/u, '')));
  const isSidecar = container.restartPolicy === 'Always';
  if (container.restartPolicy !== undefined)
    errors.push(...oneOf(`${path}.restartPolicy`, container.restartPolicy, ['Always']));
  if (isSidecar) {
    errors.push(...validateLifecycle(path, container, context.spec.terminationGracePeriodSeconds));
    errors.push(...validateProbes(path, container));
    return errors;
  }
  for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    if (container[field] !== undefined)
      errors.push(
        fieldForbidden(`${path}.${field}`, 'may not be set for init containers without restartPolicy=Always'),
      );
  }
  return errors;
}

function validateContainer(
  path: string,
  container: Container,
  { spec, volumes }: ContainerContext,
  names: Set<string>,
): FieldError[] {
  const errors = requiredDnsLabel(`${path}.name`, container.name);
  if (errors.length === 0) {
    if (names.has(container.name)) errors.push(fieldDuplicate(`${path}.name`, container.name));
    names.add(container.name);
  }
  errors.push(
    ...required(`${path}.image`, container.image),
    ...oneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, ['FallbackToLogsOnError', 'File']),
    ...validatePorts(`${path}.ports`, container, spec.hostNetwork === true),
    ...validateEnv(`${path}.env`, container),
    ...validateEnvFrom(`${path}.envFrom`, container),
    ...validateVolumeMounts(`${path}.volumeMounts`, container, volumes),
    ...oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, pullPolicies),
    ...validateResourceRequirements(`${path}.resources`, container.resources),
    ...validateSecurityContext(`${path}.securityContext`, container),
  );
  return errors;
}

function validatePorts(path: string, { ports = [] }: Container, hostNetwork: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `${path}[${i}]`;
    if (port.name !== undefined && port.name !== '') {
      const problems = invalidAll(`${at}.name`, port.name, isValidPortName(port.name));
      if (problems.length > 0) errors.push(...problems);
      else if (names.has(port.name)) errors.push(fieldDuplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (port.containerPort === undefined || port.containerPort === 0) errors.push(fieldRequired(`${at}.containerPort`));
    else errors.push(...portNumber(`${at}.containerPort`, port.containerPort));
    if (port.hostPort !== undefined && port.hostPort !== 0) errors.push(...portNumber(`${at}.hostPort`, port.hostPort));
    errors.push(...oneOf(`${at}.protocol`, port.protocol, protocols));
    if (hostNetwork && port.hostPort !== undefined && port.hostPort !== port.containerPort)
      errors.push(
        fieldInvalid(`${at}.containerPort`, port.containerPort, 'must match `hostPort` when `hostNetwork` is true'),
      );
  }
  return errors;
}

function hostPortConflicts(containers: readonly Container[], path: string): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, { ports = [] }] of containers.entries()) {
    for (const [j, { protocol, hostIP = '', hostPort = 0 }] of ports.entries()) {
      if (hostPort === 0) continue;
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (seen.has(key)) errors.push(fieldDuplicate(`${path}[${i}].ports[${j}].hostPort`, key));
      seen.add(key);
    }
  }
  return errors;
}

function validateEnv(path: string, { env = [] }: Container): FieldError[] {
  return env.flatMap((variable, i) => {
    const at = `${path}[${i}]`;
    const name = variable.name ?? '';
    return [
      ...(name === '' ? [fieldRequired(`${at}.name`)] : invalidAll(`${at}.name`, name, isRelaxedEnvVarName(name))),
      ...validateValueFrom(`${at}.valueFrom`, variable),
    ];
  });
}

type EnvVar = NonNullable<Container['env']>[number];
const valueSources = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef'] as const;

function validateValueFrom(path: string, { value, valueFrom }: EnvVar): FieldError[] {
  if (valueFrom === undefined) return [];
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  const errors: FieldError[] = [];
  if (fieldRef !== undefined) errors.push(...validateFieldRef(`${path}.fieldRef`, fieldRef, envFieldPaths));
  if (resourceFieldRef !== undefined)
    errors.push(...validateResourceFieldRef(`${path}.resourceFieldRef`, resourceFieldRef, { needsContainer: false }));
  if (configMapKeyRef !== undefined) errors.push(...validateKeyRef(`${path}.configMapKeyRef`, configMapKeyRef));
  if (secretKeyRef !== undefined) errors.push(...validateKeyRef(`${path}.secretKeyRef`, secretKeyRef));
  const count = valueSources.filter((each) => valueFrom[each] !== undefined).length;
  if (count === 0)
    errors.push(
      fieldInvalid(
        path,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    );
  else if (value !== undefined && value !== '')
    errors.push(fieldInvalid(path, '', 'may not be specified when `value` is not empty'));
  else if (count > 1) errors.push(fieldInvalid(path, '', 'may not have more than one field specified at a time'));
  return errors;
}

function validateKeyRef(path: string, { name, key }: { name?: string; key: string }): FieldError[] {
  return [
    ...required(`${path}.name`, name),
    ...(key === undefined || key === '' ? [fieldRequired(`${path}.key`)] : dataKey(`${path}.key`, key)),
  ];
}

/** `metadata.labels['key']` and the paths of `allowed`. */
export function validateFieldRef(
  path: string,
  { apiVersion, fieldPath }: { apiVersion?: string; fieldPath: string },
  allowed: readonly string[],
): FieldError[] {
  if (apiVersion === undefined || apiVersion === '') return [fieldRequired(`${path}.apiVersion`)];
  if (fieldPath === undefined || fieldPath === '') return [fieldRequired(`${path}.fieldPath`)];
  const subscript = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/u.exec(fieldPath);
  if (subscript !== null) return [];
  if (!downwardFieldPaths.includes(fieldPath))
    return [
      fieldInvalid(
        `${path}.fieldPath`,
        fieldPath,
        `error converting fieldPath: field label not supported: ${fieldPath}`,
      ),
    ];
  return allowed.includes(fieldPath) ? [] : [fieldNotSupported(`${path}.fieldPath`, fieldPath, allowed)];
}

export function validateResourceFieldRef(
  path: string,
  { containerName, resource }: { containerName?: string; resource: string },
  { needsContainer }: { readonly needsContainer: boolean },
): FieldError[] {
  if (needsContainer && (containerName === undefined || containerName === ''))
    return [fieldRequired(`${path}.containerName`)];
  if (resource === undefined || resource === '') return [fieldRequired(`${path}.resource`)];
  return resourceFields.includes(resource) || /^(limits|requests)\.hugepages-/u.test(resource)
    ? []
    : [fieldNotSupported(`${path}.resource`, resource, resourceFields)];
}

function validateEnvFrom(path: string, { envFrom = [] }: Container): FieldError[] {
  return envFrom.flatMap(({ prefix, configMapRef, secretRef }, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    if (prefix !== undefined && prefix !== '')
      errors.push(...invalidAll(`${at}.prefix`, prefix, isRelaxedEnvVarName(prefix)));
    if (configMapRef !== undefined) errors.push(...required(`${at}.configMapRef.name`, configMapRef.name));
    if (secretRef !== undefined) errors.push(...required(`${at}.secretRef.name`, secretRef.name));
    if (configMapRef === undefined && secretRef === undefined)
      errors.push(fieldInvalid(at, '', 'must specify one of: `configMapRef` or `secretRef`'));
    if (configMapRef !== undefined && secretRef !== undefined)
      errors.push(fieldInvalid(at, '', 'may not have more than one field specified at a time'));
    return errors;
  });
}

function validateVolumeMounts(
  path: string,
  { volumeMounts = [] }: Container,
  volumes: ReadonlySet<string>,
): FieldError[] {
  const paths = new Set<string>();
  return volumeMounts.flatMap((mount, i) => {
    const at = `${path}[${i}]`;
    const errors = required(`${at}.name`, mount.name);
    if (errors.length === 0 && !volumes.has(mount.name)) errors.push(fieldNotFound(`${at}.name`, mount.name));
    if (mount.mountPath === undefined || mount.mountPath === '') errors.push(fieldRequired(`${at}.mountPath`));
    else if (paths.has(mount.mountPath))
      errors.push(fieldInvalid(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    paths.add(mount.mountPath);
    if (mount.subPath !== undefined && mount.subPath !== '')
      errors.push(...descendingPath(`${at}.subPath`, mount.subPath));
    if (mount.subPathExpr !== undefined && mount.subPathExpr !== '') {
      if (mount.subPath !== undefined && mount.subPath !== '')
        errors.push(
          fieldInvalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'),
        );
      errors.push(...descendingPath(`${at}.subPathExpr`, mount.subPathExpr));
    }
    errors.push(
      ...optionalOneOf(`${at}.mountPropagation`, mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None']),
    );
    return errors;
  });
}

/** A relative path that does not leave its root. */
export function descendingPath(path: string, value: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value.startsWith('/')) errors.push(fieldInvalid(path, value, 'must be a relative path'));
  errors.push(...noBacksteps(path, value));
  return errors;
}

export function noBacksteps(path: string, value: string): FieldError[] {
  return value.split('/').includes('..') ? [fieldInvalid(path, value, "must not contain '..'")] : [];
}

const ID_MAX = 2_147_483_647;

export function validateId(path: string, value: number | undefined): FieldError[] {
  return value !== undefined && (value < 0 || value > ID_MAX)
    ? [fieldInvalid(path, value, `must be between 0 and ${ID_MAX}, inclusive`)]
    : [];
}

function validateSecurityContext(path: string, { securityContext }: Container): FieldError[] {
  if (securityContext === undefined) return [];
  const errors = [
    ...validateId(`${path}.runAsUser`, securityContext.runAsUser),
    ...validateId(`${path}.runAsGroup`, securityContext.runAsGroup),
    ...optionalOneOf(`${path}.procMount`, securityContext.procMount, ['Default', 'Unmasked']),
  ];
  if (securityContext.allowPrivilegeEscalation === false) {
    if (securityContext.privileged === true)
      errors.push(
        fieldInvalid(path, securityContext, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'),
      );
    if ((securityContext.capabilities?.add ?? []).includes('CAP_SYS_ADMIN'))
      errors.push(
        fieldInvalid(
          path,
          securityContext,
          'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN',
        ),
      );
  }
  return errors;
}
