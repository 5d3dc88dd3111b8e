/** Request bodies as objects. */
import { newBadRequest, newStatusError } from '@naru/api';
import { parseDocument } from 'yaml';
import { protobufCodec } from '../protobuf/protobuf-codec.ts';

/** Collections and aliases in a YAML body that are expanded; more is an attack. */
const YAML_ALIASES_MAX = 100;

const jsonTypes: ReadonlySet<string> = new Set(['application/json', '*/*', '']);
const yamlTypes: ReadonlySet<string> = new Set(['application/yaml', 'application/x-yaml', 'text/yaml']);

export const protobufType = 'application/vnd.kubernetes.protobuf';

/** `application/json; charset=utf-8` without its parameters. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

export function unsupportedMediaType(accepted: readonly string[]): Error {
  return newStatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    {},
  );
}

/**
 * The value in a JSON or YAML body, expected to be an object of `kind`.
 * @throws StatusError BadRequest or UnsupportedMediaType.
 */
export function parseBody(body: Buffer, contentType: string | undefined, kind: string): Record<string, unknown> {
  const type = mediaTypeOf(contentType);
  let value: unknown;
  if (jsonTypes.has(type)) value = parseJson(body, kind);
  else if (yamlTypes.has(type)) value = parseYaml(body, kind);
  else if (type === protobufType) value = parseProtobuf(body, kind);
  else throw unsupportedMediaType(['application/json', 'application/yaml', protobufType]);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw unrecognized(
      kind,
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${goTypeOf(value)} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`,
      body,
    );
  return value as Record<string, unknown>;
}

function parseJson(body: Buffer, kind: string): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw unrecognized(kind, `couldn't get version/kind; json parse error: ${goJsonError(error)}`, body);
  }
}

/** What JSON.parse says is wrong, in the words of Go's decoder where they are the same thing. */
export function goJsonError(error: unknown): string {
  const message = (error as Error).message.replace(/^Unexpected end of JSON input$/u, 'unexpected end of JSON input');
  return message.replace(
    /^Expected property name or '\}' in JSON at position \d+.*$/u,
    'invalid character at the beginning of object key string',
  );
}

function parseProtobuf(body: Buffer, kind: string): unknown {
  try {
    return protobufCodec.decode(body);
  } catch (error) {
    throw unrecognized(kind, (error as Error).message, body);
  }
}

function parseYaml(body: Buffer, kind: string): unknown {
  const document = parseDocument(body.toString(), { schema: 'core', uniqueKeys: false, logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined)
    throw unrecognized(kind, `error converting YAML to JSON: yaml: ${error.message.split('\n', 1)[0] ?? ''}`, body);
  try {
    return document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
  } catch (error) {
    throw unrecognized(kind, `error converting YAML to JSON: yaml: ${(error as Error).message}`, body);
  }
}

function goTypeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function unrecognized(kind: string, problem: string, body: Buffer): Error {
  return newBadRequest(
    `the object provided is unrecognized (must be of type ${kind}): ${problem} (${summarize(body)})`,
  );
}

const SUMMARY_BYTES_MAX = 30;

function summarize(body: Buffer): string {
  if (body.length === 0) return '<empty>';
  const encoding = body[0] === 0x7b ? 'utf8' : 'hex';
  const start = body.subarray(0, SUMMARY_BYTES_MAX).toString(encoding);
  return body.length > SUMMARY_BYTES_MAX ? `${start} ...` : start;
}
