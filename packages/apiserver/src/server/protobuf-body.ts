/**
 * Request bodies in Kubernetes protobuf, as values of the JSON that they stand for:
 *
 *     body    = "k8s\0" Unknown
 *     Unknown = typeMeta { apiVersion, kind }, raw: bytes of the object's message, contentType ''
 *
 * JSON and protobuf differ in more than the encoding: structs that JSON inlines are messages of their own, quantities, times
 * and the like are messages, and fields without a pointer in Go are sent even if they are zero.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { builtInSchemas, formatMicroTime, formatTime, parseApiVersion, type ModelSchema } from '@naru/api';
import type * as Protobuf from 'protobufjs';

const magic = Buffer.from('k8s\0');
const unknownMessage = 'k8s.io.apimachinery.pkg.runtime.Unknown';
const metaPackage = 'k8s.io.apimachinery.pkg.apis.meta.v1';
const metaKinds: ReadonlySet<string> = new Set(['DeleteOptions', 'CreateOptions', 'UpdateOptions', 'PatchOptions']);

/** Fields that are pointers in Go: their zero was meant. Elsewhere a zero is a field that was not set. */
const pointerFields: ReadonlySet<string> = new Set([
  'activeDeadlineSeconds',
  'allocateLoadBalancerNodePorts',
  'allowPrivilegeEscalation',
  'allowVolumeExpansion',
  'attachRequired',
  'automountServiceAccountToken',
  'backoffLimit',
  'blockOwnerDeletion',
  'completions',
  'controller',
  'defaultMode',
  'deletionGracePeriodSeconds',
  'enableServiceLinks',
  'expirationSeconds',
  'failedJobsHistoryLimit',
  'fsGroup',
  'gracePeriodSeconds',
  'hostUsers',
  'immutable',
  'ingressClassName',
  'leaseDurationSeconds',
  'leaseTransitions',
  'minReplicas',
  'mode',
  'optional',
  'orphanDependents',
  'parallelism',
  'partition',
  'podInfoOnMount',
  'port',
  'priority',
  'privileged',
  'progressDeadlineSeconds',
  'readOnlyRootFilesystem',
  'ready',
  'replicas',
  'revisionHistoryLimit',
  'runAsGroup',
  'runAsNonRoot',
  'runAsUser',
  'serving',
  'setHostnameAsFQDN',
  'shareProcessNamespace',
  'storageClassName',
  'successfulJobsHistoryLimit',
  'suspend',
  'terminating',
  'terminationGracePeriodSeconds',
  'tolerationSeconds',
  'ttlSecondsAfterFinished',
]);

/** Reads bodies; the messages are loaded with the first. */
export class ProtobufReader {
  #root: Protobuf.Root | undefined;
  readonly #schemasByName = new Map<string, ModelSchema>();

  /** The object as JSON would have it, with its type meta. @throws Error in words for the client. */
  decode(body: Buffer): Record<string, unknown> {
    if (!body.subarray(0, magic.length).equals(magic))
      throw new Error('provided data does not appear to be a protobuf message, expected prefix "k8s\\0"');
    const root = this.#load();
    const unknown = root.lookupType(unknownMessage);
    const { typeMeta, raw } = unknown.toObject(unknown.decode(body.subarray(magic.length)), { bytes: Buffer }) as {
      readonly typeMeta?: { readonly apiVersion?: string; readonly kind?: string };
      readonly raw?: Uint8Array;
    };
    const { apiVersion = '', kind = '' } = typeMeta ?? {};
    const type = this.#typeOf(root, apiVersion, kind);
    const message = type.toObject(type.decode(raw ?? Buffer.alloc(0)), { longs: Number, bytes: String, enums: String });
    return { kind, apiVersion, ...(this.#struct(type, message) as object) };
  }

  #load(): Protobuf.Root {
    if (this.#root !== undefined) return this.#root;
    const protobuf = createRequire(import.meta.url)('protobufjs') as typeof Protobuf;
    const folder = join(import.meta.dirname, '..', '..', 'proto');
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(folder, target);
    const files = readdirSync(join(folder, 'k8s.io'), { recursive: true, encoding: 'utf8' });
    root.loadSync(
      files.filter((each) => each.endsWith('.proto')).map((each) => join('k8s.io', each)),
      { keepCase: true },
    );
    root.resolveAll();
    for (const schema of Object.values(builtInSchemas())) this.#schemasByName.set(schema.name, schema);
    this.#root = root;
    return root;
  }

  #typeOf(root: Protobuf.Root, apiVersion: string, kind: string): Protobuf.Type {
    const { group, version } = parseApiVersion(apiVersion);
    const name = metaKinds.has(kind)
      ? `${metaPackage}.${kind}`
      : `k8s.io.api.${group === '' ? 'core' : (group.split('.')[0] ?? '')}.${version}.${kind}`;
    try {
      return root.lookupType(name);
    } catch {
      throw new Error(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
    }
  }

  /** The JSON of a message; undefined: it is as good as absent. */
  #struct(type: Protobuf.Type, message: Record<string, unknown>): unknown {
    const special = specialMessages[type.fullName.slice(1)];
    if (special !== undefined) return special(message);
    // `io.k8s.api.core.v1.Pod` is what `k8s.io.api.core.v1.Pod` is called in OpenAPI.
    const schema = this.#schemasByName.get(type.fullName.replace(/^\.k8s\.io\./u, 'io.k8s.'));
    const json: Record<string, unknown> = {};
    for (const field of type.fieldsArray) {
      const value = message[field.name];
      if (value === undefined) continue;
      if (schema !== undefined && schema.fields[field.name] === undefined && field.resolvedType !== null) {
        Object.assign(json, this.#value(field, value));
        continue;
      }
      const isZero = value === '' || value === 0 || value === false;
      if (isZero && !pointerFields.has(field.name) && schema?.fields[field.name]?.required !== true) continue;
      const converted = this.#field(field, value);
      if (converted !== undefined) json[field.name] = converted;
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

const nanosPerMs = 1e6;

const millisOf = ({ seconds, nanos }: Record<string, unknown>): number =>
  Number(seconds ?? 0) * 1000 + Number(nanos ?? 0) / nanosPerMs;

const rawJson = ({ raw, Raw }: Record<string, unknown>): unknown => {
  const encoded = raw ?? Raw;
  const text = typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString() : '';
  return text === '' ? undefined : (JSON.parse(text) as unknown);
};

/** Messages that are something else than an object in JSON. */
const specialMessages: Readonly<Record<string, (message: Record<string, unknown>) => unknown>> = {
  'k8s.io.apimachinery.pkg.api.resource.Quantity': ({ string }) => string ?? '0',
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': (message) =>
    Object.keys(message).length === 0 ? undefined : formatTime(millisOf(message)),
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': (message) =>
    Object.keys(message).length === 0 ? undefined : formatMicroTime(millisOf(message)),
  'k8s.io.apimachinery.pkg.apis.meta.v1.Duration': ({ duration }) => `${Number(duration ?? 0) / 1e9}s`,
  'k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1': rawJson,
  'k8s.io.apimachinery.pkg.runtime.RawExtension': rawJson,
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': ({ type, intVal, strVal }) =>
    Number(type ?? 0) === 0 ? (intVal ?? 0) : (strVal ?? ''),
  'k8s.io.api.authentication.v1.ExtraValue': ({ items }) => items ?? [],
  'k8s.io.api.authorization.v1.ExtraValue': ({ items }) => items ?? [],
  'k8s.io.api.certificates.v1.ExtraValue': ({ items }) => items ?? [],
};
