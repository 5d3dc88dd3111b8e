import type { ConfigMap, Container, Pod, Secret, Service } from '@naru/api';
import { StartError } from '../errors.ts';
import { fieldValue, resourceValue, type DownwardFacts } from './downward-api.ts';
import { expand } from './expansion.ts';
import { specOf } from './pod-spec.ts';

export interface EnvironmentFacts extends DownwardFacts {
  /** Of the pod's namespace, and the one called `kubernetes` in `default`. */
  readonly services: readonly Service[];
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

export interface EnvironmentVariable {
  readonly key: string;
  readonly value: string;
}

function fail(message: string): StartError {
  return new StartError('CreateContainerConfigError', message);
}

/** A Secret's value as text. */
function decode(value: string): string {
  return Buffer.from(value, 'base64').toString('utf8');
}

/** The variables of a service: its address, and one set per port in the form of Docker's links. */
function serviceVariables(service: Service): [string, string][] {
  const ip = service.spec?.clusterIP;
  const ports = service.spec?.ports ?? [];
  const [first] = ports;
  if (ip === undefined || ip === '' || ip === 'None' || first === undefined) return [];
  const prefix = (service.metadata.name ?? '').toUpperCase().replaceAll('-', '_');
  const named = ports.flatMap(({ name, port }): [string, string][] =>
    name === undefined || name === ''
      ? []
      : [[`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll('-', '_')}`, String(port)]],
  );
  const links = ports.flatMap(({ port, protocol = 'TCP' }): [string, string][] => {
    const link = `${prefix}_PORT_${port}_${protocol}`;
    const url = `${protocol.toLowerCase()}://${ip}:${port}`;
    return [
      [link, url],
      [`${link}_PROTO`, protocol.toLowerCase()],
      [`${link}_PORT`, String(port)],
      [`${link}_ADDR`, ip],
    ];
  });
  const firstUrl = `${(first.protocol ?? 'TCP').toLowerCase()}://${ip}:${first.port}`;
  return [
    [`${prefix}_SERVICE_HOST`, ip],
    [`${prefix}_SERVICE_PORT`, String(first.port)],
    ...named,
    [`${prefix}_PORT`, firstUrl],
    ...links,
  ];
}

/** Variables of the services that a pod may know: always the API server's, the others if enableServiceLinks. */
function servicesEnvironment(facts: EnvironmentFacts): Map<string, string> {
  const { namespace } = facts.pod.metadata;
  const isMaster = ({ metadata }: Service): boolean =>
    metadata.namespace === 'default' && metadata.name === 'kubernetes';
  const withLinks = specOf(facts.pod).enableServiceLinks !== false;
  const chosen = facts.services.filter(
    (service) => isMaster(service) || (withLinks && service.metadata.namespace === namespace),
  );
  // A namespace's own service called kubernetes stands before the cluster's.
  chosen.sort((a, b) => Number(isMaster(b)) - Number(isMaster(a)));
  return new Map(chosen.flatMap(serviceVariables));
}

type EnvFromSource = NonNullable<Container['envFrom']>[number];
type EnvVarSource = NonNullable<NonNullable<Container['env']>[number]['valueFrom']>;

function fromSource(facts: EnvironmentFacts, source: EnvFromSource): [string, string][] {
  const prefix = source.prefix ?? '';
  const entries: [string, string][] = [];
  if (source.configMapRef !== undefined) {
    const { name = '', optional } = source.configMapRef;
    const configMap = facts.configMap(name);
    if (configMap === undefined && optional !== true) throw fail(`configmap "${name}" not found`);
    entries.push(...Object.entries(configMap?.data ?? {}));
  } else if (source.secretRef !== undefined) {
    const { name = '', optional } = source.secretRef;
    const secret = facts.secret(name);
    if (secret === undefined && optional !== true) throw fail(`secret "${name}" not found`);
    for (const [key, value] of Object.entries(secret?.data ?? {})) entries.push([key, decode(value)]);
  }
  // Keys that no variable can have are left out, as upstream.
  return entries
    .map(([key, value]): [string, string] => [`${prefix}${key}`, value])
    .filter(([key]) => key !== '' && !key.includes('='));
}

/** The value of `valueFrom`; undefined if it is optional and missing. */
function valueFrom(facts: EnvironmentFacts, container: Container, source: EnvVarSource): string | undefined {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  const namespace = facts.pod.metadata.namespace ?? '';
  if (fieldRef !== undefined) {
    const value = fieldValue(facts, fieldRef.fieldPath);
    if (value === undefined) throw fail(`unsupported fieldPath: ${fieldRef.fieldPath}`);
    return value;
  }
  if (resourceFieldRef !== undefined) {
    const value = resourceValue(facts, resourceFieldRef, container);
    if (value === undefined) throw fail(`unsupported container resource : ${resourceFieldRef.resource}`);
    return value;
  }
  if (configMapKeyRef !== undefined) {
    const { name = '', key, optional } = configMapKeyRef;
    const configMap = facts.configMap(name);
    if (configMap === undefined && optional !== true) throw fail(`configmap "${name}" not found`);
    const value = configMap?.data?.[key];
    if (value === undefined && optional !== true)
      throw fail(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
    return value;
  }
  if (secretKeyRef !== undefined) {
    const { name = '', key, optional } = secretKeyRef;
    const secret = facts.secret(name);
    if (secret === undefined && optional !== true) throw fail(`secret "${name}" not found`);
    const value = secret?.data?.[key];
    if (value === undefined && optional !== true) throw fail(`couldn't find key ${key} in Secret ${namespace}/${name}`);
    return value === undefined ? undefined : decode(value);
  }
  return undefined;
}

/**
 * A container's variables, as upstream's makeEnvironmentVariables: those of `envFrom`, then `env` with `$(NAME)` expanded
 * by what came before and by the services', then the services' that are not overridden.
 * @throws StartError CreateContainerConfigError when something it refers to is missing
 */
export function makeEnvironment(facts: EnvironmentFacts, container: Container): readonly EnvironmentVariable[] {
  const services = servicesEnvironment(facts);
  const result = new Map<string, string>();
  for (const source of container.envFrom ?? [])
    for (const [key, value] of fromSource(facts, source)) result.set(key, value);
  const lookup = (name: string): string | undefined => result.get(name) ?? services.get(name);
  for (const { name, value, valueFrom: source } of container.env ?? []) {
    if (source !== undefined) {
      const found = valueFrom(facts, container, source);
      if (found !== undefined) result.set(name, found);
    } else result.set(name, expand(value ?? '', lookup));
  }
  for (const [key, value] of services) if (!result.has(key)) result.set(key, value);
  return [...result].map(([key, value]) => ({ key, value }));
}

/** Command or arguments with `$(NAME)` expanded by the container's variables. */
export function expandCommand(
  words: readonly string[] | undefined,
  environment: readonly EnvironmentVariable[],
): string[] {
  const values = new Map(environment.map(({ key, value }) => [key, value]));
  return (words ?? []).map((word) => expand(word, (name) => values.get(name)));
}

/** Names of the ConfigMaps and Secrets that a pod refers to, in variables and volumes. */
export function referencedObjects(pod: Pod): { readonly configMaps: Set<string>; readonly secrets: Set<string> } {
  const spec = specOf(pod);
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const add = (set: Set<string>, name: string | undefined): void => {
    if (name !== undefined && name !== '') set.add(name);
  };
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      add(configMaps, configMapRef?.name);
      add(secrets, secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add(configMaps, valueFrom?.configMapKeyRef?.name);
      add(secrets, valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add(configMaps, volume.configMap?.name);
    add(secrets, volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add(configMaps, source.configMap?.name);
      add(secrets, source.secret?.name);
    }
  }
  return { configMaps, secrets };
}
