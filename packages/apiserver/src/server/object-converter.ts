/** Cached objects in another version, for versions that somebody else must be asked for. */
import type { Resource, UnstructuredObject } from '@naru/api';
import { apiVersionOf, hasDefaults } from '@naru/api';
import { CacheEvent } from '../cache/cache-event.ts';
import { newCachedObject, type CachedObject, type SelectableFields } from '../cache/cached-object.ts';
import { parseCached } from './table.ts';

export interface ObjectConverterOptions {
  readonly resource: Resource;
  readonly selectableFields: SelectableFields;
  /** Stored objects in the resource's version. */
  readonly read: (objects: readonly UnstructuredObject[]) => Promise<readonly UnstructuredObject[]>;
}

export class ObjectConverter {
  readonly #options: ObjectConverterOptions;
  /** What objects of the version that lack no defaults begin with. */
  readonly #ownHead: Buffer | undefined;
  /** Each cached object is converted once, and kept as long as it is cached: as upstream's watch cache of the version. */
  readonly #converted = new WeakMap<CachedObject, CachedObject>();
  readonly #events = new WeakMap<CacheEvent, Promise<CacheEvent>>();

  constructor(options: ObjectConverterOptions) {
    this.#options = options;
    const { resource } = options;
    if (!hasDefaults(resource.schema ?? {}))
      this.#ownHead = Buffer.from(`{"kind":"${resource.kind}","apiVersion":"${apiVersionOf(resource)}",`);
  }

  async object(object: CachedObject): Promise<CachedObject> {
    const [converted = object] = await this.objects([object]);
    return converted;
  }

  /** In their order. @throws StatusError of the conversion. */
  async objects(objects: readonly CachedObject[]): Promise<readonly CachedObject[]> {
    const result = objects.map((each) => (this.#isOwn(each) ? each : this.#converted.get(each)));
    const missing = objects.filter((_each, i) => result[i] === undefined);
    if (missing.length === 0) return result as CachedObject[];
    const { read, selectableFields } = this.#options;
    const parsed = (await read(missing.map(({ bytes }) => parseCached(bytes)))).values();
    return objects.map((each, i) => {
      const known = result[i];
      if (known !== undefined) return known;
      const object = parsed.next().value;
      if (object === undefined) return each;
      const bytes = Buffer.from(JSON.stringify(object));
      const converted = newCachedObject(each.key, each.revision, bytes, object, selectableFields);
      this.#converted.set(each, converted);
      return converted;
    });
  }

  #isOwn({ bytes }: CachedObject): boolean {
    const head = this.#ownHead;
    return head !== undefined && bytes.length > head.length && head.compare(bytes, 0, head.length) === 0;
  }

  /** The event of the converted object; all watches of the version share it. */
  async event(event: CacheEvent): Promise<CacheEvent> {
    let converted = this.#events.get(event);
    if (converted === undefined) this.#events.set(event, (converted = this.#newEvent(event)));
    return await converted;
  }

  async #newEvent({ type, object, previous }: CacheEvent): Promise<CacheEvent> {
    const [now = object, before] = await this.objects(previous === undefined ? [object] : [object, previous]);
    return new CacheEvent(type, now, before);
  }
}
