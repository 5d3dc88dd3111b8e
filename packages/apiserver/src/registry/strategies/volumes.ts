import { fieldDuplicate, fieldForbidden, fieldInvalid, fieldRequired, type FieldError, type Volume } from '@naru/api';
import { descendingPath, noBacksteps, validateFieldRef, validateResourceFieldRef } from './containers.ts';
import { optionalOneOf, required, requiredDnsLabel } from './field-rules.ts';
import { quantityAt } from './resource-requirements.ts';

export const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const volumeFieldPaths = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const MODE_MAX = 0o777;
const modeMessage = 'must be a number between 0 and 0777 (octal), both inclusive';
const TOKEN_SECONDS_MIN = 600;

type Source = Readonly<Record<string, unknown>>;
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
type Item = { key: string; path: string; mode?: number };

/** spec.volumes; the names that are good are added to `names`. */
export function validateVolumes(path: string, volumes: readonly Volume[], names: Set<string>): FieldError[] {
  return volumes.flatMap((volume, i) => {
    const at = `${path}[${i}]`;
    const errors = requiredDnsLabel(`${at}.name`, volume.name);
    if (errors.length === 0) {
      if (names.has(volume.name)) errors.push(fieldDuplicate(`${at}.name`, volume.name));
      names.add(volume.name);
    }
    errors.push(...validateVolumeSource(at, volume));
    return errors;
  });
}

function validateVolumeSource(path: string, volume: Volume): FieldError[] {
  // In upstream's order, whatever the client's is.
  const inOrder = new Set([...Object.keys(sourceRules), ...Object.keys(volume)]);
  const types = [...inOrder].filter((field) => field !== 'name' && Object.hasOwn(volume, field));
  if (types.length === 0) return [fieldRequired(path, 'must specify a volume type')];
  return types.flatMap((type, i) => {
    const at = `${path}.${type}`;
    if (i > 0) return [fieldForbidden(at, 'may not specify more than 1 volume type')];
    const source = (volume as unknown as Readonly<Record<string, Source>>)[type] ?? {};
    return (sourceRules[type] ?? noRules)(at, source);
  });
}

type SourceRules = (path: string, source: Source) => FieldError[];
const noRules: SourceRules = () => [];

/** Rules that only name required fields. */
const requires =
  (...fields: readonly string[]): SourceRules =>
  (path, source) =>
    fields.flatMap((field) => required(`${path}.${field}`, source[field]));

