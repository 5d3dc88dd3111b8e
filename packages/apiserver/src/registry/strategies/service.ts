import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isDns1123Subdomain,
  type FieldError,
  type Service,
  type ServicePort,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { cidr } from './cidr.ts';
import { setServiceDefaults } from './core-defaults.ts';
import {
  deepEqual,
  dnsLabel,
  invalidAll,
  labelsOf,
  oneOf,
  optionalOneOf,
  portNumber,
  portNumberOrName,
} from './field-rules.ts';
import { keepFields } from './keep-fields.ts';
import { ipMessage, isIpAddress, isIpv4Address } from './pod-spec.ts';
import { keepAllocatedFields } from './service-fields.ts';

type ServiceSpec = NonNullable<Service['spec']>;

const CLIENT_IP_TIMEOUT_SECONDS_MAX = 86_400;
const KUBELET_PORT = 10_250;
const sourceRangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';
const protocols = ['SCTP', 'TCP', 'UDP'];
const serviceTypes = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const familyPolicies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];

const specOf = (object: UnstructuredObject): ServiceSpec => (object as unknown as Service).spec ?? {};

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIP === 'None' || (spec.clusterIPs ?? [])[0] === 'None';
}

function validateService(object: UnstructuredObject): FieldError[] {
  const spec = specOf(object);
  const ports = spec.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length === 0 && !isHeadless(spec) && spec.type !== 'ExternalName') errors.push(fieldRequired('spec.ports'));
  errors.push(...validateType(spec), ...validateSessionAffinity(spec), ...labelsOf('spec.selector', spec.selector));
  for (const [i, address] of (spec.externalIPs ?? []).entries())
    if (!isIpAddress(address)) errors.push(fieldInvalid(`spec.externalIPs[${i}]`, address, ipMessage));
  errors.push(
    ...oneOf('spec.type', spec.type, serviceTypes),
    ...validatePorts(spec),
    ...validateSourceRanges(object, spec),
    ...validateTrafficPolicies(spec),
    ...validateFamilies(spec),
    ...validateClusterIps(spec),
  );
  return errors;
}

function validateType(spec: ServiceSpec): FieldError[] {
  if (spec.type === 'LoadBalancer' || spec.type === 'NodePort') return validateExposed(spec, spec.type);
  if (spec.type !== 'ExternalName') return [];
  const errors: FieldError[] = [];
  const name = (spec.externalName ?? '').replace(/\.$/u, '');
  if (name === '') errors.push(fieldRequired('spec.externalName'));
  else errors.push(...invalidAll('spec.externalName', name, isDns1123Subdomain(name)));
  for (const field of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const) {
    const value = spec[field];
    if (value !== undefined && value.length > 0)
      errors.push(fieldForbidden(`spec.${field}`, 'may not be set for ExternalName services'));
  }
  return errors;
}

