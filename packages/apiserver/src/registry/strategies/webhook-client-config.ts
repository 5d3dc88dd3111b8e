/** Where a webhook is (k8s.io/apiserver/pkg/util/webhook/validation.go). */
import { fieldInvalid, fieldRequired, isDns1123Label, type FieldError } from '@naru/api';

export interface ClientConfig {
  readonly url?: string;
  readonly service?: { name?: string; namespace?: string; path?: string; port?: number };
  readonly caBundle?: string;
}

export function clientConfigErrors(path: string, config: ClientConfig): FieldError[] {
  const { url, service } = config;
  if ((url === undefined) === (service === undefined))
    return [fieldRequired(path, 'exactly one of url or service is required')];
  return url === undefined ? serviceErrors(`${path}.service`, service ?? {}) : urlErrors(`${path}.url`, url);
}

const urlForm = '; desired format: https://host[/path]';

function urlErrors(path: string, text: string): FieldError[] {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    return [fieldRequired(path, `url must be a valid URL: ${(error as Error).message}${urlForm}`)];
  }
  const errors: FieldError[] = [];
  if (url.protocol !== 'https:')
    errors.push(fieldInvalid(path, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`));
  if (url.host === '') errors.push(fieldInvalid(path, url.host, `host must be specified${urlForm}`));
  if (url.username !== '' || url.password !== '')
    errors.push(fieldInvalid(path, url.username, 'user information is not permitted in the URL'));
  if (url.hash !== '') errors.push(fieldInvalid(path, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search !== '')
    errors.push(fieldInvalid(path, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return errors;
}

function serviceErrors(path: string, service: NonNullable<ClientConfig['service']>): FieldError[] {
  const { name = '', namespace = '', path: urlPath, port = 443 } = service;
  const errors: FieldError[] = [];
  if (name === '') errors.push(fieldRequired(`${path}.name`, 'service name is required'));
  if (namespace === '') errors.push(fieldRequired(`${path}.namespace`, 'service namespace is required'));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    errors.push(fieldInvalid(`${path}.port`, port, 'port is not valid: must be between 1 and 65535, inclusive'));
  return urlPath === undefined ? errors : [...errors, ...urlPathErrors(`${path}.path`, urlPath)];
}

function urlPathErrors(path: string, urlPath: string): FieldError[] {
  if (urlPath === '/') return [];
  if (!urlPath.startsWith('/')) return [fieldInvalid(path, urlPath, "must start with a '/'")];
  const steps = urlPath.slice(1).split('/');
  // One slash at the end is fine.
  if (steps.length > 1 && steps.at(-1) === '') steps.pop();
  return steps.flatMap((step, i) =>
    step === ''
      ? [fieldInvalid(path, urlPath, `segment[${i}] may not be empty`)]
      : isDns1123Label(step).map((message) => fieldInvalid(path, urlPath, `segment[${i}]: ${message}`)),
  );
}
