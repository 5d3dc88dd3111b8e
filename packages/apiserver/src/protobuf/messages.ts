/** Kubernetes' protobuf messages, loaded from `proto/` when the first body needs them. */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { builtInSchemas, parseApiVersion, type ModelSchema } from '@naru/api';
import type * as Protobuf from 'protobufjs';
import { zeroFields } from './zero-fields-data.ts';

const apiPackage = 'k8s.io.api.';
const metaPackage = 'k8s.io.apimachinery.pkg.apis.';
/** Kinds of meta/v1 that are spoken of in the version of whatever they belong to. */
const metaKinds: ReadonlySet<string> = new Set([
  'APIGroup',
  'APIGroupList',
  'APIResourceList',
  'APIVersions',
  'CreateOptions',
  'DeleteOptions',
  'PatchOptions',
  'Status',
  'UpdateOptions',
]);

/** How a message's fields stand in JSON. */
export interface MessageShape {
  /** The key in JSON of each field; Go's names and JSON's differ in case here and there. */
  readonly keys: ReadonlyMap<Protobuf.Field, string>;
  /** Structs without a name of their own in JSON: their fields stand beside the others. */
  readonly inlined: ReadonlySet<Protobuf.Field>;
  /** Fields whose zero is not the same as their absence. */
  readonly zeroFields: ReadonlySet<string>;
}

export class ProtobufMessages {
  readonly #root: Protobuf.Root;
  readonly #schemasByName = new Map<string, ModelSchema>();
  readonly #shapes = new Map<Protobuf.Type, MessageShape>();

  private constructor(root: Protobuf.Root) {
    this.#root = root;
    for (const schema of Object.values(builtInSchemas())) this.#schemasByName.set(schema.name, schema);
  }

  static load(): { readonly messages: ProtobufMessages; readonly protobuf: typeof Protobuf } {
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
    return { messages: new ProtobufMessages(root), protobuf };
  }

  /** The message of a kind; undefined: it has none. */
  ofKind(apiVersion: string, kind: string): Protobuf.Type | undefined {
    const { group, version } = parseApiVersion(apiVersion);
    if (group === 'meta.k8s.io' || metaKinds.has(kind)) return this.named(`${metaPackage}meta.v1.${kind}`);
    return this.named(`${apiPackage}${group === '' ? 'core' : (group.split('.')[0] ?? '')}.${version}.${kind}`);
  }

  named(name: string): Protobuf.Type | undefined {
    const found = this.#root.lookup(name);
    return found !== null && 'fieldsArray' in found ? (found as Protobuf.Type) : undefined;
  }

  shapeOf(type: Protobuf.Type): MessageShape {
    let shape = this.#shapes.get(type);
    if (shape === undefined) {
      shape = this.#newShape(type);
      this.#shapes.set(type, shape);
    }
    return shape;
  }

  #newShape(type: Protobuf.Type): MessageShape {
    const name = type.fullName.slice(1);
    // `io.k8s.api.core.v1.Pod` is what `k8s.io.api.core.v1.Pod` is called in OpenAPI.
    const schema = this.#schemasByName.get(name.replace(/^k8s\.io\./u, 'io.k8s.'));
    const jsonKeys = new Map(Object.keys(schema?.fields ?? {}).map((each) => [each.toLowerCase(), each]));
    const keys = new Map(type.fieldsArray.map((each) => [each, jsonKeys.get(each.name.toLowerCase()) ?? each.name]));
    const inlined = type.fieldsArray.filter(
      (each) => schema !== undefined && !jsonKeys.has(each.name.toLowerCase()) && each.resolvedType !== null,
    );
    const short = name.startsWith(metaPackage) ? name.slice(metaPackage.length) : name.slice(apiPackage.length);
    const required = Object.entries(schema?.fields ?? {}).filter(([, field]) => field.required === true);
    return {
      keys,
      inlined: new Set(inlined),
      zeroFields: new Set([...(zeroFields[short]?.split(' ') ?? []), ...required.map(([field]) => field)]),
    };
  }
}
