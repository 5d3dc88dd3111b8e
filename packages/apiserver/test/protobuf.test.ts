/** Kubernetes protobuf: every built-in kind there and back, and what the server says in it. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  apiVersionOf,
  builtInResources,
  configMaps as configMapResource,
  newExpired,
  schemaOf,
  type ModelSchema,
} from '@naru/api';
import { ProtobufMessages } from '../src/protobuf/messages.ts';
import { protobufCodec } from '../src/protobuf/protobuf-codec.ts';
import { protobufEncoder } from '../src/server/protobuf-response.ts';
import { ApiFixture, startStore } from './api-fixture.ts';
import { SchemaArbitrary } from './schema-arbitrary.ts';

const { messages } = ProtobufMessages.load();
const DEPTH_MAX = 7;
/** Kinds that are newer than the messages, or have none: they are spoken of in JSON. */
const withoutMessage = new Set([
  'APIService',
  'CustomResourceDefinition',
  'DeviceClass',
  'IPAddress',
  'MutatingAdmissionPolicy',
  'MutatingAdmissionPolicyBinding',
  'ResourceClaim',
  'ResourceClaimTemplate',
  'ResourceSlice',
  'ServiceCIDR',
  'VolumeAttributesClass',
]);

/** The keys in JSON that a message has a field for. */
function keysOf(schema: ModelSchema): ReadonlySet<string> | undefined {
  const type = messages.named(schema.name.replace(/^io\.k8s\./u, 'k8s.io.'));
  if (type === undefined) return undefined;
  const keys = new Set<string>();
  const add = (of: typeof type): void => {
    const shape = messages.shapeOf(of);
    for (const field of of.fieldsArray)
      if (shape.inlined.has(field)) add(field.resolvedType as typeof type);
      else keys.add(shape.keys.get(field) ?? field.name);
  };
  add(type);
  return keys;
}

const schemaArbitrary = new SchemaArbitrary({ depthMax: DEPTH_MAX, keysOf });

await t.test('every built-in kind is the same after JSON, protobuf, JSON', (t) => {
  for (const resource of builtInResources) {
    const { kind, model } = resource;
    const apiVersion = apiVersionOf(resource);
    t.equal(protobufCodec.knows(apiVersion, kind), !withoutMessage.has(kind), `${apiVersion} ${kind}`);
    if (withoutMessage.has(kind)) continue;
    const schema = schemaOf(model);
    const arbitrary = schema === undefined ? undefined : schemaArbitrary.objectOf(schema);
    if (arbitrary === undefined) throw new Error(`no schema of ${kind}`);
    const property = fc.property(arbitrary, (fields) => {
      const object = { ...fields, kind, apiVersion };
      return isDeepStrictEqual(protobufCodec.decode(protobufCodec.encode(object)), object);
    });
    fc.assert(property, { numRuns: 8 });
  }
  t.end();
});

await t.test('zeros that were meant come through, those that were not set do not', (t) => {
  const deployment = {
    kind: 'Deployment',
    apiVersion: 'apps/v1',
    spec: {
      replicas: 0,
      minReadySeconds: 0,
      template: { spec: { containers: [{ name: '', stdin: false, ports: [{ containerPort: 0, hostPort: 0 }] }] } },
    },
    status: { replicas: 0 },
  };
  t.strictSame(protobufCodec.decode(protobufCodec.encode(deployment)), {
    kind: 'Deployment',
    apiVersion: 'apps/v1',
    spec: { replicas: 0, template: { spec: { containers: [{ name: '', ports: [{ containerPort: 0 }] }] } } },
    status: {},
  });
  t.end();
});

const protobufType = 'application/vnd.kubernetes.protobuf';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Record<string, unknown>;
}

