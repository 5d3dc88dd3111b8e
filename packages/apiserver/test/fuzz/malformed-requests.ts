/** Requests that no client should send, as bytes for a connection. */
import { Mutator, type SeededRandom } from '@naru/testkit';

/** What is written to one connection. */
export interface MalformedRequest {
  readonly name: string;
  /** Written one after the other; a number is a pause in milliseconds. */
  readonly parts: readonly (Buffer | number)[];
  /** Whether the server has to answer: the bytes are whole requests, whatever they say. */
  readonly isWhole: boolean;
}

const configMaps = '/api/v1/namespaces/fuzz/configmaps';
const exec = '/api/v1/namespaces/fuzz/pods/p/exec?command=sh&stdin=true&stdout=true';
const json = 'application/json';

interface Request {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly type?: string;
  readonly body?: string | Buffer;
  readonly token?: string;
}

const configMap = (fields: string): string =>
  `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"m-"}${fields}}`;
const deployment =
  '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","labels":{"a":"b"}},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]}}}}';
const role =
  '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}';
const pod =
  '{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-"},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"$(B)"}],"resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]}}';
const service =
  '{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"port":80,"targetPort":"http"}],"selector":{"a":"b"}}}';

/** Well-formed requests, to be damaged: writes are dry runs or of few names, so that the store does not grow. */
const corpus: readonly Request[] = [
  { path: '/api/v1/namespaces?limit=1&continue=e30' },
  { path: `${configMaps}?labelSelector=a%20in%20(b%2Cc)%2C!d&fieldSelector=metadata.name%21%3Dx` },
  { path: `${configMaps}?watch=1&timeoutSeconds=1&resourceVersion=1&allowWatchBookmarks=true` },
  { path: `${configMaps}?watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan` },
  { path: '/api/v1/pods', headers: { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1,application/json;q=0.5' } },
  { path: '/apis', headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' } },
  { path: '/openapi/v3/apis/apps/v1' },
  { path: '/readyz?verbose&exclude=etcd' },
  { path: '/api/v1/namespaces/fuzz/pods/p/log?tailLines=10&sinceSeconds=-1&follow=true' },
  { path: '/api/v1/namespaces/fuzz/services/https:s:1/proxy/a/../b?x=%00' },
  { path: '/api/v1/nodes/n:10250/proxy/metrics' },
  { method: 'POST', path: `${configMaps}?dryRun=All&fieldValidation=Strict`, body: configMap(',"data":{"a":"b"}') },
  { method: 'POST', path: '/api/v1/namespaces/fuzz/pods?dryRun=All', body: pod },
  { method: 'POST', path: '/api/v1/namespaces/fuzz/services?dryRun=All', body: service },
  { method: 'POST', path: '/apis/apps/v1/namespaces/fuzz/deployments?dryRun=All', body: deployment },
  { method: 'PUT', path: '/apis/apps/v1/namespaces/fuzz/deployments/d', body: deployment },
  { method: 'PUT', path: '/apis/apps/v1/namespaces/fuzz/deployments/d/scale', body: '{"spec":{"replicas":2}}' },
  { method: 'POST', path: '/apis/rbac.authorization.k8s.io/v1/clusterroles?dryRun=All', body: role },
  { method: 'PATCH', path: `${configMaps}/c`, type: 'application/merge-patch+json', body: '{"data":{"a":"c"}}' },
  {
    method: 'PATCH',
    path: `${configMaps}/c`,
    type: 'application/json-patch+json',
    body: '[{"op":"add","path":"/data/x~1y","value":"z"},{"op":"move","from":"/data/x~1y","path":"/data/-"},{"op":"test","path":"/kind","value":"ConfigMap"}]',
  },
  {
    method: 'PATCH',
    path: '/apis/apps/v1/namespaces/fuzz/deployments/d',
    type: 'application/strategic-merge-patch+json',
    body: '{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c","image":"j","$patch":"merge"}],"$retainKeys":["containers"]}}}}',
  },
  {
    method: 'PATCH',
    path: '/apis/apps/v1/namespaces/fuzz/deployments/d?fieldManager=f&force=true',
    type: 'application/apply-patch+yaml',
    body: deployment,
  },
  {
    method: 'POST',
    path: `${configMaps}?dryRun=All`,
    type: 'application/yaml',
    body: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: &d\n  a: |\n    b\n  c: !!str 1\n',
  },
  {
    method: 'POST',
    path: `${configMaps}?dryRun=All`,
    type: 'application/vnd.kubernetes.protobuf',
    // k8s\0, runtime.Unknown {typeMeta {v1, ConfigMap}, raw {metadata {name}, data {a: b}}}
    body: Buffer.from(
      '6b3873000a0f0a02763112' +
        '09436f6e6669674d6170' +
        '120f0a050a03707266120612016112016200'.slice(0, 34) +
        '1a002200',
      'hex',
    ),
  },
  {
    method: 'DELETE',
    path: `${configMaps}/none?propagationPolicy=Orphan&gracePeriodSeconds=-1`,
    body: '{"kind":"DeleteOptions","preconditions":{"uid":"x"}}',
  },
  { method: 'DELETE', path: `${configMaps}?labelSelector=none%3Dnone&dryRun=All` },
  {
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: '{"spec":{"resourceAttributes":{"verb":"get","resource":"pods","namespace":"x"}}}',
  },
  { method: 'POST', path: '/apis/authentication.k8s.io/v1/tokenreviews', body: '{"spec":{"token":"a.b.c"}}' },
  {
    method: 'POST',
    path: '/api/v1/namespaces/fuzz/pods/p/eviction',
    body: '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}',
  },
  { method: 'POST', path: '/api/v1/namespaces/fuzz/bindings', body: '{"metadata":{"name":"p"},"target":{"name":"n"}}' },
  {
    method: 'POST',
    path: '/api/v1/namespaces/fuzz/serviceaccounts/default/token',
    body: '{"spec":{"audiences":["a"],"expirationSeconds":600}}',
  },
  {
    method: 'POST',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All',
    body: '{"metadata":{"name":"as.example.com"},"spec":{"group":"example.com","scope":"Cluster","names":{"plural":"as","kind":"A"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[{"rule":"self.a > 1"}],"properties":{"a":{"type":"integer","default":1}}}}}}}]}}',
  },
];

const tokens = ['admin', 'admin', 'admin', 'joe', '', 'nobody'];

function bytesOf(request: Request, random: SeededRandom): Buffer {
  const { method = 'GET', path, headers = {}, type = json, body, token = random.pick(tokens) } = request;
  const payload = body === undefined ? undefined : Buffer.from(body as string);
  const lines = [`${method} ${path} HTTP/1.1`, 'host: localhost', 'connection: close'];
  if (token !== '') lines.push(`authorization: Bearer ${token}`);
  if (payload !== undefined) lines.push(`content-type: ${type}`, `content-length: ${payload.length}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), payload ?? Buffer.alloc(0)]);
}

type Make = (random: SeededRandom, mutator: Mutator) => Omit<MalformedRequest, 'name'>;

const whole = (...parts: readonly (Buffer | number)[]): Omit<MalformedRequest, 'name'> => ({ parts, isWhole: true });
const partial = (...parts: readonly (Buffer | number)[]): Omit<MalformedRequest, 'name'> => ({ parts, isWhole: false });
const post = (body: string | Buffer, random: SeededRandom, rest: Partial<Request> = {}): Buffer =>
  bytesOf({ method: 'POST', path: `${configMaps}?dryRun=All`, body, token: 'admin', ...rest }, random);

const oddTypes = [
  '',
  'text/plain',
  'application/json;charset=utf-16',
  'multipart/form-data',
  'application/cbor',
  '/',
  'a/b/c',
  '*/*',
];
const oddPaths = [
  '/api/v1/namespaces/../../etc/passwd',
  '//api//v1//pods',
  '/api/v1/namespaces/%2e%2e/pods/%2F',
  '/api/v1/namespaces/fuzz/pods/%00',
  '/api/v1/namespaces/fuzz/pods/%ff%fe',
  '/api/v1/__proto__/constructor/toString',
  '/apis/__proto__/v1/constructor',
  '/apis/constructor/prototype/x/y/z',
  '/api/v1/namespaces/fuzz/configmaps/__proto__',
  '/api/v1/watch/pods',
  '/api',
  '/apis/',
  '/.well-known/../x',
  '/openapi/v3/../v2',
  '/%',
  '/%zz',
  '*',
  'http://localhost/api/v1/pods',
  '/readyz/__proto__',
  '/metrics/%0d%0aset-cookie:%20a',
];
const oddQueries = [
  'limit=-1',
  'limit=99999999999999999999',
  'timeoutSeconds=-5&watch=true&timeout=1ns',
  'continue=%ff',
  'continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6OTk5OTk5OTk5OTk5LCJzdGFydCI6Ii4uLyJ9',
  'resourceVersion=18446744073709551615',
  'resourceVersion=9007199254740991&timeout=100ms',
  'labelSelector=' + encodeURIComponent('a in (' + 'b,'.repeat(2000) + 'c)'),
  'labelSelector=%00',
  'fieldSelector=metadata.name%3D%3D%5C',
  'watch=true&watch=false&timeoutSeconds=1',
  'pretty=&pretty=1&fieldManager=' + 'x'.repeat(200),
  '__proto__=1&constructor=2&dryRun[]=All',
  '&&&===&%=%',
  'timeout=banana',
  'includeObject=Nope',
];

function nested(depth: number, open: string, close: string): string {
  return open.repeat(depth) + close.repeat(depth);
}

const kinds: Readonly<Record<string, Make>> = {
  /** Bytes of a well-formed request, damaged anywhere. */
  damagedBytes: (random, mutator) =>
    partial(mutator.bytes(bytesOf(random.pick(corpus), random), [bytesOf(random.pick(corpus), random)])),
  /** A body whose values are damaged, in a request that is as it should be. */
  damagedBody: (random, mutator) => {
    const request = random.pick(corpus.filter((each) => each.body !== undefined));
    const body =
      typeof request.body === 'string'
        ? mutator.json(request.body, [random.pick([deployment, pod, role])])
        : mutator.bytes(request.body ?? Buffer.alloc(0));
    return whole(bytesOf({ ...request, body, token: 'admin' }, random));
  },
  damagedPath: (random, mutator) => {
    const { path, ...request } = random.pick(corpus);
    const damaged = mutator
      .bytes(Buffer.from(path))
      .toString('latin1')
      .replaceAll(/[\s\p{Cc}]/gu, '');
    return partial(bytesOf({ ...request, path: damaged.startsWith('/') ? damaged : `/${damaged}` }, random));
  },
  oddPath: (random) =>
    partial(
      bytesOf(
        { path: random.pick(oddPaths), method: random.pick(['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) },
        random,
      ),
    ),
  oddQuery: (random) =>
    whole(
      bytesOf(
        {
          path: `${configMaps}?${random.pick(oddQueries)}&${random.pick(oddQueries)}`,
          method: random.pick(['GET', 'GET', 'DELETE']),
          token: 'joe',
        },
        random,
      ),
    ),
  oddQueryAllowed: (random) =>
    whole(bytesOf({ path: `${configMaps}?${random.pick(oddQueries)}`, token: 'admin' }, random)),
  oddType: (random) => whole(post(configMap(''), random, { type: random.pick(oddTypes) })),
  oddMethod: (random) =>
    partial(
      bytesOf({ method: random.pick(['TRACE', 'CONNECT', 'PROPFIND', 'get', 'PRI', 'X']), path: configMaps }, random),
    ),
  oddEncoding: (random) =>
    whole(
      post(configMap(''), random, {
        headers: {
          'content-encoding': random.pick(['gzip', 'br', 'x']),
          'accept-encoding': 'gzip;q=0, *',
          accept: random.pick(['*', 'application/json;q=x', 'a/b;;;=', 'application/json;as=Table;v=v9']),
        },
      }),
    ),
  headerFlood: (random) => {
    const count = random.pick([100, 1000, 3000]);
    const headers = Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`x-${i}`, 'y'.repeat(random.integer(0, 30))]),
    );
    return partial(bytesOf({ path: configMaps, headers }, random));
  },
  longHeader: (random) =>
    partial(
      bytesOf({ path: configMaps, headers: { 'x-long': 'x'.repeat(random.pick([8000, 70_000, 1_200_000])) } }, random),
    ),
  longPath: (random) =>
    partial(bytesOf({ path: `/api/v1/${'x'.repeat(random.pick([4000, 20_000, 1_200_000]))}` }, random)),
  repeatedHeaders: (random) =>
    partial(
      Buffer.from(
        `GET ${configMaps} HTTP/1.1\r\nhost: a\r\nhost: b\r\nauthorization: Bearer admin\r\nauthorization: Bearer joe\r\ncontent-length: 0\r\ncontent-length: ${random.integer(0, 5)}\r\nconnection: close\r\n\r\n`,
      ),
    ),
  impersonation: (random) =>
    whole(
      bytesOf(
        {
          path: configMaps,
          token: random.pick(['admin', 'joe']),
          headers: {
            'impersonate-user': random.pick(['', 'joe', 'x'.repeat(5000), '\u00ff']),
            'impersonate-extra-%zz': 'x',
            'impersonate-group': '',
          },
        },
        random,
      ),
    ),
  smuggling: (random) =>
    partial(
      Buffer.from(
        `POST ${configMaps}?dryRun=All HTTP/1.1\r\nhost: a\r\nauthorization: Bearer admin\r\ncontent-type: ${json}\r\ncontent-length: 4\r\ntransfer-encoding: ${random.pick(['chunked', 'chunked, identity', ' chunked', 'x'])}\r\n\r\n5c\r\nGET /api HTTP/1.1\r\n\r\n0\r\n\r\n`,
      ),
    ),
  brokenChunks: (random, mutator) => {
    const chunks = `2\r\n{}\r\n${random.pick(['zz\r\n', '-1\r\n', 'fffffffffffffffff\r\n', '5;x=y\r\nabc', '0\r\nx: y\r\n\r\n', ''])}`;
    return partial(
      Buffer.from(
        `POST ${configMaps}?dryRun=All HTTP/1.1\r\nhost: a\r\nauthorization: Bearer admin\r\ncontent-type: ${json}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n${chunks}`,
      ),
      mutator.noise(20),
    );
  },
  largeBody: (random) =>
    partial(
      random.chance(0.2)
        ? post(configMap(`,"data":{"a":"${'x'.repeat(3_200_000)}"}`), random)
        : Buffer.from(
            `POST ${configMaps} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer admin\r\ncontent-type: ${json}\r\ncontent-length: ${random.pick(['3145729', '99999999999', '-1', '1e3', '0x10'])}\r\nconnection: close\r\n\r\n{`,
          ),
    ),
  truncatedBody: (random) => {
    const bytes = bytesOf(random.pick(corpus.filter((each) => each.body !== undefined)), random);
    return partial(bytes.subarray(0, bytes.length - random.integer(1, 20)), random.integer(0, 5));
  },
  deepNesting: (random) => {
    const depth = random.pick([100, 10_000, 200_000]);
    const [text, type] = random.pick([
      [nested(depth, '[', ']'), json],
      [configMap(`,"data":${nested(depth, '{"a":', '}').replace('}', '1}')}`), json],
      [`a: ${nested(Math.min(depth, 10_000), '[', ']')}`, 'application/yaml'],
      [Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'application/yaml'],
    ] as const);
    return whole(post(text, random, { type }));
  },
  deepPatch: (random) => {
    const [type, body] = random.pick([
      ['application/merge-patch+json', `{"data":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`],
      ['application/strategic-merge-patch+json', `{"data":${'{"$patch":'.repeat(5000)}1${'}'.repeat(5000)}}`],
      ['application/json-patch+json', `[${'{"op":"copy","from":"/metadata","path":"/data"},'.repeat(10_001)}{}]`],
      ['application/json-patch+json', `[{"op":"add","path":"${'/a'.repeat(50_000)}","value":1}]`],
      [
        'application/json-patch+json',
        '[{"op":"add","path":"/__proto__/polluted","value":1},{"op":"copy","from":"/constructor","path":"/data/a"}]',
      ],
      ['application/apply-patch+yaml', 'a: &a [*a]'],
    ] as const);
    return whole(bytesOf({ method: 'PATCH', path: `${configMaps}/c`, type, body, token: 'admin' }, random));
  },
  oddKeys: (random) =>
    whole(
      post(
        random.pick([
          configMap(',"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}'),
          configMap(',"data":{"__proto__":"a","constructor":"b","toString":"c","hasOwnProperty":"d"}'),
          configMap(',"metadata":{"name":"twice"},"data":{},"data":null'),
          configMap(',"data":{"a":"\\ud800","\\u0000":"b"}'),
          configMap(',"immutable":"yes","binaryData":{"a":"%%%"}'),
          'null',
          '[]',
          '"x"',
          '1e999',
          '{"apiVersion":{},"kind":[],"metadata":7}',
          '{"metadata":{"labels":[],"annotations":"x","ownerReferences":{},"managedFields":[null,{"fieldsV1":{"f:a":{"k:{":{}}}}]}}',
        ]),
        random,
      ),
    ),
  invalidUtf8: (random) =>
    whole(
      post(
        Buffer.concat([Buffer.from('{"kind":"'), Buffer.of(0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80), Buffer.from('"}')]),
        random,
      ),
    ),
  noise: (_random, mutator) => partial(mutator.noise(200)),
  otherProtocols: (random) =>
    partial(
      random.pick([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
        Buffer.from('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 'latin1'),
        Buffer.from('GET / HTTP/1.0\r\n\r\n'),
        Buffer.from('GET / HTTP/9.9\r\n\r\n'),
        Buffer.from('GET /\r\n\r\n'),
        Buffer.from('\r\n\r\n\r\nGET /version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'),
        Buffer.from('SSH-2.0-OpenSSH_9.0\r\n'),
      ]),
    ),
  pipelining: (random) => {
    const one = Buffer.from(
      `GET ${configMaps}?limit=1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${random.pick(tokens)}\r\n\r\n`,
    );
    return partial(
      Buffer.concat([...Array.from({ length: random.integer(2, 50) }, () => one), Buffer.from('BROKEN\r\n\r\n')]),
    );
  },
  websocketUpgrade: (random, mutator) => {
    const headers = {
      upgrade: 'websocket',
      connection: 'Upgrade',
      'sec-websocket-version': random.pick(['13', '8', 'x']),
      'sec-websocket-key': random.pick(['dGhlIHNhbXBsZSBub25jZQ==', '', 'x'.repeat(5000)]),
      'sec-websocket-protocol': random.pick([
        'v5.channel.k8s.io',
        'base64url.bearer.authorization.k8s.io.YWRtaW4',
        ',,',
        'x',
      ]),
    };
    return partial(
      bytesOf({ path: random.pick([exec, configMaps, '/api/v1/namespaces/fuzz/services/s/proxy/']), headers }, random),
      mutator.noise(100),
      2,
    );
  },
  spdyUpgrade: (random, mutator) =>
    partial(
      bytesOf(
        {
          method: random.pick(['POST', 'GET']),
          path: random.pick([exec, exec.replace('exec', 'attach'), exec.replace('exec', 'portforward')]),
          headers: {
            upgrade: 'SPDY/3.1',
            connection: 'Upgrade',
            'x-stream-protocol-version': random.pick(['v4.channel.k8s.io', '', 'v9']),
          },
        },
        random,
      ),
      mutator.noise(100),
    ),
  otherUpgrade: (random) =>
    partial(
      bytesOf(
        {
          path: configMaps,
          headers: {
            upgrade: random.pick(['h2c', 'TLS/1.0', '']),
            connection: 'Upgrade, HTTP2-Settings',
            'http2-settings': 'AAMAAABk',
          },
        },
        random,
      ),
    ),
  expectation: (random) =>
    partial(
      bytesOf(
        {
          method: 'POST',
          path: configMaps,
          headers: { expect: random.pick(['100-continue', 'x']) },
          body: configMap(''),
        },
        random,
      ),
    ),
  slowSender: (random) => {
    const bytes = bytesOf(random.pick(corpus), random);
    const at = random.integer(1, bytes.length - 1);
    return partial(bytes.subarray(0, at), random.integer(1, 30), bytes.subarray(at, at + 1), random.integer(1, 10));
  },
};

const names = Object.keys(kinds);
const heavy: ReadonlySet<string> = new Set([
  'largeBody',
  'deepNesting',
  'deepPatch',
  'longHeader',
  'longPath',
  'headerFlood',
]);

/** The next malformed request; the same seed makes the same. */
export function malformedRequest(random: SeededRandom): MalformedRequest {
  const mutator = new Mutator(random);
  let name = random.chance(0.45)
    ? random.pick(['damagedBytes', 'damagedBody', 'damagedBody', 'damagedPath'])
    : random.pick(names);
  // What takes long to send is sent more seldom.
  if (heavy.has(name) && random.chance(0.7)) name = 'damagedBody';
  const make = kinds[name];
  if (make === undefined) throw new Error(`no kind ${name}`);
  return { name, ...make(random, mutator) };
}
