/** APIServices (k8s.io/kube-aggregator/pkg/apis/apiregistration/validation). */
import {
  fieldInvalid,
  fieldRequired,
  isDns1035Label,
  isDns1123Subdomain,
  type APIService,
  type FieldError,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { invalidAll } from './field-rules.ts';

type Spec = NonNullable<APIService['spec']>;

const PRIORITY_MAX = { group: 20_000, version: 1000 } as const;
const DEFAULT_PORT = 443;

const specOf = (object: UnstructuredObject): Partial<Spec> => object['spec'] ?? {};

export const apiServiceStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata'] },
  applyDefaults(object) {
    const { service } = specOf(object);
    if (service !== undefined) service.port ??= DEFAULT_PORT;
  },
  validate: (object) => {
    const spec = specOf(object);
    const { group = '', version = '', groupPriorityMinimum = 0, versionPriority = 0 } = spec;
    const errors: FieldError[] = [];
    const required = `${version}.${group}`;
    const { name } = object.metadata;
    if (name !== required)
      errors.push(
        fieldInvalid('metadata.name', name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(required)}`),
      );
    if (group === '' && version !== 'v1')
      errors.push(fieldRequired('spec.group', 'only v1 may have an empty group and it better be legacy kube'));
    if (group !== '') errors.push(...invalidAll('spec.group', group, isDns1123Subdomain(group)));
    errors.push(...invalidAll('spec.version', version, isDns1035Label(version)));
    if (groupPriorityMinimum <= 0 || groupPriorityMinimum > PRIORITY_MAX.group)
      errors.push(
        fieldInvalid('spec.groupPriorityMinimum', groupPriorityMinimum, 'must be positive and less than 20000'),
      );
    if (versionPriority <= 0 || versionPriority > PRIORITY_MAX.version)
      errors.push(fieldInvalid('spec.versionPriority', versionPriority, 'must be positive and less than 1000'));
    return [...errors, ...(spec.service === undefined ? localErrors(spec) : serviceErrors(spec))];
  },
};

function localErrors({ caBundle = '', insecureSkipTLSVerify }: Partial<Spec>): FieldError[] {
  const errors: FieldError[] = [];
  if (caBundle !== '') {
    const bytes = Buffer.byteLength(caBundle, 'base64');
    errors.push(fieldInvalid('spec.caBundle', `${bytes} bytes`, 'local APIServices may not have a caBundle'));
  }
  if (insecureSkipTLSVerify === true)
    errors.push(
      fieldInvalid('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify'),
    );
  return errors;
}

function serviceErrors({ service, caBundle = '', insecureSkipTLSVerify }: Partial<Spec>): FieldError[] {
  const { namespace = '', name = '', port = DEFAULT_PORT } = service ?? {};
  const errors: FieldError[] = [];
  if (namespace === '') errors.push(fieldRequired('spec.service.namespace'));
  if (name === '') errors.push(fieldRequired('spec.service.name'));
  if (port < 1 || port > 65_535)
    errors.push(fieldInvalid('spec.service.port', port, 'port is not valid: must be between 1 and 65535, inclusive'));
  if (insecureSkipTLSVerify === true && caBundle !== '')
    errors.push(fieldInvalid('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'));
  return errors;
}
