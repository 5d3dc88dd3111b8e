import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { Container, Pod, Volume } from '@naru/api';
import type { Clock } from '@naru/component';
import { messageOf, StartError } from '../errors.ts';
import { fieldValue, resourceValue, type DownwardFacts } from '../plan/downward-api.ts';
import { expand } from '../plan/expansion.ts';
import { specOf } from '../plan/pod-spec.ts';
import type { Mount } from '../runtime/runtime-service.ts';
import { writeAtomically, type ProjectedFile } from './atomic-writer.ts';
import type { ObjectCache } from './object-cache.ts';
import type { ServiceAccountTokens } from './service-account-token.ts';

const DEFAULT_MODE = 0o644;

export interface PodVolumesOptions {
  /** Holds a folder per pod, named for its uid. */
  readonly podsFolder: string;
  readonly objects: ObjectCache;
  readonly tokens: ServiceAccountTokens;
  readonly clock: Clock;
}

/** A volume that cannot be set up; the message is upstream's, for the event FailedMount. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

interface ObjectSource {
  readonly kind: 'configmap' | 'secret';
  readonly name: string;
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean;
  readonly defaultMode: number;
}

/** The volumes of pods as folders under each pod's own, kept up to date by calling `setUp` again. */
export class PodVolumes {
  readonly #options: PodVolumesOptions;

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  /**
   * Makes all volumes of a pod what they should be now. Resolves with each one's place on the host.
   * @throws VolumeError for the first that cannot be
   */
  async setUp(facts: DownwardFacts, signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const places = new Map<string, string>();
    for (const volume of specOf(facts.pod).volumes ?? []) {
      try {
        places.set(volume.name, await this.#setUpVolume(facts, volume, signal));
      } catch (error) {
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
    return places;
  }

  /** When a token in the pod's volumes must be renewed. */
  tokensDue(podUid: string): number | undefined {
    return this.#options.tokens.renewAt(podUid);
  }

  /** Deletes the pod's folder with all its volumes. What hostPath volumes name stays. */
  tearDown(podUid: string): void {
    this.#options.tokens.forget(podUid);
    rmSync(join(this.#options.podsFolder, podUid), { recursive: true, force: true });
  }

  #folder(pod: Pod, plugin: string, name: string): string {
    return join(this.#options.podsFolder, pod.metadata.uid ?? '', 'volumes', `kubernetes.io~${plugin}`, name);
  }

  async #setUpVolume(facts: DownwardFacts, volume: Volume, signal?: AbortSignal): Promise<string> {
    const { pod } = facts;
    const { name } = volume;
    if (volume.hostPath !== undefined) return setUpHostPath(volume.hostPath);
    if (volume.emptyDir !== undefined) {
      const folder = this.#folder(pod, 'empty-dir', name);
      if (!existsSync(folder)) {
        mkdirSync(folder, { recursive: true });
        chmodSync(folder, 0o777);
      }
      return folder;
    }
    const payload = new Map<string, ProjectedFile>();
    let plugin: string;
    if (volume.configMap !== undefined) {
      plugin = 'configmap';
      const { name: source = '', items, optional = false, defaultMode = DEFAULT_MODE } = volume.configMap;
      await this.#object(pod, { kind: 'configmap', name: source, items, optional, defaultMode }, payload, signal);
    } else if (volume.secret !== undefined) {
      plugin = 'secret';
      const { secretName: source = '', items, optional = false, defaultMode = DEFAULT_MODE } = volume.secret;
      await this.#object(pod, { kind: 'secret', name: source, items, optional, defaultMode }, payload, signal);
    } else if (volume.downwardAPI !== undefined) {
      plugin = 'downward-api';
      const { items = [], defaultMode = DEFAULT_MODE } = volume.downwardAPI;
      addDownward(facts, items, defaultMode, payload);
    } else if (volume.projected !== undefined) {
      plugin = 'projected';
      await this.#projected(facts, volume.projected, payload, signal);
    } else throw new Error('no volume plugin matched');
    const folder = this.#folder(pod, plugin, name);
    writeAtomically(folder, payload, new Date(this.#options.clock.now()));
    return folder;
  }

  async #projected(
    facts: DownwardFacts,
    projected: NonNullable<Volume['projected']>,
    payload: Map<string, ProjectedFile>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { defaultMode = DEFAULT_MODE, sources = [] } = projected;
    for (const { configMap, secret, downwardAPI, serviceAccountToken } of sources) {
      const base = { defaultMode };
      if (configMap !== undefined) {
        const { name = '', items, optional = false } = configMap;
        await this.#object(facts.pod, { ...base, kind: 'configmap', name, items, optional }, payload, signal);
      } else if (secret !== undefined) {
        const { name = '', items, optional = false } = secret;
        await this.#object(facts.pod, { ...base, kind: 'secret', name, items, optional }, payload, signal);
      } else if (downwardAPI !== undefined) addDownward(facts, downwardAPI.items ?? [], defaultMode, payload);
      else if (serviceAccountToken !== undefined) {
        const { audience, expirationSeconds, path } = serviceAccountToken;
        const token = await this.#options.tokens.token(facts.pod, { audience, expirationSeconds });
        // Only its user may read a token.
        payload.set(path, { data: Buffer.from(token), mode: 0o600 });
      }
    }
  }

  async #object(
    pod: Pod,
    source: ObjectSource,
    payload: Map<string, ProjectedFile>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { kind, name, items, optional, defaultMode } = source;
    const data = await this.#data(pod, source, signal);
    if (data === undefined) {
      if (optional) return;
      throw new Error(`${kind} "${name}" not found`);
    }
    if (items === undefined) {
      for (const [key, value] of data) payload.set(key, { data: value, mode: defaultMode });
      return;
    }
    for (const { key, path, mode = defaultMode } of items) {
      const value = data.get(key);
      if (value !== undefined) payload.set(path, { data: value, mode });
      else if (!optional)
        throw new Error(
          `${kind === 'secret' ? 'references non-existent secret key' : 'references non-existent config key'}: ${key}`,
        );
    }
  }

  async #data(
    pod: Pod,
    { kind, name }: ObjectSource,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, Buffer> | undefined> {
    const reference = { namespace: pod.metadata.namespace ?? '', uid: pod.metadata.uid ?? '' };
    const decoded = (data: Readonly<Record<string, string>> | undefined): [string, Buffer][] =>
      Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]);
    if (kind === 'secret') {
      const secret = await this.#options.objects.secret(reference, name, signal);
      return secret === undefined ? undefined : new Map(decoded(secret.data));
    }
    const configMap = await this.#options.objects.configMap(reference, name, signal);
    if (configMap === undefined) return undefined;
    const text = Object.entries(configMap.data ?? {}).map(([key, value]): [string, Buffer] => [
      key,
      Buffer.from(value),
    ]);
    return new Map([...text, ...decoded(configMap.binaryData)]);
  }
}

type DownwardItems = NonNullable<NonNullable<Volume['downwardAPI']>['items']>;

function addDownward(
  facts: DownwardFacts,
  items: DownwardItems,
  defaultMode: number,
  payload: Map<string, ProjectedFile>,
): void {
  for (const { path, fieldRef, resourceFieldRef, mode = defaultMode } of items) {
    const value =
      fieldRef === undefined
        ? resourceFieldRef === undefined
          ? undefined
          : resourceValue(facts, resourceFieldRef)
        : fieldValue(facts, fieldRef.fieldPath);
    if (value === undefined) throw new Error(`unsupported downward API item for ${path}`);
    payload.set(path, { data: Buffer.from(value), mode });
  }
}

/** Checks, or makes, what a hostPath volume names, as its type says. */
function setUpHostPath({ path, type = '' }: NonNullable<Volume['hostPath']>): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  const fail = (what: string): Error => new Error(`hostPath type check failed: ${path} is not a ${what}`);
  switch (type) {
    case 'DirectoryOrCreate':
      mkdirSync(path, { recursive: true, mode: 0o755 });
      break;
    case 'FileOrCreate':
      if (stat === undefined) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, '', { mode: 0o644 });
      } else if (!stat.isFile()) throw fail('file');
      break;
    case 'Directory':
      if (stat?.isDirectory() !== true) throw fail('directory');
      break;
    case 'File':
      if (stat?.isFile() !== true) throw fail('file');
      break;
    case 'Socket':
      if (stat?.isSocket() !== true) throw fail('socket file');
      break;
    case 'CharDevice':
      if (stat?.isCharacterDevice() !== true) throw fail('character device');
      break;
    case 'BlockDevice':
      if (stat?.isBlockDevice() !== true) throw fail('block device');
      break;
    default:
      break;
  }
  return path;
}

/** A container's mounts: where each of its volumes, or a part of it, is on the host. @throws StartError */
export function mountsOf(
  container: Container,
  places: ReadonlyMap<string, string>,
  lookup: (name: string) => string | undefined,
): readonly Mount[] {
  return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, subPathExpr, readOnly }) => {
    const place = places.get(name);
    if (place === undefined) throw new StartError('CreateContainerConfigError', `volume "${name}" not found`);
    const inside = subPathExpr === undefined || subPathExpr === '' ? (subPath ?? '') : expand(subPathExpr, lookup);
    const hostPath = inside === '' ? place : join(place, normalize(`/${inside}`));
    // A subPath that is not there is made, a folder, as upstream.
    if (inside !== '' && !existsSync(hostPath)) mkdirSync(hostPath, { recursive: true });
    return { containerPath: mountPath, hostPath, readonly: readOnly === true };
  });
}