function validateExposed(spec: ServiceSpec, type: string): FieldError[] {
  const errors: FieldError[] = [];
  // Load balancers of some clouds open more than what they are told.
  if (type === 'LoadBalancer')
    for (const [i, { port }] of (spec.ports ?? []).entries())
      if (port === KUBELET_PORT)
        errors.push(
          fieldInvalid(
            `spec.ports[${i}]`,
            port,
            `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`,
          ),
        );
  if (isHeadless(spec))
    errors.push(fieldInvalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  return errors;
}

/** The networks a load balancer lets in, by the field or else by the annotation that came before it. */
function validateSourceRanges({ metadata }: UnstructuredObject, spec: ServiceSpec): FieldError[] {
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata.annotations?.[sourceRangesAnnotation];
  if (ranges.length === 0 && annotation === undefined) return [];
  const path = ranges.length > 0 ? 'spec.LoadBalancerSourceRanges' : `metadata.annotations[${sourceRangesAnnotation}]`;
  const errors: FieldError[] = [];
  if (spec.type !== 'LoadBalancer') errors.push(fieldForbidden(path, "may only be used when `type` is 'LoadBalancer'"));
  for (const [i, range] of ranges.entries()) errors.push(...cidr(`${path}[${i}]`, range.trim()));
  if (ranges.length === 0 && annotation !== undefined && annotation.trim() !== '')
    errors.push(...annotation.split(',').flatMap((range) => cidr(path, range.trim())));
  return errors;
}

function validateSessionAffinity(spec: ServiceSpec): FieldError[] {
  const errors = oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  const path = 'spec.sessionAffinityConfig';
  if (spec.sessionAffinity === 'None' && spec.sessionAffinityConfig !== undefined)
    errors.push(fieldForbidden(path, 'must not be set when session affinity is None'));
  if (spec.sessionAffinity === 'ClientIP') {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    if (seconds === undefined)
      errors.push(fieldRequired(`${path}.clientIP.timeoutSeconds`, 'when session affinity type is ClientIP'));
    else if (seconds <= 0 || seconds > CLIENT_IP_TIMEOUT_SECONDS_MAX)
      errors.push(
        fieldInvalid(
          `${path}.clientIP.timeoutSeconds`,
          seconds,
          `must be greater than 0 and less than ${CLIENT_IP_TIMEOUT_SECONDS_MAX}`,
        ),
      );
  }
  return errors;
}

function validatePorts(spec: ServiceSpec): FieldError[] {
  const ports = spec.ports ?? [];
  const names = new Set<string>();
  const errors = ports.flatMap((port, i) => validatePort(`spec.ports[${i}]`, port, ports.length > 1, names));
  if (spec.type === 'ClusterIP') {
    for (const [i, { nodePort }] of ports.entries())
      if (nodePort !== undefined && nodePort !== 0)
        errors.push(fieldForbidden(`spec.ports[${i}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
  }
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, { protocol, port, nodePort = 0 }] of ports.entries()) {
    const nodeKey = `${protocol}/${nodePort}`;
    if (nodePort !== 0 && nodePorts.has(nodeKey)) errors.push(fieldDuplicate(`spec.ports[${i}].nodePort`, nodePort));
    nodePorts.add(nodeKey);
    const key = `${protocol}/${port}`;
    if (numbers.has(key)) errors.push(fieldDuplicate(`spec.ports[${i}]`, { port, protocol }));
    numbers.add(key);
  }
  return errors;
}

function validatePort(path: string, port: ServicePort, needsName: boolean, names: Set<string>): FieldError[] {
  const errors: FieldError[] = [];
  const name = port.name ?? '';
  if (name === '') {
    if (needsName) errors.push(fieldRequired(`${path}.name`));
  } else {
    errors.push(...dnsLabel(`${path}.name`, name));
    if (names.has(name)) errors.push(fieldDuplicate(`${path}.name`, name));
    names.add(name);
  }
  errors.push(
    ...portNumber(`${path}.port`, port.port ?? 0),
    ...oneOf(`${path}.protocol`, port.protocol, protocols),
    ...portNumberOrName(`${path}.targetPort`, port.targetPort ?? 0),
  );
  return errors;
}

function validateTrafficPolicies(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const isExternal =
    spec.type === 'NodePort' ||
    spec.type === 'LoadBalancer' ||
    (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  const external = spec.externalTrafficPolicy;
  if (external !== undefined && external !== '') {
    if (!isExternal)
      errors.push(
        fieldInvalid('spec.externalTrafficPolicy', external, 'may only be set for externally-accessible services'),
      );
    else errors.push(...optionalOneOf('spec.externalTrafficPolicy', external, ['Cluster', 'Local']));
  }
  errors.push(...optionalOneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']));
  return errors;
}

function validateFamilies(spec: ServiceSpec): FieldError[] {
  const errors = optionalOneOf('spec.ipFamilyPolicy', spec.ipFamilyPolicy, familyPolicies);
  if (spec.ipFamilyPolicy === 'RequireDualStack' && spec.type !== 'ExternalName')
    errors.push(
      fieldInvalid(
        'spec.ipFamilyPolicy',
        spec.ipFamilyPolicy,
        'this cluster is not configured for dual-stack services',
      ),
    );
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    const path = `spec.ipFamilies[${i}]`;
    if (family === 'IPv6') errors.push(fieldInvalid(path, family, 'not configured on this cluster'));
    else if (family !== 'IPv4') errors.push(fieldNotSupported(path, family, ['IPv4', 'IPv6']));
  }
  return errors;
}

function validateClusterIps(spec: ServiceSpec): FieldError[] {
  const addresses = spec.clusterIPs ?? [];
  const errors: FieldError[] = [];
  if (addresses.length > 0 && spec.clusterIP !== addresses[0])
    errors.push(fieldInvalid('spec.clusterIPs', addresses, 'first value must match `clusterIP`'));
  if (addresses.length > 1)
    errors.push(fieldInvalid('spec.clusterIPs', addresses, 'may only hold one value on a single-stack cluster'));
  for (const [i, address] of addresses.entries()) {
    const path = `spec.clusterIPs[${i}]`;
    if (address === 'None') continue;
    if (!isIpAddress(address)) errors.push(fieldInvalid(path, address, ipMessage));
    else if (!isIpv4Address(address))
      errors.push(fieldInvalid('spec.ipFamilies[0]', 'IPv6', 'not configured on this cluster'));
  }
  return errors;
}

function validateServiceUpdate(object: UnstructuredObject, oldObject: UnstructuredObject): FieldError[] {
  const spec = specOf(object);
  const old = specOf(oldObject);
  const errors: FieldError[] = [];
  const bothHaveOne = old.type !== 'ExternalName' && spec.type !== 'ExternalName' && (old.clusterIP ?? '') !== '';
  if (bothHaveOne && !deepEqual(spec.clusterIPs, old.clusterIPs)) {
    const isUnset = (spec.clusterIPs ?? []).length === 0;
    errors.push(
      isUnset
        ? fieldInvalid('spec.clusterIPs[0]', [], 'primary clusterIP can not be unset')
        : fieldInvalid('spec.clusterIPs[0]', spec.clusterIPs, 'may not change once set'),
    );
  }
  return [...errors, ...validateService(object)];
}

/** Fills what a Service of its type has on a single-stack cluster. */
function fillFields(spec: ServiceSpec): void {
  const address = spec.clusterIP ?? '';
  if (address !== '' && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [address];
  if (spec.type === 'ExternalName') return;
  spec.ipFamilyPolicy ??= 'SingleStack';
  if ((spec.ipFamilies ?? []).length === 0) spec.ipFamilies = ['IPv4'];
}

export const serviceStrategy: Strategy = {
  applyDefaults: setServiceDefaults,
  prepareForCreate(object) {
    object['status'] = { loadBalancer: {} };
    fillFields(specOf(object));
  },
  validate: validateService,
  prepareForUpdate(object, old) {
    keepFields(object, old, 'status');
    keepAllocatedFields(specOf(object), specOf(old));
    fillFields(specOf(object));
  },
  validateUpdate: validateServiceUpdate,
  selectableFields: {
    'spec.clusterIP': (object) => specOf(object).clusterIP ?? '',
    'spec.type': (object) => specOf(object).type ?? '',
  },
  allowCreateOnUpdate: true,
};
