/** HorizontalPodAutoscaler, PodDisruptionBudget, PriorityClass, RuntimeClass, LimitRange, CSR, webhooks. */
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isValidPathSegmentName,
  type FieldError,
  type IntOrString,
  type LabelSelector,
  type UnstructuredObject,
} from '@naru/api';
import { clientConfigErrors, type ClientConfig } from './webhook-client-config.ts';
import { reviewVersionErrors, webhookRuleErrors, type WebhookRule } from './webhook-rules.ts';
import type { Strategy } from '../strategy.ts';
import { setLimitRangeDefaults } from './core-defaults.ts';
import { immutable, intOrPercent, invalidAll, dnsLabel, dnsSubdomain, optionalOneOf, required } from './field-rules.ts';
import { keepFields } from './keep-fields.ts';
import { validateLabelSelector } from './label-selectors.ts';
import { quantityAt } from './resource-requirements.ts';

const SYSTEM_PRIORITY_MIN = 1_000_000_000;
const WEBHOOK_TIMEOUT_SECONDS = 10;

const specOf = <T>(object: UnstructuredObject): Partial<T> => object['spec'] ?? {};

interface HpaSpec {
  minReplicas: number;
  maxReplicas: number;
  scaleTargetRef: { kind?: string; name?: string };
  metrics: { type?: string }[];
  behavior: Record<'scaleUp' | 'scaleDown', Record<string, unknown> | undefined>;
}

function requiredPathSegment(path: string, value: string | undefined): FieldError[] {
  return value === undefined || value === ''
    ? [fieldRequired(path)]
    : invalidAll(path, value, isValidPathSegmentName(value));
}