await t.test('a server speaks protobuf', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);

  const ask = async (method: string, path: string, body?: object, accept = protobufType): Promise<Answer> => {
    const answer = await fetch(api.url + path, {
      method,
      headers: {
        authorization: 'Bearer admin',
        accept,
        ...(body === undefined ? {} : { 'content-type': protobufType }),
      },
      ...(body === undefined ? {} : { body: protobufCodec.encode(body as Record<string, unknown>) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const type = answer.headers.get('content-type') ?? '';
    const decoded = type === protobufType ? protobufCodec.decode(bytes) : JSON.parse(bytes.toString());
    return { status: answer.status, type, body: decoded as Record<string, unknown> };
  };
  const configMaps = '/api/v1/namespaces/default/configmaps';
  const configMap = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' }, data: { k: 'v' } };

  await t.test('objects, lists, errors', async (t) => {
    const created = await ask('POST', configMaps, configMap);
    t.match(created, { status: 201, type: protobufType, body: { ...configMap, metadata: { uid: /./u } } });
    const json = await api.request('GET', `${configMaps}/a`);
    t.strictSame((await ask('GET', `${configMaps}/a`)).body, json.body);
    const list = await ask('GET', configMaps);
    const { kind: _kind, apiVersion: _apiVersion, ...item } = json.body;
    t.match(list, { status: 200, type: protobufType, body: { kind: 'ConfigMapList', apiVersion: 'v1' } });
    t.strictSame(list.body['items'], [item]);
    t.match(await ask('GET', `${configMaps}/none`), {
      status: 404,
      type: protobufType,
      body: { kind: 'Status', reason: 'NotFound', code: 404, details: { name: 'none', kind: 'configmaps' } },
    });
    const events = await ask('GET', '/apis/events.k8s.io/v1/events');
    t.match(events.body, { kind: 'EventList', apiVersion: 'events.k8s.io/v1' });
  });

  await t.test('metadata alone', async (t) => {
    const accept = `${protobufType};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`;
    const list = await ask('GET', configMaps, undefined, accept);
    t.match(list.body, {
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      items: [{ metadata: { name: 'a' } }],
    });
    const one = `${protobufType};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`;
    t.match((await ask('GET', `${configMaps}/a`, undefined, one)).body, {
      kind: 'PartialObjectMetadata',
      metadata: { name: 'a' },
    });
  });

  await t.test('what has no message comes in JSON, if the client takes that', async (t) => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    t.equal((await ask('GET', path)).status, 406);
    t.match(await ask('GET', path, undefined, `${protobufType}, application/json`), {
      status: 200,
      type: 'application/json',
      body: { kind: 'CustomResourceDefinitionList' },
    });
    t.match(await ask('GET', '/api/v1'), { status: 200, body: { kind: 'APIResourceList', groupVersion: 'v1' } });
  });

  await t.test('a watch: length-delimited frames of objects, bookmarks and errors', async (t) => {
    const frames = async (query: string, count: number): Promise<[string, Record<string, unknown>][]> => {
      const abort = new AbortController();
      const answer = await fetch(`${api.url}${configMaps}?watch=true&${query}`, {
        headers: { authorization: 'Bearer admin', accept: protobufType },
        signal: abort.signal,
      });
      t.equal(answer.headers.get('content-type'), `${protobufType};stream=watch`);
      const found: [string, Record<string, unknown>][] = [];
      let rest = Buffer.alloc(0);
      for await (const chunk of answer.body ?? []) {
        rest = Buffer.concat([rest, chunk as Uint8Array]);
        while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
          found.push(readEvent(rest.subarray(4, 4 + rest.readUInt32BE(0))));
          rest = rest.subarray(4 + rest.readUInt32BE(0));
        }
        if (found.length >= count) break;
      }
      abort.abort();
      return found;
    };
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const [added, bookmark] = await frames(query, 2);
    t.match(added, ['ADDED', configMap]);
    t.match(bookmark, [
      'BOOKMARK',
      { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
    ]);
    const encoder = protobufEncoder({ resource: configMapResource, view: undefined, as: 'object' });
    const error = encoder.encodeOther?.('ERROR', { ...newExpired('too old').status });
    t.match(error === undefined ? undefined : readEvent(error.subarray(4)), ['ERROR', { kind: 'Status', code: 410 }]);
  });
});

/** WatchEvent { type = 1, object = 2 { raw = 1 } }, whose lengths fit in two bytes each. */
function readEvent(bytes: Buffer): [string, Record<string, unknown>] {
  const message = messages.named('k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent');
  const event = message?.toObject(message.decode(bytes), { bytes: Buffer }) as {
    readonly type: string;
    readonly object: { readonly raw: Buffer };
  };
  return [event.type, protobufCodec.decode(event.object.raw)];
}
