/** Random objects of every built-in kind through create, update, every patch and apply, and what must hold of the answers. */
import fc from 'fast-check';
import {
  apiVersionOf,
  builtInResources,
  cloneJson,
  createMergePatch,
  decodeObject,
  equalJson,
  isJsonObject,
  patchTypes,
  schemaOf,
  type JsonObject,
  type Resource,
} from '@naru/api';
import { eventually } from '@naru/testkit';
import type { Answer, ApiFixture, Body } from '../api-fixture.ts';
import { SchemaArbitrary } from '../schema-arbitrary.ts';
import { likelyValues } from './likely-values.ts';
import { hasMinimalObject, minimalObject } from './minimal-objects.ts';

export interface ObjectFuzzReport {
  /** By kind: objects that were sent, and those that were created. */
  readonly kinds: Readonly<Record<string, { readonly sent: number; readonly accepted: number }>>;
  readonly sent: number;
  readonly accepted: number;
  readonly requests: number;
  /** One line for each kind for which something does not hold. */
  readonly failures: readonly string[];
}

const DEPTH_MAX = 5;
/** Of 100 fields, so many have a value that makes no sense. */
const ODD_CHANCE = 6;
/** Kinds at a time. */
const CONCURRENT = 4;

/** What upstream answers with 500: patches, and configurations to apply, with a list some of whose elements have no key, or the same. */
const upstreamFailures = /does not contain declared merge key|failed to create typed patch object/u;

/** Kinds whose status the server keeps. */
const watchedKinds: ReadonlySet<string> = new Set([
  'APIService',
  'CustomResourceDefinition',
  'FlowSchema',
  'PriorityLevelConfiguration',
  'ValidatingAdmissionPolicy',
]);

const PATCH_FAILED = 'the server rejected our request due to an error in our request';

/** What the server sets, and what decides which object it is. */
const serverFields: ReadonlySet<string> = new Set([
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'managedFields',
  'name',
  'namespace',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
]);

