import {
  fieldInvalid,
  fieldRequired,
  isDns1123Subdomain,
  type FieldError,
  type PodSpec,
  type PodTemplateSpec,
} from '@naru/api';
import { validateContainers, validateId } from './containers.ts';
import {
  dnsLabel,
  dnsSubdomain,
  invalidAll,
  labelName,
  labelsOf,
  nonNegative,
  oneOf,
  required,
} from './field-rules.ts';
import { validateAffinity, validateTolerations, validateTopologySpread } from './scheduling.ts';
import { validateVolumes } from './volumes.ts';

const ACTIVE_DEADLINE_SECONDS_MAX = 2_147_483_647;
const DNS_NAMESERVERS_MAX = 3;
const DNS_SEARCHES_MAX = 32;
const restartPolicies = ['Always', 'OnFailure', 'Never'];
const dnsPolicies = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];

/** A pod's spec, or a template's, under its path. */
export function validatePodSpec(spec: PodSpec | undefined, path: string): FieldError[] {
  if (spec === undefined) return [fieldRequired(`${path}.containers`)];
  const volumes = new Set<string>();
  return [
    ...validateVolumes(`${path}.volumes`, spec.volumes ?? [], volumes),
    ...validateContainers({ spec, volumes, path }),
    ...oneOf(`${path}.restartPolicy`, spec.restartPolicy, restartPolicies),
    ...oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, dnsPolicies),
    ...labelsOf(`${path}.nodeSelector`, spec.nodeSelector),
    ...validatePodSecurityContext(`${path}.securityContext`, spec.securityContext),
    ...(spec.imagePullSecrets ?? []).flatMap(({ name }, i) => required(`${path}.imagePullSecrets[${i}].name`, name)),
    ...validateAffinity(`${path}.affinity`, spec.affinity),
    ...validateDnsConfig(`${path}.dnsConfig`, spec),
    ...(spec.readinessGates ?? []).flatMap(({ conditionType }, i) =>
      labelName(`${path}.readinessGates[${i}].conditionType`, conditionType),
    ),
    ...validateTopologySpread(`${path}.topologySpreadConstraints`, spec.topologySpreadConstraints),
    ...validateNames(spec, path),
    ...validateDeadlines(spec, path),
    ...validateTolerations(`${path}.tolerations`, spec.tolerations),
    ...validateHostAliases(`${path}.hostAliases`, spec.hostAliases),
    ...validateOs(`${path}.os`, spec.os),
  ];
}

export function validatePodTemplate(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  if (template === undefined) return [fieldRequired(path)];
  const { labels, annotations } = template.metadata ?? {};
  return [
    ...labelsOf(`${path}.labels`, labels),
    ...Object.keys(annotations ?? {}).flatMap((key) => labelName(`${path}.annotations`, key.toLowerCase())),
    ...validatePodSpec(template.spec, `${path}.spec`),
    ...((template.spec?.ephemeralContainers ?? []).length > 0
      ? [
          {
            type: 'FieldValueForbidden',
            field: `${path}.spec.ephemeralContainers`,
            detail: 'ephemeral containers not allowed in pod template',
          } as const,
        ]
      : []),
  ];
}

function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (field: keyof PodSpec, rule: (path: string, value: string) => FieldError[]): void => {
    const value = spec[field];
    if (typeof value === 'string' && value !== '') errors.push(...rule(`${path}.${field}`, value));
  };
  check('serviceAccountName', dnsSubdomain);
  check('nodeName', dnsSubdomain);
  check('hostname', dnsLabel);
  check('subdomain', dnsLabel);
  check('priorityClassName', dnsSubdomain);
  check('runtimeClassName', dnsSubdomain);
  check('schedulerName', dnsSubdomain);
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries())
    errors.push(...labelName(`${path}.schedulingGates[${i}].name`, name));
  return errors;
}