const sourceRules: Readonly<Record<string, SourceRules>> = {
  emptyDir(path, { sizeLimit }) {
    if (sizeLimit === undefined) return [];
    const errors: FieldError[] = [];
    const quantity = quantityAt(`${path}.sizeLimit`, textOf(sizeLimit), errors);
    if (quantity !== undefined && quantity.sign < 0)
      errors.push(fieldForbidden(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity'));
    return errors;
  },
  hostPath(path, { path: hostPath, type }) {
    if (hostPath === undefined || hostPath === '') return [fieldRequired(`${path}.path`)];
    return [
      ...noBacksteps(`${path}.path`, textOf(hostPath)),
      ...optionalOneOf(`${path}.type`, type as string | undefined, hostPathTypes),
    ];
  },
  secret: (path, source) => [
    ...required(`${path}.secretName`, source['secretName']),
    ...validateModeAndItems(path, source),
  ],
  configMap: (path, source) => [...required(`${path}.name`, source['name']), ...validateModeAndItems(path, source)],
  downwardAPI: (path, source) => [
    ...validateMode(`${path}.defaultMode`, source['defaultMode']),
    ...validateDownwardItems(`${path}.items`, source['items']),
  ],
  projected: validateProjected,
  persistentVolumeClaim: requires('claimName'),
  nfs(path, source) {
    const errors = requires('server', 'path')(path, source);
    const nfsPath = textOf(source['path']);
    if (nfsPath !== '' && !nfsPath.startsWith('/'))
      errors.push(fieldInvalid(`${path}.path`, nfsPath, 'must be an absolute path'));
    return errors;
  },
  csi: requires('driver'),
  ephemeral: requires('volumeClaimTemplate'),
  iscsi: requires('targetPortal', 'iqn'),
  rbd: requires('monitors', 'image'),
  glusterfs: requires('endpoints', 'path'),
  flexVolume: requires('driver'),
  gitRepo: requires('repository'),
  awsElasticBlockStore: requires('volumeID'),
  gcePersistentDisk: requires('pdName'),
  azureFile: requires('secretName', 'shareName'),
  cephfs: requires('monitors'),
  cinder: requires('volumeID'),
  image: requires('reference'),
};

function validateMode(path: string, mode: unknown): FieldError[] {
  return typeof mode === 'number' && (mode < 0 || mode > MODE_MAX) ? [fieldInvalid(path, mode, modeMessage)] : [];
}

function validateModeAndItems(path: string, source: Source): FieldError[] {
  return [
    ...validateMode(`${path}.defaultMode`, source['defaultMode']),
    ...((source['items'] ?? []) as Item[]).flatMap((item, i) => validateKeyToPath(`${path}.items[${i}]`, item)),
  ];
}

function validateKeyToPath(path: string, item: Item): FieldError[] {
  return [
    ...required(`${path}.key`, item.key),
    ...required(`${path}.path`, item.path),
    ...localPath(`${path}.path`, item.path ?? ''),
    ...validateMode(`${path}.mode`, item.mode),
  ];
}

/** A file name below a volume: relative, and not mistaken for the volume's own bookkeeping. */
function localPath(path: string, value: string): FieldError[] {
  const errors = descendingPath(path, value);
  if (value.startsWith('..') && !value.split('/').includes('..'))
    errors.push(fieldInvalid(path, value, "must not start with '..'"));
  return errors;
}

interface DownwardItem {
  path: string;
  mode?: number;
  fieldRef?: { apiVersion?: string; fieldPath: string };
  resourceFieldRef?: { containerName?: string; resource: string };
}

function validateDownwardItems(path: string, items: unknown): FieldError[] {
  return ((items ?? []) as DownwardItem[]).flatMap(({ path: file, mode, fieldRef, resourceFieldRef }, i) => {
    const at = `${path}[${i}]`;
    const errors = [...required(`${at}.path`, file), ...localPath(`${at}.path`, file ?? '')];
    if (fieldRef !== undefined) {
      errors.push(...validateFieldRef(`${at}.fieldRef`, fieldRef, volumeFieldPaths));
      if (resourceFieldRef !== undefined)
        errors.push(fieldInvalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
    } else if (resourceFieldRef === undefined)
      errors.push(fieldRequired(at, 'one of fieldRef and resourceFieldRef is required'));
    else errors.push(...validateResourceFieldRef(`${at}.resourceFieldRef`, resourceFieldRef, { needsContainer: true }));
    errors.push(...validateMode(`${at}.mode`, mode));
    return errors;
  });
}

function validateProjected(path: string, source: Source): FieldError[] {
  const sources = (source['sources'] ?? []) as Source[];
  return [
    ...validateMode(`${path}.defaultMode`, source['defaultMode']),
    ...sources.flatMap((each, i) => validateProjection(`${path}.sources[${i}]`, each)),
  ];
}

function validateProjection(path: string, projection: Source): FieldError[] {
  const types = Object.keys(projection);
  if (types.length === 0) return [fieldRequired(path, 'must specify a volume type')];
  return types.flatMap((type, i) => {
    const at = `${path}.${type}`;
    if (i > 0) return [fieldForbidden(at, 'may not specify more than 1 volume type')];
    const source = (projection[type] ?? {}) as Source;
    switch (type) {
      case 'secret':
      case 'configMap':
        return [...required(`${at}.name`, source['name']), ...validateModeAndItems(at, source)];
      case 'downwardAPI':
        return validateDownwardItems(`${at}.items`, source['items']);
      case 'serviceAccountToken':
        return validateTokenProjection(at, source);
      default:
        return [];
    }
  });
}

function validateTokenProjection(path: string, source: Source): FieldError[] {
  const errors: FieldError[] = [];
  const seconds = Number(source['expirationSeconds'] ?? 0);
  if (seconds < TOKEN_SECONDS_MIN)
    errors.push(fieldInvalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes'));
  if (seconds > 2 ** 32)
    errors.push(
      fieldInvalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds'),
    );
  errors.push(...required(`${path}.path`, source['path']));
  return errors;
}