/** Sends `runs` random objects of each kind. The same seed makes the same objects. */
export async function fuzzObjects(
  api: ApiFixture,
  options: { readonly seed: number; readonly runs: number; readonly kind?: string | undefined },
): Promise<ObjectFuzzReport> {
  const resources = builtInResources.filter(
    (each) => hasMinimalObject(each) && (options.kind === undefined || options.kind === each.kind),
  );
  const kinds: Record<string, { sent: number; accepted: number }> = {};
  const failures: string[] = [];
  const counter = { objects: 0, requests: 0 };
  const pending = resources.values();
  const worker = async (): Promise<void> => {
    for (const resource of pending) {
      const of = `${apiVersionOf(resource)} ${resource.kind}`;
      const counts = (kinds[of] = { sent: 0, accepted: 0 });
      const namespace = `fuzz-${resource.kind.toLowerCase()}`;
      if (resource.namespaced)
        await api.request('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace } } });
      const property = fc.asyncProperty(overlayOf(resource), overlayOf(resource), async (first, second) => {
        counts.sent++;
        const trial = new ObjectTrial(api, resource, { namespace, number: counter.objects++ });
        try {
          if (await trial.run(first, second)) counts.accepted++;
        } finally {
          await trial.remove();
          counter.requests += trial.requests;
        }
      });
      const details = await fc.check(property, { seed: options.seed, numRuns: options.runs });
      if (details.failed) {
        const { message } = details.errorInstance as Error;
        failures.push(`${of}: ${message}; overlays ${JSON.stringify(details.counterexample)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, worker));
  const total = (of: 'sent' | 'accepted'): number => Object.values(kinds).reduce((sum, each) => sum + each[of], 0);
  return { kinds, failures, sent: total('sent'), accepted: total('accepted'), requests: counter.requests };
}

const objects = new SchemaArbitrary({ depthMax: DEPTH_MAX, optionalMax: 2, field: likelyValues(ODD_CHANCE) });

interface Overlay {
  readonly fields: JsonObject;
  /** Whether they also replace what makes the object valid. */
  readonly replaces: boolean;
}

/** A few random fields of a kind, to be laid over a valid object. */
function overlayOf({ kind, model }: Resource): fc.Arbitrary<Overlay> {
  const schema = schemaOf(model);
  const arbitrary = schema === undefined ? undefined : objects.objectOf(schema);
  if (arbitrary === undefined) throw new Error(`no schema of ${model}`);
  const fields = arbitrary.map(({ apiVersion: _a, kind: _k, status: _s, metadata, ...rest }) => {
    const own = isJsonObject(metadata) ? Object.entries(metadata).filter(([name]) => !serverFields.has(name)) : [];
    // A namespace's finalizers are changed by its subresource only.
    if (kind === 'Namespace') delete rest['spec'];
    return { ...rest, metadata: Object.fromEntries(own) };
  });
  const replaces = fc.integer({ min: 0, max: 9 }).map((each) => each === 9);
  return fc.record({ fields, replaces });
}

/** The overlay laid over `base`: objects field by field, lists element by element. */
function layOver(
  base: unknown,
  { fields: over, replaces }: { readonly fields: unknown; readonly replaces: boolean },
): unknown {
  if (Array.isArray(base) && Array.isArray(over))
    return Array.from({ length: Math.max(base.length, over.length) }, (_, i) =>
      i in base && i in over ? layOver(base[i], { fields: over[i], replaces }) : (over[i] ?? base[i]),
    );
  if (!isJsonObject(base) || !isJsonObject(over)) return cloneJson(replaces ? over : base);
  const laid = Object.entries(over).map(([key, value]) => [
    key,
    Object.hasOwn(base, key) ? layOver(base[key], { fields: value, replaces }) : cloneJson(value),
  ]);
  return Object.fromEntries([...Object.entries(base), ...laid]) as JsonObject;
}

class ObjectTrial {
  readonly #api: ApiFixture;
  readonly #resource: Resource;
  readonly #base: JsonObject;
  readonly #collection: string;
  requests = 0;

  constructor(api: ApiFixture, resource: Resource, where: { readonly namespace: string; readonly number: number }) {
    this.#api = api;
    this.#resource = resource;
    this.#base = minimalObject(resource, where.number, where.namespace);
    const { group, version, namespaced } = resource;
    const root = group === '' ? '/api/v1' : `/apis/${group}/${version}`;
    this.#collection = `${root}${namespaced ? `/namespaces/${where.namespace}` : ''}/${resource.resource}`;
  }

  get #path(): string {
    return `${this.#collection}/${encodeURIComponent((this.#base['metadata'] as { name: string }).name)}`;
  }

  /** Of a request for a certificate only the metadata can be changed. */
  get #keepsSpec(): boolean {
    return this.#resource.kind === 'CertificateSigningRequest';
  }

  /** False: the object was refused, as it should be. @throws Error for what does not hold. */
  async run(first: Overlay, second: Overlay): Promise<boolean> {
    const object = layOver(this.#base, first) as JsonObject;
    const tried = await this.#send('POST', `${this.#collection}?dryRun=All`, { body: object });
    expect('a dry run stores nothing', (await this.#send('GET', this.#path)).status, 404);
    const created = await this.#send('POST', this.#collection, { body: object });
    expect('a dry run tells what happens', tried.status, created.status);
    if (created.status !== 201) return false;
    const { body: read } = await this.#send('GET', this.#path);
    expectEqual('an object reads back as it was answered', this.#steadyPart(read), this.#steadyPart(created.body));
    this.#expectHolds(created.body, object);
    await this.#changesNothing(created.body);
    await this.#changes(created.body, layOver(this.#base, second) as JsonObject);
    await this.remove();
    await this.#applies(object, first.fields);
    return true;
  }

  /** What was sent is there, in its canonical form. */
  #expectHolds(stored: Body, sent: JsonObject): void {
    const decoded = cloneJson(sent);
    decodeObject(decoded, {
      gvk: this.#resource,
      model: this.#resource.model,
      fieldValidation: 'Ignore',
      duplicateFields: [],
    });
    const lost = lostFrom(stored, storedForm(this.#resource.kind, decoded), '');
    if (lost !== undefined) throw new Error(`lost or changed: ${lost}`);
  }

  async #changesNothing(stored: Body): Promise<void> {
    const same = async (what: string, answer: Answer): Promise<void> => {
      if (answer.status === 500) return;
      expect(`${what}: ${answer.text.slice(0, 500)}`, answer.status, 200);
      expectEqual(`${what} changes nothing`, this.#steadyPart(answer.body), this.#steadyPart(stored));
    };
    const patch = async (type: string, body: unknown): Promise<Answer> =>
      await this.#send('PATCH', this.#path, { type, body });
    await same('the same update', await this.#send('PUT', this.#path, { body: this.#steadyPart(stored) }));
    await same('an empty merge patch', await patch(patchTypes.merge, {}));
    await same('an empty JSON patch', await patch(patchTypes.json, []));
    await same('an empty strategic merge patch', await patch(patchTypes.strategicMerge, {}));
    // In patches null removes.
    if (!holdsNull(stored)) {
      await same('a merge patch of the object itself', await patch(patchTypes.merge, this.#steadyPart(stored)));
      await same(
        'a strategic merge patch of the object itself',
        await patch(patchTypes.strategicMerge, this.#steadyPart(stored)),
      );
    }
    await same(
      'a test and a replacement by the same',
      await patch(patchTypes.json, [
        { op: 'test', path: '/metadata/uid', value: stored.metadata['uid'] },
        { op: 'replace', path: '/metadata/name', value: stored.metadata.name },
      ]),
    );
    const failed = await patch(patchTypes.json, [{ op: 'test', path: '/metadata/uid', value: 'x' }]);
    expect('a test that fails', failed.status, 422);
  }

  /** Without what the server itself writes at any time, of kinds that it does so with. */
  #steadyPart(body: Body): JsonObject {
    if (!watchedKinds.has(this.#resource.kind)) return body;
    const { resourceVersion: _r, managedFields: _m, ...metadata } = body.metadata;
    const { status: _s, ...rest } = body;
    return { ...rest, metadata };
  }

  /** An update, and a merge patch of the difference, come to the same. */
  async #changes(stored: Body, other: JsonObject): Promise<void> {
    const { metadata } = this.#steadyPart(stored);
    const target = { ...other, metadata: { ...(metadata as JsonObject), ...(other['metadata'] as JsonObject) } };
    const difference = createMergePatch(this.#steadyPart(stored), target);
    const updated = await this.#send('PUT', `${this.#path}?dryRun=All`, { body: target });
    const patched = await this.#send('PATCH', `${this.#path}?dryRun=All`, { type: patchTypes.merge, body: difference });
    const { body: read } = await this.#send('GET', this.#path);
    expectEqual('dry runs change nothing', this.#steadyPart(read), this.#steadyPart(stored));
    if (!holdsNull(target)) {
      expect(`a patch of the difference: ${updated.text} | ${patched.text}`, patched.status, updated.status);
      if (updated.status === 200)
        expectEqual(
          'a patch of the difference',
          comparable(this.#steadyPart(patched.body)),
          comparable(this.#steadyPart(updated.body)),
        );
    }
    const written = await this.#send('PUT', this.#path, { body: target });
    expect('a dry run of an update tells what happens', updated.status, written.status);
    if (written.status === 200 && !this.#keepsSpec) this.#expectHolds(written.body, target);
  }

  /** Server-side apply is idempotent, and what is not applied any more goes. */
  async #applies(object: JsonObject, overlay: JsonObject): Promise<void> {
    const apply = async (body: JsonObject, query = ''): Promise<Answer> =>
      await this.#send('PATCH', `${this.#path}?fieldManager=fuzz${query}`, { type: patchTypes.apply, body });
    const plain = await apply(this.#base, '&dryRun=All');
    expect(`apply of the minimal object: ${plain.text.slice(0, 500)}`, plain.status, 201);
    const applied = await apply(object);
    // Lists with keys, and sets, are checked by apply only.
    if (applied.status === 400 || applied.status === 422 || applied.status === 500) return;
    expect(`apply: ${applied.text.slice(0, 500)}`, applied.status, 201);
    let again = await apply(object);
    // The server adds to a Job's selector, which is atomic: the same configuration takes that away, and may not.
    if (again.status === 422 && this.#resource.kind === 'Job' && again.text.includes('spec.selector')) return;
    expect(`apply again: ${again.text.slice(0, 500)}`, again.status, 200);
    // Who applied nothing owns nothing: the second apply finds an object that nobody owns, as upstream.
    // What admission adds to a list of a new node, the next apply of that list takes away.
    if (applied.body.metadata['managedFields'] !== undefined && this.#resource.kind !== 'Node')
      expectEqual('apply is idempotent', this.#steadyPart(again.body), this.#steadyPart(applied.body));
    const second = again;
    again = await apply(object);
    expectEqual('apply is idempotent', this.#steadyPart(again.body), this.#steadyPart(second.body));
    const less = await apply(this.#base);
    if (less.status !== 200) return;
    const changeable = this.#keepsSpec ? { metadata: overlay['metadata'] ?? {} } : overlay;
    const left = leftOf(less.body, changeable, { base: this.#base, plain: plain.body }, '');
    if (left !== undefined) throw new Error(`applied, then not any more, and still there: ${left}`);
  }

  async remove(): Promise<void> {
    const gone = await this.#send('DELETE', this.#path, {
      body: { gracePeriodSeconds: 0, propagationPolicy: 'Background' },
    });
    if (gone.status >= 300 && gone.status !== 404) throw new Error(`delete: ${gone.text}`);
    if (gone.status === 404) return;
    if (this.#resource.kind === 'Namespace')
      await this.#send('PUT', `${this.#path}/finalize`, { body: { ...this.#base, spec: {} } });
    // No controller is there to take these off.
    if (this.#resource.kind.startsWith('PersistentVolume'))
      await this.#send('PATCH', this.#path, { type: patchTypes.merge, body: { metadata: { finalizers: null } } });
    // Definitions go after their objects.
    if (this.#resource.kind === 'CustomResourceDefinition')
      await eventually(async () => expect('it is gone', (await this.#send('GET', this.#path)).status, 404), {
        deadlineMs: 60_000,
      });
  }

  async #send(method: string, path: string, options: { type?: string; body?: unknown } = {}): Promise<Answer> {
    this.requests++;
    const answer = await this.#api.request(method, path, options);
    if (answer.status >= 500 && !upstreamFailures.test(answer.text))
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    if (answer.status >= 400) {
      expect('a refusal is a Status', answer.body.kind, 'Status');
      expect('its code', answer.body.code, answer.status);
      // A JSON patch that fails has no causes upstream, either.
      if (answer.body.reason === 'Invalid' && answer.body.message !== PATCH_FAILED) {
        const causes = answer.body.details?.['causes'];
        if (!Array.isArray(causes) || causes.length === 0) throw new Error(`no causes: ${answer.text}`);
      }
    }
    return answer;
  }
}

function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)} instead of ${String(wanted)}`);
}

function expectEqual(what: string, got: unknown, wanted: unknown): void {
  if (equalJson(got, wanted)) return;
  const difference = createMergePatch(wanted as JsonObject, got as JsonObject);
  throw new Error(`${what}: ${JSON.stringify(difference)}`);
}

/** What was sent, without what the server does not take from clients, and as it is kept. */
function storedForm(kind: string, sent: JsonObject): JsonObject {
  switch (kind) {
    case 'CertificateSigningRequest': {
      // Who asks for a certificate is who is logged in.
      const { username: _u, uid: _i, groups: _g, extra: _e, ...spec } = objectAt(sent, 'spec');
      return { ...sent, spec };
    }
    case 'Service': {
      const { sessionAffinityConfig: config, ...spec } = objectAt(sent, 'spec');
      const takesConfig = spec['sessionAffinity'] === 'ClientIP' && config !== undefined;
      return { ...sent, spec: takesConfig ? { ...spec, sessionAffinityConfig: config } : spec };
    }
    case 'Secret': {
      // Text is for writing only: it is kept as data.
      const { stringData: _s, ...rest } = sent;
      const texts = Object.entries(objectAt(sent, 'stringData'));
      const data = texts.map(([key, text]) => [key, Buffer.from(String(text)).toString('base64')]);
      return { ...rest, data: { ...objectAt(sent, 'data'), ...(Object.fromEntries(data) as JsonObject) } };
    }
    default:
      return sent;
  }
}

function objectAt(from: JsonObject, key: string): JsonObject {
  const value = from[key];
  return isJsonObject(value) ? value : {};
}

/** Without what differs between two ways to the same object: who owns its fields, and what each request has drawn anew. */
function comparable(object: JsonObject): JsonObject {
  const { managedFields: _, ...metadata } = object['metadata'] as JsonObject;
  if (object['kind'] !== 'Service') return { ...object, metadata };
  const { clusterIP: _i, clusterIPs: _s, healthCheckNodePort: _h, ports, ...spec } = objectAt(object, 'spec');
  const drawn = Array.isArray(ports) ? ports.map((each) => ({ ...(each as JsonObject), nodePort: 0 })) : [];
  return { ...object, metadata, spec: { ...spec, ports: drawn } };
}

function holdsNull(value: unknown): boolean {
  if (value === null) return true;
  return typeof value === 'object' && Object.values(value).some(holdsNull);
}

/** Where `stored` is not what was `sent`; undefined if nowhere. What the server adds does not count. */
function lostFrom(stored: unknown, sent: unknown, path: string): string | undefined {
  if (isJsonObject(sent)) {
    if (!isJsonObject(stored)) return Object.keys(sent).length === 0 ? undefined : `${path}: ${JSON.stringify(sent)}`;
    for (const [key, value] of Object.entries(sent)) {
      if (path === '.metadata' && serverFields.has(key)) continue;
      const lost = lostFrom(Object.hasOwn(stored, key) ? stored[key] : undefined, value, `${path}.${key}`);
      if (lost !== undefined) return lost;
    }
    return undefined;
  }
  if (Array.isArray(sent) && Array.isArray(stored)) {
    for (const [i, value] of sent.entries()) {
      const lost = lostFrom(stored[i], value, `${path}[${i}]`);
      if (lost !== undefined) return lost;
    }
    return undefined;
  }
  // In Go an empty string is none, for which there may be a default.
  if (equalJson(stored, sent) || sent === '') return undefined;
  return `${path}: ${JSON.stringify(sent)} became ${JSON.stringify(stored)}`;
}

/** A field of the overlay that is in neither the base nor its defaults, and yet there. */
function leftOf(
  left: unknown,
  overlay: unknown,
  not: { readonly base: unknown; readonly plain: unknown },
  path: string,
): string | undefined {
  if (!isJsonObject(overlay) || !isJsonObject(left)) return undefined;
  for (const [key, value] of Object.entries(overlay)) {
    const of = (from: unknown): unknown => (isJsonObject(from) && Object.hasOwn(from, key) ? from[key] : undefined);
    const [now, base, plain] = [of(left), of(not.base), of(not.plain)];
    if (base === undefined && now !== undefined && plain === undefined) return `${path}.${key}: ${JSON.stringify(now)}`;
    if (base === undefined && plain === undefined) continue;
    const found = leftOf(now, value, { base, plain }, `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