function validateDeadlines(spec: PodSpec, path: string): FieldError[] {
  const { activeDeadlineSeconds: seconds } = spec;
  const errors = nonNegative(`${path}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds);
  if (seconds !== undefined && (seconds < 1 || seconds > ACTIVE_DEADLINE_SECONDS_MAX))
    errors.push(
      fieldInvalid(
        `${path}.activeDeadlineSeconds`,
        seconds,
        `must be between 1 and ${ACTIVE_DEADLINE_SECONDS_MAX}, inclusive`,
      ),
    );
  return errors;
}

function validatePodSecurityContext(path: string, context: PodSpec['securityContext']): FieldError[] {
  if (context === undefined) return [];
  const sysctls = new Set<string>();
  return [
    ...validateId(`${path}.fsGroup`, context.fsGroup),
    ...validateId(`${path}.runAsUser`, context.runAsUser),
    ...validateId(`${path}.runAsGroup`, context.runAsGroup),
    ...(context.supplementalGroups ?? []).flatMap((group, i) => validateId(`${path}.supplementalGroups[${i}]`, group)),
    ...(context.sysctls ?? []).flatMap(({ name }, i) => {
      const at = `${path}.sysctls[${i}].name`;
      const isDuplicate = sysctls.has(name);
      sysctls.add(name);
      if (name === undefined || name === '') return [fieldRequired(at)];
      return isDuplicate ? [{ type: 'FieldValueDuplicate', field: at, value: name, detail: '' } as const] : [];
    }),
  ];
}

function validateDnsConfig(path: string, { dnsPolicy, dnsConfig }: PodSpec): FieldError[] {
  const errors: FieldError[] = [];
  const nameservers = dnsConfig?.nameservers ?? [];
  if (dnsPolicy === 'None') {
    if (dnsConfig === undefined) return [fieldRequired(path, 'must provide `dnsConfig` when `dnsPolicy` is None')];
    if (nameservers.length === 0)
      return [
        fieldRequired(`${path}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'),
      ];
  }
  if (dnsConfig === undefined) return errors;
  if (nameservers.length > DNS_NAMESERVERS_MAX)
    errors.push(
      fieldInvalid(`${path}.nameservers`, nameservers, `must not have more than ${DNS_NAMESERVERS_MAX} nameservers`),
    );
  for (const [i, address] of nameservers.entries())
    if (!isIpAddress(address)) errors.push(fieldInvalid(`${path}.nameservers[${i}]`, address, ipMessage));
  const searches = dnsConfig.searches ?? [];
  if (searches.length > DNS_SEARCHES_MAX)
    errors.push(fieldInvalid(`${path}.searches`, searches, `must not have more than ${DNS_SEARCHES_MAX} search paths`));
  for (const [i, search] of searches.entries()) {
    const name = search.replace(/\.$/u, '');
    if (name !== '') errors.push(...invalidAll(`${path}.searches[${i}]`, search, isDns1123Subdomain(name)));
  }
  for (const [i, { name }] of (dnsConfig.options ?? []).entries())
    errors.push(...required(`${path}.options[${i}]`, name, 'must not be empty'));
  return errors;
}

export const ipMessage = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Whether a text is an IPv4 or IPv6 address. */
export function isIpAddress(text: string): boolean {
  return isIpv4Address(text) || isIpv6Address(text);
}

export function isIpv4Address(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/u.test(part) && Number(part) <= 255);
}

function isIpv6Address(text: string): boolean {
  if (!text.includes(':') || !/^[0-9a-f:.]+$/iu.test(text)) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  const tail = groups.at(-1) ?? '';
  const embedded = tail.includes('.');
  if (embedded && !isIpv4Address(tail)) return false;
  const plain = embedded ? groups.slice(0, -1) : groups;
  if (!plain.every((group) => /^[0-9a-f]{1,4}$/iu.test(group))) return false;
  const size = plain.length + (embedded ? 2 : 0);
  return halves.length === 2 ? size < 8 : size === 8;
}

function validateHostAliases(path: string, aliases: PodSpec['hostAliases']): FieldError[] {
  return (aliases ?? []).flatMap(({ ip, hostnames = [] }) => [
    ...(isIpAddress(ip ?? '') ? [] : [fieldInvalid(`${path}.ip`, ip ?? '', 'must be valid IP address')]),
    ...hostnames.flatMap((name) => invalidAll(`${path}.hostnames`, name, isDns1123Subdomain(name))),
  ]);
}

function validateOs(path: string, os: PodSpec['os']): FieldError[] {
  return os === undefined ? [] : oneOf(`${path}.name`, os.name, ['linux', 'windows']);
}
