/** The same list of requests for each kind: every verb, good and bad. */
import { NAMESPACE, type KindSample } from './kind-samples.ts';
import type { CorpusRequest, Json } from './request.ts';

const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
const partial = { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' };
const partialList = { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' };
const merge = 'application/merge-patch+json';
const jsonPatch = 'application/json-patch+json';
const strategic = 'application/strategic-merge-patch+json';
const apply = 'application/apply-patch+yaml';
const stranger = '11111111-2222-3333-4444-555555555555';

type Step = Omit<CorpusRequest, 'name'>;

class KindRequests {
  readonly #sample: KindSample;
  readonly #list: string;
  readonly #item: string;
  readonly #prefix: string;
  readonly requests: CorpusRequest[] = [];

  constructor(sample: KindSample) {
    const { apiVersion, namespace = NAMESPACE, resource } = sample;
    this.#sample = sample;
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    this.#list = `${root}/${namespace === '' ? '' : `namespaces/${namespace}/`}${resource}`;
    this.#prefix = `${resource}${apiVersion.includes('/') ? `.${apiVersion.split('/')[0] ?? ''}` : ''}`;
    this.#item = `${this.#list}/one`;
  }

  #add(name: string, step: Step): void {
    this.requests.push({ name: `${this.#prefix}: ${name}`, ...step });
  }

  #object(metadata: Json = {}, more: Json = {}): Json {
    const { apiVersion, kind, object } = this.#sample;
    return { apiVersion, kind, metadata: { name: 'one', labels: { corpus: 'yes' }, ...metadata }, ...object, ...more };
  }

  creates(): void {
    const [method, path] = ['POST', this.#list] as const;
    // What is refused by one side only leaves nothing behind.
    const dry = `${path}?dryRun=All`;
    const { kind, apiVersion, bad = {} } = this.#sample;
    this.#add('create, dry run', { method, path: dry, body: this.#object() });
    this.#add('create', { method, path, body: this.#object(), keep: 'created' });
    this.#add('create again', { method, path, body: this.#object() });
    this.#add('create with a generated name', {
      method,
      path: dry,
      body: this.#object({ name: undefined, generateName: 'generated-' }),
    });
    this.#add('create without a name', { method, path: dry, body: this.#object({ name: undefined }) });
    this.#add('create with a bad name', { method, path: dry, body: this.#object({ name: 'Bad_Name' }) });
    this.#add('create with bad labels', {
      method,
      path: dry,
      body: this.#object({ name: 'bad', labels: { 'a b': 'c' }, annotations: { 'x y': 'z' } }),
    });
    this.#add('create with a resourceVersion', {
      method,
      path: dry,
      body: this.#object({ name: 'bad', resourceVersion: '1' }),
    });
    this.#add('create in another namespace', {
      method,
      path: dry,
      body: this.#object({ name: 'bad', namespace: 'elsewhere' }),
    });
    this.#add('create another kind', { method, path: dry, body: { ...this.#object(), kind: `${kind}x` } });
    this.#add('create another version', {
      method,
      path: dry,
      body: { ...this.#object(), apiVersion: 'example.com/v9' },
    });
    this.#add('create without kind', { method, path: dry, body: this.#object({ name: 'bad' }, { kind: undefined }) });
    this.#add('create nothing but a name', {
      method,
      path: dry,
      body: { apiVersion, kind, metadata: { name: 'bare' } },
    });
    this.#add('create what is no JSON', { method, path: dry, body: '{"apiVersion":' });
    this.#add('create a list', { method, path: dry, body: [1] });
    this.#add('create out of CSV', { method, path: dry, body: 'a,b', type: 'text/csv' });
    for (const [what, fields] of Object.entries(bad))
      this.#add(`create with ${what}`, { method, path: dry, body: this.#object({ name: 'bad' }, fields) });
  }

  reads(): void {
    const [method, path] = ['GET', this.#item] as const;
    const selected = `${this.#list}?labelSelector=corpus%3Dyes`;
    this.#add('get', { method, path });
    this.#add('get at version 0', { method, path: `${path}?resourceVersion=0` });
    this.#add('get what is not there', { method, path: `${this.#list}/none` });
    this.#add('get as Table', { method, path, headers: table });
    this.#add('get metadata', { method, path, headers: partial });
    this.#add('get as XML', { method, path, headers: { accept: 'application/xml' } });
    this.#add('list', { method, path: selected });
    this.#add('list as Table', { method, path: selected, headers: table });
    this.#add('list metadata', { method, path: selected, headers: partialList });
    this.#add('list by name', { method, path: `${selected}&fieldSelector=metadata.name%3Done` });
    this.#add('list by a field that is none', { method, path: `${selected}&fieldSelector=spec.none%3Da` });
    this.#add('list a page', { method, path: `${selected}&limit=1` });
    this.#add('list with a bad selector', { method, path: `${this.#list}?labelSelector=a%3D%3D%3Db` });
  }

  updates(): void {
    const [method, path] = ['PUT', this.#item] as const;
    const { change = {}, badChanges = {} } = this.#sample;
    const changed = (metadata: Json): CorpusRequest['body'] => {
      return this.#object({ ...metadata, labels: { corpus: 'yes', put: 'yes' } });
    };
    this.#add('update, dry run', { method, path: `${path}?dryRun=All`, body: changed({}) });
    this.#add('update without a version', { method, path, body: changed({}) });
    this.#add('update with an old version', { method, path, body: changed({ resourceVersion: '1' }) });
    this.#add('update of another uid', { method, path, body: changed({ uid: stranger }) });
    this.#add('update of another name', { method, path, body: changed({ name: 'two' }) });
    this.#add('update without a name', { method, path, body: changed({ name: undefined }) });
    this.#add('update of what is not there', {
      method,
      path: `${this.#list}/none?dryRun=All`,
      body: changed({ name: 'none' }),
    });
    this.#add('get to update', { method: 'GET', path, keep: 'current' });
    this.#add('update of nothing', { method, path, body: '{{current}}' });
    this.#add('merge patch', { method: 'PATCH', path, type: merge, body: change });
    this.#add('merge patch of nothing', { method: 'PATCH', path, type: merge, body: {} });
    this.#add('merge patch of the name', { method: 'PATCH', path, type: merge, body: { metadata: { name: 'two' } } });
    this.#add('merge patch that is a list', { method: 'PATCH', path, type: merge, body: [] });
    this.#add('merge patch with an old version', {
      method: 'PATCH',
      path,
      type: merge,
      body: { metadata: { resourceVersion: '1' } },
    });
    for (const [what, body] of Object.entries(badChanges))
      this.#add(`merge patch with ${what}`, { method: 'PATCH', path: `${path}?dryRun=All`, type: merge, body });
    this.#add('JSON patch', {
      method: 'PATCH',
      path,
      type: jsonPatch,
      body: [
        { op: 'test', path: '/metadata/name', value: 'one' },
        { op: 'add', path: '/metadata/labels/json', value: 'patch' },
      ],
    });
    this.#add('JSON patch whose test fails', {
      method: 'PATCH',
      path,
      type: jsonPatch,
      body: [{ op: 'test', path: '/metadata/name', value: 'two' }],
    });
    this.#add('JSON patch of nowhere', {
      method: 'PATCH',
      path,
      type: jsonPatch,
      body: [{ op: 'remove', path: '/metadata/none' }],
    });
    this.#add('strategic merge patch', {
      method: 'PATCH',
      path,
      type: strategic,
      body: { metadata: { labels: { strategic: 'patch', put: null }, finalizers: ['example.com/a'] } },
    });
    this.#add('strategic merge patch that deletes an element', {
      method: 'PATCH',
      path,
      type: strategic,
      body: { metadata: { '$deleteFromPrimitiveList/finalizers': ['example.com/a'] } },
    });
    this.#add('patch of what is not there', { method: 'PATCH', path: `${this.#list}/none`, type: merge, body: {} });
    this.#add('patch that is JSON only', { method: 'PATCH', path, body: {} });
  }

  applies(): void {
    const [method, type] = ['PATCH', apply] as const;
    const path = `${this.#list}/applied`;
    const object = this.#object({ name: 'applied' });
    this.#add('apply without manager', { method, type, path, body: object });
    this.#add('apply', { method, type, path: `${path}?fieldManager=ann`, body: object });
    this.#add('apply again', { method, type, path: `${path}?fieldManager=ann`, body: object });
    const contested = this.#object({ name: 'applied', labels: { corpus: 'mine' } });
    this.#add('apply against another manager', { method, type, path: `${path}?fieldManager=bob`, body: contested });
    this.#add('apply with force', { method, type, path: `${path}?fieldManager=bob&force=true`, body: contested });
    this.#add('apply less', {
      method,
      type,
      path: `${path}?fieldManager=bob`,
      body: { ...contested, metadata: { name: 'applied' } },
    });
    this.#add('delete what was applied', { method: 'DELETE', path });
  }

  subresources(): void {
    const { subresources = [], status = {}, apiVersion, kind } = this.#sample;
    const [method, type] = ['PATCH', merge] as const;
    if (subresources.includes('status')) {
      const path = `${this.#item}/status`;
      this.#add('get status', { method: 'GET', path });
      this.#add('patch status', { method, path, type, body: { status, metadata: { labels: { ofStatus: 'x' } } } });
      this.#add('get to update status', { method: 'GET', path: this.#item, keep: 'current' });
      this.#add('update status', { method: 'PUT', path, body: '{{current}}' });
      this.#add('apply status', {
        method,
        path: `${path}?fieldManager=controller&force=true`,
        type: apply,
        body: { apiVersion, kind, metadata: { name: 'one' }, status },
      });
      this.#add('patch status by the object', { method, path: this.#item, type, body: { status: {} } });
    }
    if (subresources.includes('scale')) {
      const path = `${this.#item}/scale`;
      this.#add('get scale', { method: 'GET', path, keep: 'scale' });
      this.#add('patch scale', { method, path, type, body: { spec: { replicas: 7 } } });
      this.#add('update scale with an old version', { method: 'PUT', path, body: '{{scale}}' });
      this.#add('patch scale below zero', { method, path, type, body: { spec: { replicas: -7 } } });
    }
    this.#add('a subresource that is none', { method: 'GET', path: `${this.#item}/none` });
  }

  deletes(): void {
    const [method, path] = ['DELETE', this.#item] as const;
    const options = { apiVersion: 'v1', kind: 'DeleteOptions' };
    this.#add('delete, dry run', { method, path: `${path}?dryRun=All` });
    this.#add('delete of another uid', { method, path, body: { ...options, preconditions: { uid: stranger } } });
    this.#add('delete at another version', {
      method,
      path,
      body: { ...options, preconditions: { resourceVersion: '1' } },
    });
    this.#add('delete in a way that is none', { method, path: `${path}?propagationPolicy=Sideways` });
    this.#add('delete', { method, path, body: { ...options, gracePeriodSeconds: 0 } });
    this.#add('delete again', { method, path });
    this.#add('create for the collection', { method: 'POST', path: this.#list, body: this.#object({ name: 'two' }) });
    this.#add('delete a collection, dry run', { method, path: `${this.#list}?labelSelector=corpus%3Dyes&dryRun=All` });
    this.#add('delete a collection', { method, path: `${this.#list}?labelSelector=corpus%3Dyes&gracePeriodSeconds=0` });
    this.#add('list after deletion', { method: 'GET', path: `${this.#list}?labelSelector=corpus%3Dyes` });
  }

  watches(): void {
    const from = 'resourceVersion={{created.metadata.resourceVersion}}';
    const path = `${this.#list}?watch=1&labelSelector=corpus%3Dyes&timeoutSeconds=1&${from}`;
    this.#add('watch all that happened', { method: 'GET', path, events: { deleted: 'two' } });
    this.#add('watch metadata', { method: 'GET', path, headers: partial, events: 3 });
    this.#add('watch as Table', { method: 'GET', path, headers: table, events: 3 });
  }
}

/** What is asked about one kind, in this order. */
export function requestsOf(sample: KindSample): readonly CorpusRequest[] {
  const requests = new KindRequests(sample);
  requests.creates();
  requests.reads();
  requests.updates();
  requests.applies();
  requests.subresources();
  requests.deletes();
  requests.watches();
  return requests.requests;
}
