/** From messages to the JSON that they stand for. */
import { formatTime } from '@naru/api';
import type * as Protobuf from 'protobufjs';
import type { ProtobufMessages } from './messages.ts';

export class ProtobufReader {
  readonly #messages: ProtobufMessages;

  constructor(messages: ProtobufMessages) {
    this.#messages = messages;
  }

  /** The JSON of an encoded message. @throws Error where the bytes are no such message. */
  read(type: Protobuf.Type, bytes: Uint8Array): Record<string, unknown> {
    const message = type.toObject(type.decode(bytes), { longs: Number, bytes: String, enums: String });
    return this.#struct(type, message) as Record<string, unknown>;
  }

  /** The JSON of a message; undefined: it is as good as absent. */
  #struct(type: Protobuf.Type, message: Record<string, unknown>): unknown {
    const special = specialMessages[type.fullName.slice(1)];
    if (special !== undefined) return special(message);
    const { inlined, zeroFields, keys } = this.#messages.shapeOf(type);
    const json: Record<string, unknown> = {};
    for (const field of type.fieldsArray) {
      const value = message[field.name];
      if (value === undefined) continue;
      if (inlined.has(field)) {
        Object.assign(json, this.#value(field, value));
        continue;
      }
      const isZero = value === '' || value === 0 || value === false;
      const key = keys.get(field) ?? field.name;
      if (isZero && !zeroFields.has(key)) continue;
      const converted = this.#field(field, value);
      if (converted !== undefined) json[key] = converted;
    }
    return json;
  }

  #field(field: Protobuf.Field, value: unknown): unknown {
    if (Array.isArray(value)) return value.map((each: unknown) => this.#value(field, each));
    if (field.map)
      return Object.fromEntries(
        Object.entries(value as Record<string, unknown>).map(([key, each]) => [key, this.#value(field, each)]),
      );
    return this.#value(field, value);
  }

  #value(field: Protobuf.Field, value: unknown): unknown {
    const type = field.resolvedType;
    if (type === null || typeof value !== 'object' || value === null) return value;
    return this.#struct(type as Protobuf.Type, value as Record<string, unknown>);
  }
}

const rawJson = ({ raw, Raw }: Record<string, unknown>): unknown => {
  const encoded = raw ?? Raw;
  const text = typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString() : '';
  return text === '' ? undefined : (JSON.parse(text) as unknown);
};

const secondsOf = ({ seconds }: Record<string, unknown>): string => formatTime(Number(seconds ?? 0) * 1000);
const itemsOf = ({ items }: Record<string, unknown>): unknown => items ?? [];

const NANOS_PER_MICRO = 1000;
const MICROS_DIGITS = 6;

/** Messages that are something else than an object in JSON. */
const specialMessages: Readonly<Record<string, (message: Record<string, unknown>) => unknown>> = {
  'k8s.io.apimachinery.pkg.api.resource.Quantity': ({ string }) => string ?? '0',
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': (message) =>
    Object.keys(message).length === 0 ? undefined : secondsOf(message),
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': (message) => {
    if (Object.keys(message).length === 0) return undefined;
    const micros = Math.trunc(Number(message['nanos'] ?? 0) / NANOS_PER_MICRO);
    return `${secondsOf(message).slice(0, -1)}.${String(micros).padStart(MICROS_DIGITS, '0')}Z`;
  },
  'k8s.io.apimachinery.pkg.apis.meta.v1.Duration': ({ duration }) => `${Number(duration ?? 0) / 1e9}s`,
  'k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1': rawJson,
  'k8s.io.apimachinery.pkg.apis.meta.v1.Verbs': itemsOf,
  'k8s.io.apimachinery.pkg.runtime.RawExtension': rawJson,
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': ({ type, intVal, strVal }) =>
    Number(type ?? 0) === 0 ? (intVal ?? 0) : (strVal ?? ''),
  'k8s.io.api.authentication.v1.ExtraValue': itemsOf,
  'k8s.io.api.authorization.v1.ExtraValue': itemsOf,
  'k8s.io.api.certificates.v1.ExtraValue': itemsOf,
};