export const hpaStrategy: Strategy = {
  applyDefaults(object) {
    const spec = (object['spec'] ??= {}) as Partial<HpaSpec>;
    spec.minReplicas ??= 1;
    if ((spec.metrics ?? []).length === 0)
      (spec as Record<string, unknown>)['metrics'] = [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ];
  },
  validate(object) {
    const { minReplicas = 1, maxReplicas = 0, scaleTargetRef = {} } = specOf<HpaSpec>(object);
    const errors: FieldError[] = [];
    if (minReplicas < 1)
      errors.push(fieldInvalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1'));
    if (maxReplicas < 1) errors.push(fieldInvalid('spec.maxReplicas', maxReplicas, 'must be greater than 0'));
    if (maxReplicas < minReplicas)
      errors.push(fieldInvalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`'));
    return [
      ...errors,
      ...requiredPathSegment('spec.scaleTargetRef.kind', scaleTargetRef.kind),
      ...requiredPathSegment('spec.scaleTargetRef.name', scaleTargetRef.name),
    ];
  },
};

interface PdbSpec {
  minAvailable: IntOrString;
  maxUnavailable: IntOrString;
  selector: LabelSelector;
  unhealthyPodEvictionPolicy: string;
}

export const pdbStrategy: Strategy = {
  validate(object) {
    const spec = specOf<PdbSpec>(object);
    const errors: FieldError[] = [];
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined)
      errors.push(fieldInvalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'));
    for (const field of ['minAvailable', 'maxUnavailable'] as const) {
      const value = spec[field];
      if (value !== undefined) errors.push(...intOrPercent(`spec.${field}`, value));
    }
    return [
      ...errors,
      ...validateLabelSelector('spec.selector', spec.selector),
      ...optionalOneOf('spec.unhealthyPodEvictionPolicy', spec.unhealthyPodEvictionPolicy, [
        'AlwaysAllow',
        'IfHealthyBudget',
      ]),
    ];
  },
};

const systemPriorityClasses = ['system-node-critical', 'system-cluster-critical'];

export const priorityClassStrategy: Strategy = {
  applyDefaults(object) {
    object['preemptionPolicy'] ??= 'PreemptLowerPriority';
    // A plain number upstream: absent is zero.
    object['value'] ??= 0;
  },
  validate(object) {
    const { name = '' } = object.metadata;
    const value = object['value'] as number;
    const errors: FieldError[] = [];
    if (name.startsWith('system-') && !systemPriorityClasses.includes(name))
      errors.push(
        fieldForbidden(
          'metadata.name',
          "priority class names with 'system-' prefix are reserved for system use only. error: only system priority classes are allowed",
        ),
      );
    if (value > SYSTEM_PRIORITY_MIN && !name.startsWith('system-'))
      errors.push(
        fieldForbidden('value', `maximum allowed value of a user defined priority is ${SYSTEM_PRIORITY_MIN}`),
      );
    errors.push(
      ...optionalOneOf('preemptionPolicy', object['preemptionPolicy'] as string | undefined, [
        'Never',
        'PreemptLowerPriority',
      ]),
    );
    return errors;
  },
  validateUpdate: (object, old) => [
    ...(object['value'] === old['value'] ? [] : [fieldForbidden('value', 'may not be changed in an update.')]),
    ...immutable('preemptionPolicy', object['preemptionPolicy'], old['preemptionPolicy']),
  ],
};

export const runtimeClassStrategy: Strategy = {
  allowUnconditionalUpdate: false,
  validate: (object) => dnsLabel('handler', (object['handler'] ?? '') as string),
  validateUpdate: (object, old) => immutable('handler', object['handler'], old['handler']),
};

type Resources = Record<string, string>;
interface LimitItem {
  type?: string;
  min?: Resources;
  max?: Resources;
  default?: Resources;
  defaultRequest?: Resources;
  maxLimitRequestRatio?: Resources;
}

export const limitRangeStrategy: Strategy = {
  applyDefaults: setLimitRangeDefaults,
  // One without any name is called by its uid.
  prepareForCreate({ metadata }) {
    if ((metadata.name ?? '') === '' && metadata.uid !== undefined) metadata.name = metadata.uid;
  },
  validate(object) {
    const { limits = [] } = specOf<{ limits: LimitItem[] }>(object);
    const types = new Set<string>();
    return limits.flatMap((limit, i) => {
      const path = `spec.limits[${i}]`;
      const type = limit.type ?? '';
      const errors: FieldError[] = required(`${path}.type`, type);
      if (types.has(type)) errors.push(fieldDuplicate(`${path}.type`, type));
      types.add(type);
      if (type === 'Pod')
        for (const field of ['default', 'defaultRequest'] as const)
          if (limit[field] !== undefined)
            errors.push(fieldForbidden(`${path}.${field}`, "may not be specified when `type` is 'Pod'"));
      return [...errors, ...validateLimitOrder(path, limit), ...validateRatios(path, limit)];
    });
  },
  allowCreateOnUpdate: true,
};

type Bound = 'min' | 'defaultRequest' | 'default' | 'max';

/** Pairs of bounds of which the first must not be more than the second, and the field that is told of it. */
const limitOrder: readonly { readonly low: Bound; readonly high: Bound; readonly at: Bound }[] = [
  { low: 'min', high: 'max', at: 'min' },
  { low: 'min', high: 'defaultRequest', at: 'defaultRequest' },
  { low: 'defaultRequest', high: 'max', at: 'defaultRequest' },
  { low: 'defaultRequest', high: 'default', at: 'defaultRequest' },
  { low: 'min', high: 'default', at: 'default' },
  { low: 'default', high: 'max', at: 'default' },
];
const limitWords: Readonly<Record<Bound, string>> = {
  min: 'min value',
  defaultRequest: 'default request value',
  default: 'default value',
  max: 'max value',
};

function validateLimitOrder(path: string, limit: LimitItem): FieldError[] {
  const bounds: readonly Bound[] = ['max', 'min', 'default', 'defaultRequest'];
  const names = new Set(bounds.flatMap((bound) => Object.keys(limit[bound] ?? {})));
  const errors: FieldError[] = [];
  for (const name of names)
    for (const { low, high, at } of limitOrder) {
      const [lower, upper] = [limit[low]?.[name], limit[high]?.[name]];
      if (lower === undefined || upper === undefined) continue;
      const [a, b] = [
        quantityAt(`${path}.${low}[${name}]`, lower, errors),
        quantityAt(`${path}.${high}[${name}]`, upper, errors),
      ];
      if (a === undefined || b === undefined || a.compare(b) <= 0) continue;
      const more = low === 'defaultRequest' && high === 'default' ? 'default limit value' : limitWords[high];
      // Of a default, upstream shows the bound that it breaks.
      const shown = at === 'default' ? (low === 'default' ? upper : lower) : (limit[at]?.[name] ?? lower);
      errors.push(
        fieldInvalid(`${path}.${at}[${name}]`, shown, `${limitWords[low]} ${lower} is greater than ${more} ${upper}`),
      );
    }
  return errors;
}

/** How often a limit may be its request: once at least, and no more than the bounds of both allow. */
function validateRatios(path: string, { min = {}, max = {}, maxLimitRequestRatio = {} }: LimitItem): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, text] of Object.entries(maxLimitRequestRatio)) {
    const at = `${path}.maxLimitRequestRatio[${name}]`;
    const ratio = quantityAt(at, text, errors);
    if (ratio === undefined) continue;
    const shown = ratio.toString();
    if (ratio.toNumber() < 1) errors.push(fieldInvalid(at, shown, `ratio ${shown} is less than 1`));
    const [low, high] = [min[name], max[name]];
    if (low === undefined || high === undefined) continue;
    const [least, most] = [quantityAt(at, low, []), quantityAt(at, high, [])];
    if (least === undefined || most === undefined) continue;
    const bound = most.toNumber() / least.toNumber();
    if (ratio.toNumber() > bound)
      errors.push(fieldInvalid(at, shown, `ratio ${shown} is greater than max/min = ${bound.toFixed(6)}`));
  }
  return errors;
}

interface CsrSpec {
  request: string;
  signerName: string;
  usages: string[];
  expirationSeconds: number;
}

const CSR_EXPIRATION_SECONDS_MIN = 600;
const keyUsages = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];

export const csrStrategy: Strategy = {
  resetFields: {
    '': ['spec', 'status'],
    status: ['spec', 'status.conditions'],
    approval: ['spec', 'status.certificate'],
  },
  prepareForCreate(object, { user }) {
    delete object['status'];
    const spec = (object['spec'] ??= {}) as Record<string, unknown>;
    for (const field of ['username', 'uid', 'groups', 'extra']) delete spec[field];
    if (user === undefined) return;
    spec['username'] = user.name;
    if (user.uid !== undefined && user.uid !== '') spec['uid'] = user.uid;
    spec['groups'] = [...user.groups];
    if (user.extra !== undefined) spec['extra'] = user.extra;
  },
  validate(object) {
    const { request = '', signerName = '', usages = [], expirationSeconds } = specOf<CsrSpec>(object);
    const errors: FieldError[] = [];
    const pem = Buffer.from(request, 'base64').toString();
    if (!pem.includes('-----BEGIN CERTIFICATE REQUEST-----'))
      errors.push(fieldInvalid('spec.request', request, 'PEM block type must be CERTIFICATE REQUEST'));
    if (usages.length === 0) errors.push(fieldRequired('spec.usages', 'usages must be provided'));
    const seen = new Set<string>();
    for (const [i, usage] of usages.entries()) {
      errors.push(...optionalOneOf(`spec.usages[${i}]`, usage, keyUsages));
      if (seen.has(usage)) errors.push(fieldDuplicate(`spec.usages[${i}]`, usage));
      seen.add(usage);
    }
    if (signerName === '') errors.push(fieldRequired('spec.signerName', 'signerName must be provided'));
    else if (!/^[^/]+\/[^/]+$/u.test(signerName))
      errors.push(
        fieldInvalid(
          'spec.signerName',
          signerName,
          'must be a fully qualified domain and path of the form "example.com/signer-name"',
        ),
      );
    if (expirationSeconds !== undefined && expirationSeconds < CSR_EXPIRATION_SECONDS_MIN)
      errors.push(
        fieldInvalid(
          'spec.expirationSeconds',
          expirationSeconds,
          'may not specify a duration less than 600 seconds (10 minutes)',
        ),
      );
    return errors;
  },
  prepareForUpdate(object, old) {
    keepFields(object, old, 'spec', 'status');
  },
  validateUpdate: () => [],
  selectableFields: {
    'spec.signerName': (object) => specOf<CsrSpec>(object).signerName ?? '',
  },
};

interface Webhook {
  name?: string;
  failurePolicy?: string;
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  sideEffects?: string;
  timeoutSeconds?: number;
  reinvocationPolicy?: string;
  admissionReviewVersions?: string[];
  clientConfig?: ClientConfig;
  rules?: WebhookRule[];
}

const webhooksOf = (object: UnstructuredObject): Webhook[] => (object['webhooks'] ?? []) as Webhook[];

function webhookStrategy(isMutating: boolean): Strategy {
  return {
    allowUnconditionalUpdate: false,
    applyDefaults(object) {
      for (const webhook of webhooksOf(object)) {
        webhook.failurePolicy ??= 'Fail';
        webhook.matchPolicy ??= 'Equivalent';
        webhook.namespaceSelector ??= {};
        webhook.objectSelector ??= {};
        webhook.timeoutSeconds ??= WEBHOOK_TIMEOUT_SECONDS;
        if (isMutating) webhook.reinvocationPolicy ??= 'Never';
        if (webhook.clientConfig?.service !== undefined) webhook.clientConfig.service.port ??= 443;
        for (const rule of webhook.rules ?? []) rule.scope ??= '*';
      }
    },
    validate: (object) => {
      const names = new Set<string>();
      return webhooksOf(object).flatMap((webhook, i) => {
        const path = `webhooks[${i}]`;
        const errors = validateWebhook(path, webhook);
        const name = webhook.name ?? '';
        if (name !== '' && names.has(name)) errors.push(fieldDuplicate(`${path}.name`, name));
        names.add(name);
        return errors;
      });
    },
  };
}

function validateWebhook(path: string, webhook: Webhook): FieldError[] {
  const {
    name = '',
    sideEffects,
    timeoutSeconds = WEBHOOK_TIMEOUT_SECONDS,
    clientConfig,
    admissionReviewVersions = [],
  } = webhook;
  const errors: FieldError[] = [];
  if (name === '') errors.push(fieldRequired(`${path}.name`));
  else {
    errors.push(...dnsSubdomain(`${path}.name`, name));
    if (name.split('.').length < 3)
      errors.push(
        fieldInvalid(`${path}.name`, name, 'should be a domain with at least three segments separated by dots'),
      );
  }
  errors.push(
    ...reviewVersionErrors(`${path}.admissionReviewVersions`, admissionReviewVersions),
    ...(webhook.rules ?? []).flatMap((rule, i) => webhookRuleErrors(`${path}.rules[${i}]`, rule)),
  );
  if (sideEffects === undefined)
    errors.push(fieldRequired(`${path}.sideEffects`, 'must specify one of None, NoneOnDryRun'));
  else errors.push(...optionalOneOf(`${path}.sideEffects`, sideEffects, ['None', 'NoneOnDryRun']));
  errors.push(
    ...optionalOneOf(`${path}.failurePolicy`, webhook.failurePolicy, ['Fail', 'Ignore']),
    ...optionalOneOf(`${path}.matchPolicy`, webhook.matchPolicy, ['Equivalent', 'Exact']),
    ...optionalOneOf(`${path}.reinvocationPolicy`, webhook.reinvocationPolicy, ['IfNeeded', 'Never']),
  );
  if (timeoutSeconds < 1 || timeoutSeconds > 30)
    errors.push(
      fieldInvalid(`${path}.timeoutSeconds`, timeoutSeconds, 'the timeout value must be between 1 and 30 seconds'),
    );
  return [...errors, ...clientConfigErrors(`${path}.clientConfig`, clientConfig ?? {})];
}

export const mutatingWebhookStrategy = webhookStrategy(true);
export const validatingWebhookStrategy = webhookStrategy(false);
