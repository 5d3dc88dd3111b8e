/** Endpoints, EndpointSlice, Ingress, IngressClass, NetworkPolicy. */
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isDns1123Label,
  isDns1123Subdomain,
  isWildcardDns1123Subdomain,
  type Endpoints,
  type EndpointSlice,
  type FieldError,
  type IntOrString,
  type LabelSelector,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { cidr, isStrictSubset } from './cidr.ts';
import { setEndpointsDefaults, setEndpointSliceDefaults } from './core-defaults.ts';
import {
  dnsLabel,
  dnsSubdomain,
  immutable,
  invalidAll,
  oneOf,
  optionalOneOf,
  portNumber,
  portNumberOrName,
  required,
} from './field-rules.ts';
import { validateLabelSelector } from './label-selectors.ts';
import { ipMessage, isIpAddress, isIpv4Address } from './pod-spec.ts';

const ENDPOINTS_PER_SLICE_MAX = 1000;
const PORTS_PER_SLICE_MAX = 20_000;
const ADDRESSES_PER_ENDPOINT_MAX = 100;
const protocols = ['SCTP', 'TCP', 'UDP'];

// Upstream refuses loopback addresses here. Ours are the addresses of pods: without root, the loopback range is all there is.
const address = (path: string, ip: string | undefined): FieldError[] =>
  isIpAddress(ip ?? '') ? [] : [fieldInvalid(path, ip ?? '', ipMessage)];

function validateEndpoints(object: UnstructuredObject): FieldError[] {
  return ((object as unknown as Endpoints).subsets ?? []).flatMap((subset, i) => {
    const path = `subsets[${i}]`;
    const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
    const errors: FieldError[] = [];
    if (addresses.length === 0 && notReadyAddresses.length === 0)
      errors.push(fieldRequired(path, 'must specify `addresses` or `notReadyAddresses`'));
    for (const [field, list] of [['addresses', addresses] as const, ['notReadyAddresses', notReadyAddresses] as const])
      for (const [j, { ip, hostname = '', nodeName }] of list.entries()) {
        const at = `${path}.${field}[${j}]`;
        errors.push(...address(`${at}.ip`, ip));
        if (hostname !== '') errors.push(...dnsLabel(`${at}.hostname`, hostname));
        if (nodeName !== undefined) errors.push(...dnsSubdomain(`${at}.nodeName`, nodeName));
      }
    for (const [j, { name = '', port, protocol }] of ports.entries()) {
      const at = `${path}.ports[${j}]`;
      if (name === '') {
        if (ports.length > 1) errors.push(fieldRequired(`${at}.name`));
      } else errors.push(...dnsLabel(`${at}.name`, name));
      errors.push(...portNumber(`${at}.port`, port ?? 0), ...oneOf(`${at}.protocol`, protocol, protocols));
    }
    return errors;
  });
}

export const endpointsStrategy: Strategy = {
  applyDefaults: setEndpointsDefaults,
  validate: validateEndpoints,
  allowCreateOnUpdate: true,
};

