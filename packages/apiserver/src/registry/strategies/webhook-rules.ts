/** Which requests a webhook is asked about, and in which versions (pkg/apis/admissionregistration/validation). */
import { fieldInvalid, fieldNotSupported, fieldRequired, isDns1035Label, type FieldError } from '@naru/api';
import { invalidAll, optionalOneOf } from './field-rules.ts';

export interface WebhookRule {
  operations?: string[];
  apiGroups?: string[];
  apiVersions?: string[];
  resources?: string[];
  scope?: string;
}

const reviewVersions = ['v1', 'v1beta1'];
const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];

export function reviewVersionErrors(path: string, versions: readonly string[]): FieldError[] {
  if (versions.length === 0) return [fieldRequired(path, `must specify one of ${reviewVersions.join(', ')}`)];
  const errors = versions.flatMap((version, i) =>
    versions.indexOf(version) < i
      ? [fieldInvalid(`${path}[${i}]`, version, 'duplicate version')]
      : invalidAll(`${path}[${i}]`, version, isDns1035Label(version)),
  );
  if (!versions.some((version) => reviewVersions.includes(version)))
    errors.push(fieldInvalid(path, versions, `must include at least one of ${reviewVersions.join(', ')}`));
  return errors;
}

export function webhookRuleErrors(path: string, rule: WebhookRule): FieldError[] {
  return [
    ...wildcardAlone(`${path}.operations`, rule.operations, 'operations'),
    ...(rule.operations ?? []).flatMap((operation, i) =>
      operations.includes(operation) ? [] : [fieldNotSupported(`${path}.operations[${i}]`, operation, operations)],
    ),
    ...wildcardAlone(`${path}.apiGroups`, rule.apiGroups, 'API groups'),
    ...wildcardAlone(`${path}.apiVersions`, rule.apiVersions, 'API versions'),
    ...(rule.apiVersions ?? []).flatMap((version, i) =>
      version === '' ? [fieldRequired(`${path}.apiVersions[${i}]`)] : [],
    ),
    ...resourceErrors(`${path}.resources`, rule.resources ?? []),
    ...optionalOneOf(`${path}.scope`, rule.scope, ['*', 'Cluster', 'Namespaced']),
  ];
}

/** A list that must not be empty, and where `*` leaves nothing for others to say. */
function wildcardAlone(path: string, values: readonly string[] = [], what: string): FieldError[] {
  if (values.length === 0) return [fieldRequired(path)];
  return values.length > 1 && values.includes('*')
    ? [fieldInvalid(path, values, `if '*' is present, must not specify other ${what}`)]
    : [];
}

// Such as `pods`, `pods/log`, `*`, `pods/*`, `*/scale` and `*/*`: none may be covered by one before it.
function resourceErrors(path: string, resources: readonly string[]): FieldError[] {
  if (resources.length === 0) return [fieldRequired(path)];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, text] of resources.entries()) {
    const at = `${path}[${i}]`;
    if (text === '') errors.push(fieldRequired(at));
    const slash = text.indexOf('/');
    if (slash < 0) continue;
    for (const wider of [`${text.slice(0, slash)}/*`, `*/${text.slice(slash + 1)}`])
      if (seen.has(wider)) errors.push(fieldInvalid(at, text, `if '${wider}' is present, must not specify ${text}`));
    seen.add(text);
  }
  if (resources.length > 1 && resources.includes('*/*'))
    errors.push(fieldInvalid(path, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes('*') && resources.some((text) => text !== '' && text !== '*' && !text.includes('/')))
    errors.push(
      fieldInvalid(path, resources, "if '*' is present, must not specify other resources without subresources"),
    );
  return errors;
}
