/** `spec.conversion` (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation). Paths are those of upstream's internal type. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isDns1035Label,
  type CustomResourceDefinition,
  type FieldError,
} from '@naru/api';
import { clientConfigErrors } from '../webhook-client-config.ts';

type Conversion = NonNullable<CustomResourceDefinition['spec']['conversion']>;

const reviewVersions = ['v1', 'v1beta1'];

export function conversionErrors(conversion: Conversion | undefined): FieldError[] {
  const { strategy = '', webhook } = (conversion ?? {}) as Partial<Conversion>;
  const path = 'spec.conversion';
  if (strategy === '') return [fieldRequired(`${path}.strategy`)];
  if (strategy !== 'None' && strategy !== 'Webhook')
    return [fieldNotSupported(`${path}.strategy`, strategy, ['None', 'Webhook'])];
  if (strategy === 'Webhook') {
    const { clientConfig, conversionReviewVersions } = webhook ?? {};
    return [
      ...(clientConfig === undefined
        ? [fieldRequired(`${path}.webhookClientConfig`, 'required when strategy is set to Webhook')]
        : clientConfigErrors(`${path}.webhookClientConfig`, clientConfig)),
      ...reviewVersionErrors(`${path}.conversionReviewVersions`, conversionReviewVersions ?? []),
    ];
  }
  if (webhook === undefined) return [];
  const why = 'should not be set when strategy is not set to Webhook';
  return [
    ...(webhook.clientConfig === undefined ? [] : [fieldForbidden(`${path}.webhookClientConfig`, why)]),
    ...((webhook.conversionReviewVersions ?? []).length === 0
      ? []
      : [fieldForbidden(`${path}.conversionReviewVersions`, why)]),
  ];
}

function reviewVersionErrors(path: string, versions: readonly string[]): FieldError[] {
  if (versions.length === 0) return [fieldRequired(path)];
  const errors = versions.flatMap((version, i) =>
    versions.indexOf(version) < i
      ? [fieldInvalid(`${path}[${i}]`, version, 'duplicate version')]
      : isDns1035Label(version).map((message) => fieldInvalid(`${path}[${i}]`, version, message)),
  );
  if (!versions.some((each) => reviewVersions.includes(each)))
    errors.push(fieldInvalid(path, versions, `must include at least one of ${reviewVersions.join(', ')}`));
  return errors;
}