function validateEndpointSlice(object: UnstructuredObject): FieldError[] {
  const { addressType, endpoints = [], ports = [] } = object as unknown as EndpointSlice;
  const errors = oneOf('addressType', addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (endpoints.length > ENDPOINTS_PER_SLICE_MAX)
    errors.push(tooMany('endpoints', endpoints.length, ENDPOINTS_PER_SLICE_MAX));
  for (const [i, { addresses = [], hostname = '' }] of endpoints.entries()) {
    const path = `endpoints[${i}]`;
    if (addresses.length === 0) errors.push(fieldRequired(`${path}.addresses`, 'must contain at least 1 address'));
    else if (addresses.length > ADDRESSES_PER_ENDPOINT_MAX)
      errors.push(tooMany(`${path}.addresses`, addresses.length, ADDRESSES_PER_ENDPOINT_MAX));
    for (const [j, each] of addresses.entries())
      errors.push(...sliceAddress(`${path}.addresses[${j}]`, each, addressType));
    if (hostname !== '') errors.push(...dnsLabel(`${path}.hostname`, hostname));
  }
  if (ports.length > PORTS_PER_SLICE_MAX) errors.push(tooMany('ports', ports.length, PORTS_PER_SLICE_MAX));
  const names = new Set<string>();
  for (const [i, { name = '', protocol }] of ports.entries()) {
    const path = `ports[${i}]`;
    if (name !== '') errors.push(...dnsLabel(`${path}.name`, name));
    if (names.has(name)) errors.push(fieldDuplicate(`${path}.name`, name));
    names.add(name);
    errors.push(...oneOf(`${path}.protocol`, protocol, protocols));
  }
  return errors;
}

function sliceAddress(path: string, text: string, type: string | undefined): FieldError[] {
  switch (type) {
    case 'IPv4':
      return isIpv4Address(text) ? [] : [fieldInvalid(path, text, 'must be a valid IPv4 address')];
    case 'IPv6':
      return isIpAddress(text) && !isIpv4Address(text)
        ? []
        : [fieldInvalid(path, text, 'must be a valid IPv6 address')];
    case 'FQDN':
      return invalidAll(path, text, isDns1123Subdomain(text.replace(/\.$/u, '')));
    default:
      return [];
  }
}

function tooMany(field: string, count: number, max: number): FieldError {
  return { type: 'FieldValueTooMany', field, value: count, detail: `must have at most ${max} items` };
}

export const endpointSliceStrategy: Strategy = {
  applyDefaults: setEndpointSliceDefaults,
  validate: validateEndpointSlice,
  validateUpdate: (object, old) => [
    ...validateEndpointSlice(object),
    ...immutable('addressType', object['addressType'], old['addressType']),
  ],
};

interface Backend {
  service?: { name?: string; port?: { name?: string; number?: number } };
  resource?: { kind?: string; name?: string };
}

interface IngressSpec {
  defaultBackend?: Backend;
  ingressClassName?: string;
  rules?: { host?: string; http?: { paths?: { path?: string; pathType?: string; backend?: Backend }[] } }[];
  tls?: { hosts?: string[]; secretName?: string }[];
}

function validateIngress(object: UnstructuredObject): FieldError[] {
  const spec = (object['spec'] ?? {}) as IngressSpec;
  const rules = spec.rules ?? [];
  const errors: FieldError[] = [];
  if (rules.length === 0 && spec.defaultBackend === undefined)
    errors.push(fieldInvalid('spec', spec, 'either `defaultBackend` or `rules` must be specified'));
  if (spec.defaultBackend !== undefined) errors.push(...validateBackend('spec.defaultBackend', spec.defaultBackend));
  for (const [i, { host = '', http }] of rules.entries()) {
    const path = `spec.rules[${i}]`;
    if (host !== '') errors.push(...validateHost(`${path}.host`, host));
    if (http === undefined) continue;
    if ((http.paths ?? []).length === 0) errors.push(fieldRequired(`${path}.http.paths`));
    for (const [j, each] of (http.paths ?? []).entries())
      errors.push(...validateIngressPath(`${path}.http.paths[${j}]`, each));
  }
  for (const [i, { hosts = [] }] of (spec.tls ?? []).entries())
    for (const [j, host] of hosts.entries()) errors.push(...validateHost(`spec.tls[${i}].hosts[${j}]`, host));
  if (spec.ingressClassName !== undefined) errors.push(...dnsSubdomain('spec.ingressClassName', spec.ingressClassName));
  return errors;
}

function validateHost(path: string, host: string): FieldError[] {
  if (isIpAddress(host)) return [fieldInvalid(path, host, 'must be a DNS name, not an IP address')];
  return invalidAll(path, host, host.includes('*') ? isWildcardDns1123Subdomain(host) : isDns1123Subdomain(host));
}

const invalidPathSequences = ['//', '/./', '/../', '%2f', '%2F'];
const invalidPathSuffixes = ['/..', '/.'];

function validateIngressPath(
  path: string,
  { path: text = '', pathType, backend }: { path?: string; pathType?: string; backend?: Backend },
): FieldError[] {
  const errors: FieldError[] = [];
  if (pathType === undefined) return [fieldRequired(`${path}.pathType`, 'pathType must be specified')];
  errors.push(...optionalOneOf(`${path}.pathType`, pathType, ['Exact', 'ImplementationSpecific', 'Prefix']));
  if (pathType !== 'ImplementationSpecific' || text !== '') {
    if (!text.startsWith('/')) errors.push(fieldInvalid(`${path}.path`, text, 'must be an absolute path'));
    if (pathType !== 'ImplementationSpecific') {
      for (const each of invalidPathSequences)
        if (text.includes(each)) errors.push(fieldInvalid(`${path}.path`, text, `must not contain '${each}'`));
      for (const each of invalidPathSuffixes)
        if (text.endsWith(each)) errors.push(fieldInvalid(`${path}.path`, text, `cannot end with '${each}'`));
    }
  }
  errors.push(...validateBackend(`${path}.backend`, backend ?? {}));
  return errors;
}

function validateBackend(path: string, { service, resource }: Backend): FieldError[] {
  if (service !== undefined && resource !== undefined)
    return [fieldInvalid(path, '', 'cannot set both resource and service backends')];
  if (resource !== undefined)
    return [...required(`${path}.resource.kind`, resource.kind), ...required(`${path}.resource.name`, resource.name)];
  if (service === undefined) return [fieldRequired(path, 'resource or service backend is required')];
  const name = service.name ?? '';
  const { name: portName = '', number = 0 } = service.port ?? {};
  const errors =
    name === ''
      ? [fieldRequired(`${path}.service.name`)]
      : invalidAll(`${path}.service.name`, name, isDns1123Label(name));
  if (portName !== '' && number !== 0) errors.push(fieldInvalid(path, '', 'cannot set both port name & port number'));
  else if (portName !== '') errors.push(...portNumberOrName(`${path}.service.port.name`, portName));
  else if (number === 0) errors.push(fieldRequired(path, 'port name or number is required'));
  else errors.push(...portNumber(`${path}.service.port.number`, number));
  return errors;
}

export const ingressStrategy: Strategy = { emptyStatus: { loadBalancer: {} }, validate: validateIngress };

export const ingressClassStrategy: Strategy = {
  applyDefaults(object) {
    const parameters = (object['spec'] as { parameters?: { scope?: string } } | undefined)?.parameters;
    if (parameters !== undefined) parameters.scope ??= 'Cluster';
  },
  validate(object) {
    const controller = (object['spec'] as { controller?: string } | undefined)?.controller ?? '';
    if (controller === '') return [fieldRequired('spec.controller')];
    return controller.includes('/')
      ? []
      : [fieldInvalid('spec.controller', controller, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  },
  validateUpdate: (object, old) => [
    ...immutable(
      'spec.controller',
      (object['spec'] as { controller?: string } | undefined)?.controller,
      (old['spec'] as { controller?: string } | undefined)?.controller,
    ),
  ],
};

interface PolicyPort {
  protocol?: string;
  port?: IntOrString;
  endPort?: number;
}

interface PolicyPeer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr?: string; except?: string[] };
}

interface NetworkPolicySpec {
  podSelector?: LabelSelector;
  policyTypes?: string[];
  ingress?: { from?: PolicyPeer[]; ports?: PolicyPort[] }[];
  egress?: { to?: PolicyPeer[]; ports?: PolicyPort[] }[];
}

export const networkPolicyStrategy: Strategy = {
  applyDefaults(object) {
    const spec = (object['spec'] ??= {}) as NetworkPolicySpec;
    spec.podSelector ??= {};
    if ((spec.policyTypes ?? []).length === 0)
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
    for (const { ports } of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of ports ?? []) port.protocol ??= 'TCP';
  },
  validate(object) {
    const spec = (object['spec'] ?? {}) as NetworkPolicySpec;
    const errors = validateLabelSelector('spec.podSelector', spec.podSelector);
    for (const [i, { from, ports }] of (spec.ingress ?? []).entries())
      errors.push(...validatePolicyRule(`spec.ingress[${i}]`, 'from', from, ports));
    for (const [i, { to, ports }] of (spec.egress ?? []).entries())
      errors.push(...validatePolicyRule(`spec.egress[${i}]`, 'to', to, ports));
    for (const [i, type] of (spec.policyTypes ?? []).entries())
      errors.push(...optionalOneOf(`spec.policyTypes[${i}]`, type, ['Ingress', 'Egress']));
    return errors;
  },
};

function validatePolicyRule(
  path: string,
  direction: 'from' | 'to',
  peers: readonly PolicyPeer[] = [],
  ports: readonly PolicyPort[] = [],
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { protocol, port, endPort }] of ports.entries()) {
    const at = `${path}.ports[${i}]`;
    errors.push(...optionalOneOf(`${at}.protocol`, protocol, ['TCP', 'UDP', 'SCTP']));
    if (port !== undefined) errors.push(...portNumberOrName(`${at}.port`, port));
    if (endPort === undefined) continue;
    if (port === undefined) errors.push(fieldRequired(`${at}.port`, 'must be specified when endPort is set'));
    else if (typeof port === 'string')
      errors.push(fieldInvalid(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric'));
    else if (endPort < port)
      errors.push(fieldInvalid(`${at}.endPort`, endPort, 'must be greater than or equal to `port`'));
  }
  for (const [i, { podSelector, namespaceSelector, ipBlock }] of peers.entries()) {
    const at = `${path}.${direction}[${i}]`;
    errors.push(
      ...validateLabelSelector(`${at}.podSelector`, podSelector),
      ...validateLabelSelector(`${at}.namespaceSelector`, namespaceSelector),
    );
    if (ipBlock !== undefined) {
      errors.push(...validateIpBlock(`${at}.ipBlock`, ipBlock));
      if (podSelector !== undefined || namespaceSelector !== undefined)
        errors.push(fieldForbidden(at, 'may not specify both ipBlock and another peer'));
    } else if (podSelector === undefined && namespaceSelector === undefined)
      errors.push(fieldRequired(at, 'must specify a peer'));
  }
  return errors;
}

function validateIpBlock(
  path: string,
  { cidr: outer = '', except = [] }: NonNullable<PolicyPeer['ipBlock']>,
): FieldError[] {
  if (outer === '') return [fieldRequired(`${path}.cidr`)];
  const errors = cidr(`${path}.cidr`, outer);
  if (errors.length > 0) return errors;
  return except.flatMap((inner, i) => {
    const at = `${path}.except[${i}]`;
    return isStrictSubset(inner, outer) === false
      ? [fieldInvalid(at, inner, 'must be a strict subset of `cidr`')]
      : cidr(at, inner);
  });
}
