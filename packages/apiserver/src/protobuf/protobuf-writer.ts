/**
 * From JSON to messages. A plan is made of each message once: what to write for which key of the JSON, so that an object is
 * written in one pass over its keys.
 */
import type * as Protobuf from 'protobufjs';
import { parseTime } from '@naru/api';
import type { ProtobufMessages } from './messages.ts';

type Json = Readonly<Record<string, unknown>>;
type WriteValue = (writer: Protobuf.Writer, value: unknown) => void;

/** Wire types of the protobuf encoding. */
const VARINT = 0;
const DOUBLE = 1;
const LENGTH_DELIMITED = 2;

interface Plan {
  /** By the key in JSON; the tag is written, too. */
  readonly fields: Map<string, WriteValue>;
  /** Structs whose fields stand beside the others in JSON. */
  readonly inlined: { readonly tag: number; readonly plan: Plan }[];
}

const tagOf = (id: number, wireType: number): number => ((id << 3) | wireType) >>> 0;

export class ProtobufWriter {
  readonly #messages: ProtobufMessages;
  readonly #protobuf: typeof Protobuf;
  readonly #plans = new Map<Protobuf.Type, Plan>();

  constructor(messages: ProtobufMessages, protobuf: typeof Protobuf) {
    this.#messages = messages;
    this.#protobuf = protobuf;
  }

  /** The message that an object of JSON stands for. What the message has no field for is left out. */
  write(type: Protobuf.Type, json: Json): Buffer {
    const writer = this.#protobuf.Writer.create();
    writeStruct(writer, this.#planOf(type), json);
    return writer.finish() as Buffer;
  }

  #planOf(type: Protobuf.Type): Plan {
    const known = this.#plans.get(type);
    if (known !== undefined) return known;
    const plan: Plan = { fields: new Map(), inlined: [] };
    // First of all, as messages may hold themselves.
    this.#plans.set(type, plan);
    const { inlined, keys } = this.#messages.shapeOf(type);
    for (const field of type.fieldsArray) {
      if (inlined.has(field))
        plan.inlined.push({
          tag: tagOf(field.id, LENGTH_DELIMITED),
          plan: this.#planOf(field.resolvedType as Protobuf.Type),
        });
      else plan.fields.set(keys.get(field) ?? field.name, this.#fieldWriter(field));
    }
    return plan;
  }

  #fieldWriter(field: Protobuf.Field): WriteValue {
    const { wireType, write } = this.#valueWriter(field);
    const tag = tagOf(field.id, field.map ? LENGTH_DELIMITED : wireType);
    if (field.map)
      return (writer, value) => {
        for (const [key, each] of Object.entries(value as Json)) {
          writer.uint32(tag).fork().uint32(tagOf(1, LENGTH_DELIMITED)).string(key);
          write(writer.uint32(tagOf(2, wireType)), each);
          writer.ldelim();
        }
      };
    if (field.repeated)
      return (writer, value) => {
        for (const each of value as readonly unknown[]) write(writer.uint32(tag), each);
      };
    return (writer, value) => write(writer.uint32(tag), value);
  }

  #valueWriter(field: Protobuf.Field): { readonly wireType: number; readonly write: WriteValue } {
    const type = field.resolvedType;
    if (type !== null) {
      const special = specialWriters[type.fullName.slice(1)];
      const plan = special === undefined ? this.#planOf(type as Protobuf.Type) : undefined;
      const content: WriteValue =
        special ?? ((writer, value) => (plan === undefined ? undefined : writeStruct(writer, plan, value as Json)));
      return {
        wireType: LENGTH_DELIMITED,
        write(writer, value) {
          writer.fork();
          content(writer, value);
          writer.ldelim();
        },
      };
    }
    const scalar = scalarWriters[field.type];
    if (scalar === undefined) throw new Error(`no writer for the scalar type ${field.type} of ${field.fullName}`);
    return scalar;
  }
}

function writeStruct(writer: Protobuf.Writer, plan: Plan, json: Json): void {
  for (const key in json) {
    const write = plan.fields.get(key);
    const value = json[key];
    if (write !== undefined && value !== undefined && value !== null) write(writer, value);
  }
  for (const { tag, plan: inner } of plan.inlined) {
    writer.uint32(tag).fork();
    writeStruct(writer, inner, json);
    writer.ldelim();
  }
}

const scalarWriters: Readonly<Record<string, { readonly wireType: number; readonly write: WriteValue }>> = {
  bool: { wireType: VARINT, write: (writer, value) => void writer.bool(value === true) },
  int32: { wireType: VARINT, write: (writer, value) => void writer.int32(Number(value)) },
  int64: { wireType: VARINT, write: (writer, value) => void writer.int64(Number(value)) },
  uint32: { wireType: VARINT, write: (writer, value) => void writer.uint32(Number(value)) },
  double: { wireType: DOUBLE, write: (writer, value) => void writer.double(Number(value)) },
  string: { wireType: LENGTH_DELIMITED, write: (writer, value) => void writer.string(String(value)) },
  bytes: {
    wireType: LENGTH_DELIMITED,
    write: (writer, value) => void writer.bytes(Buffer.from(String(value), 'base64')),
  },
};

const tag = { one: tagOf(1, LENGTH_DELIMITED), secondString: tagOf(3, LENGTH_DELIMITED) };
const varint = { one: tagOf(1, VARINT), two: tagOf(2, VARINT) };

const writeRaw: WriteValue = (writer, value) => void writer.uint32(tag.one).bytes(Buffer.from(JSON.stringify(value)));

const writeItems: WriteValue = (writer, value) => {
  for (const each of value as readonly unknown[]) writer.uint32(tag.one).string(String(each));
};

const NANOS_PER_SECOND = 1e9;

const writeTime: WriteValue = (writer, value) =>
  void writer.uint32(varint.one).int64(Math.floor(parseTime(String(value)) / 1000));

const writeMicroTime: WriteValue = (writer, value) => {
  writeTime(writer, value);
  const fraction = /\.(\d+)/u.exec(String(value))?.[1] ?? '';
  writer.uint32(varint.two).int32(Number(fraction.padEnd(9, '0').slice(0, 9)));
};

/** Contents of messages that are something else than an object in JSON. */
const specialWriters: Readonly<Record<string, WriteValue>> = {
  'k8s.io.apimachinery.pkg.api.resource.Quantity': (writer, value) => void writer.uint32(tag.one).string(String(value)),
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': writeTime,
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': writeMicroTime,
  'k8s.io.apimachinery.pkg.apis.meta.v1.Duration': (writer, value) =>
    void writer.uint32(varint.one).int64(Number.parseFloat(String(value)) * NANOS_PER_SECOND),
  'k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1': writeRaw,
  'k8s.io.apimachinery.pkg.apis.meta.v1.Verbs': writeItems,
  'k8s.io.apimachinery.pkg.runtime.RawExtension': writeRaw,
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': (writer, value) => {
    const isText = typeof value === 'string';
    writer.uint32(varint.one).int32(isText ? 1 : 0);
    if (isText) writer.uint32(tag.secondString).string(value);
    else writer.uint32(varint.two).int32(Number(value));
  },
  'k8s.io.api.authentication.v1.ExtraValue': writeItems,
  'k8s.io.api.authorization.v1.ExtraValue': writeItems,
  'k8s.io.api.certificates.v1.ExtraValue': writeItems,
};
