import {
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  fieldTypeInvalid,
  isNegativeErrorMessage,
  parseQuantity,
  QuantityError,
  type Container,
  type FieldError,
  type Quantity,
} from '@naru/api';
import { labelName } from './field-rules.ts';

type Resources = Readonly<Record<string, string>>;

const standardContainerResources = ['cpu', 'memory', 'ephemeral-storage'];
/** Names without a domain that something other than a container may have. */
const standardResources = [
  ...standardContainerResources,
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'storage',
  'requests.storage',
  'services.nodeports',
  'services.loadbalancers',
];
const notQualified = 'must be a standard resource type or fully qualified';

/** cpu, memory, ephemeral-storage, hugepages-*, or an extended resource `example.com/name`. */
export function validateContainerResourceName(path: string, name: string): FieldError[] {
  const errors = labelName(path, name);
  if (errors.length > 0) return errors;
  if (!name.includes('/') && !standardContainerResources.includes(name) && !name.startsWith('hugepages-'))
    return [
      ...(standardResources.includes(name) ? [] : [fieldInvalid(path, name, notQualified)]),
      fieldInvalid(path, name, 'must be a standard resource for containers'),
    ];
  if (name.startsWith('requests.') && !/kubernetes\.io\//u.test(name))
    return [fieldInvalid(path, name, "doesn't follow extended resource name standard")];
  return [];
}

/** A quantity, or undefined with the error pushed. */
export function quantityAt(path: string, text: string, errors: FieldError[]): Quantity | undefined {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    errors.push(fieldTypeInvalid(path, text, error.message));
    return undefined;
  }
}

export function isExtendedResource(name: string): boolean {
  return name.includes('/') && !name.startsWith('requests.') && !/^([^/]*\.)?kubernetes\.io\//u.test(name);
}

/** An amount of a resource: not negative; whole for extended resources and those that are `counted`. */
export function validateResourceAmount(
  path: string,
  name: string,
  text: string,
  counted: readonly string[] = [],
): FieldError[] {
  const errors: FieldError[] = [];
  const quantity = quantityAt(path, text, errors);
  if (quantity === undefined) return errors;
  if (quantity.sign < 0) errors.push(fieldInvalid(path, quantity.toString(), isNegativeErrorMessage));
  if ((isExtendedResource(name) || counted.includes(name)) && !Number.isInteger(quantity.toNumber()))
    errors.push(fieldInvalid(path, quantity.toString(), 'must be an integer'));
  return errors;
}

/** `resources` of a container. */
export function validateResourceRequirements(path: string, requirements: Container['resources']): FieldError[] {
  if (requirements === undefined) return [];
  const errors: FieldError[] = [];
  const {
    limits = {},
    requests = {},
    claims = [],
  } = requirements as {
    limits?: Resources;
    requests?: Resources;
    claims?: readonly { name: string }[];
  };
  for (const [name, text] of Object.entries(limits)) {
    errors.push(...validateContainerResourceName(`${path}.limits[${name}]`, name));
    errors.push(...validateResourceAmount(`${path}.limits[${name}]`, name, text));
  }
  for (const [name, text] of Object.entries(requests)) {
    errors.push(...validateContainerResourceName(`${path}.requests[${name}]`, name));
    errors.push(...validateResourceAmount(`${path}.requests[${name}]`, name, text));
    errors.push(...validateRequestAgainstLimit(`${path}.requests`, name, text, limits[name]));
  }
  const seen = new Set<string>();
  for (const [i, { name }] of claims.entries()) {
    if (seen.has(name)) errors.push(fieldDuplicate(`${path}.claims[${i}]`, name));
    seen.add(name);
  }
  return errors;
}

function validateRequestAgainstLimit(
  path: string,
  name: string,
  text: string,
  limitText: string | undefined,
): FieldError[] {
  const canOvercommit = !isExtendedResource(name) && !name.startsWith('hugepages-');
  if (limitText === undefined)
    return canOvercommit
      ? []
      : [fieldRequired(path.replace(/requests$/u, 'limits'), 'Limit must be set for non overcommitable resources')];
  const problems: FieldError[] = [];
  const request = quantityAt(path, text, problems);
  const limit = quantityAt(path, limitText, problems);
  if (request === undefined || limit === undefined) return [];
  const order = request.compare(limit);
  if (!canOvercommit && order !== 0)
    return [fieldInvalid(path, text, `must be equal to ${name} limit of ${limit.toString()}`)];
  if (order > 0)
    return [fieldInvalid(path, text, `must be less than or equal to ${name} limit of ${limit.toString()}`)];
  return [];
}
