// Makes what is generated and therefore not committed: packages/api/generated/{schemas,docs}.json, the schemas of the
// built-in kinds, out of the models of @kubernetes/client-node and the facts in packages/api/data. Run by
// scripts/bootstrap.mjs when its inputs changed.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtInResources } from '../packages/api/src/resources.ts';
import type { FieldSchema, FieldType, GroupVersionKind, ModelSchema } from '../packages/api/src/schema.ts';

const root = join(import.meta.dirname, '..');
const modelsFolder = join(root, 'node_modules', '@kubernetes', 'client-node', 'dist', 'gen', 'models');
const dataFolder = join(root, 'packages', 'api', 'data');
const outputFolder = join(root, 'packages', 'api', 'generated');

interface Attribute {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

/** A model as client-node declares it. */
interface Model {
  readonly attributes: readonly Attribute[];
  readonly doc: string;
  /** By attribute name. */
  readonly fields: ReadonlyMap<string, { readonly required: boolean; readonly doc: string }>;
}

interface Facts {
  readonly fields?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly mapType?: string;
  readonly unions?: unknown;
}

interface Supplement {
  readonly quantities: readonly string[];
  readonly packages: Readonly<Record<string, string>>;
  readonly embedded: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, Facts>>;
  readonly goTypes: Readonly<Record<string, string>>;
}

const readJson = (file: string): unknown => JSON.parse(readFileSync(join(dataFolder, file), 'utf8'));
const facts = readJson('schema-facts.json') as Readonly<Record<string, Facts>>;
const supplement = readJson('schema-supplement.json') as Supplement;

/** Models that no resource's own model refers to. */
const otherModels: Readonly<Record<string, GroupVersionKind>> = {
  V1Scale: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  V1Eviction: { group: 'policy', version: 'v1', kind: 'Eviction' },
  AuthenticationV1TokenRequest: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
  V1DeleteOptions: { group: '', version: 'v1', kind: 'DeleteOptions' },
  V1Status: { group: '', version: 'v1', kind: 'Status' },
  V1WatchEvent: { group: '', version: 'v1', kind: 'WatchEvent' },
  V1APIGroup: { group: '', version: 'v1', kind: 'APIGroup' },
  V1APIGroupList: { group: '', version: 'v1', kind: 'APIGroupList' },
  V1APIResourceList: { group: '', version: 'v1', kind: 'APIResourceList' },
  V1APIVersions: { group: '', version: 'v1', kind: 'APIVersions' },
};

/** Models of meta/v1, by name: other groups' are found by who refers to them. */
const metaNames: ReadonlySet<string> = new Set(
  `APIGroup APIGroupList APIResource APIResourceList APIVersions Condition DeleteOptions FieldSelectorRequirement
   GroupVersionForDiscovery LabelSelector LabelSelectorRequirement ListMeta ManagedFieldsEntry ObjectMeta OwnerReference
   Preconditions ServerAddressByClientCIDR ShardInfo Status StatusCause StatusDetails WatchEvent`.split(/\s+/u),
);

const decodeDoc = (comment: string): string =>
  comment
    .replaceAll(/^\s*\* ?/gmu, '')
    .replaceAll('*_/', '*/')
    .replaceAll(/\\(['"\\])/gu, '$1')
    .trim();

function readModel(name: string): Model | undefined {
  const file = join(modelsFolder, `${name}.js`);
  if (!existsSync(file)) return undefined;
  const map = /attributeTypeMap = (\[\s[\s\S]*?\n\]|\[\]);/u.exec(readFileSync(file, 'utf8'))?.[1];
  if (map === undefined) throw new Error(`${name}: no attributeTypeMap`);
  const declaration = readFileSync(join(modelsFolder, `${name}.d.ts`), 'utf8');
  const head = /\/\*\*\n((?:(?!\*\/)[\s\S])*?)\*\/\nexport declare class /u.exec(declaration)?.[1] ?? '';
  const fields = new Map<string, { required: boolean; doc: string }>();
  const body = declaration.slice(declaration.indexOf('export declare class '));
  for (const match of body.matchAll(/(?: {4}\/\*\*\n((?:(?!\*\/)[\s\S])*?)\*\/\n)? {4}'([^']+)'(\??):/gu))
    fields.set(match[2] ?? '', { required: match[3] === '', doc: decodeDoc(match[1] ?? '') });
  return { attributes: JSON.parse(map) as Attribute[], doc: decodeDoc(head), fields };
}

const modelName = /\b(?:[A-Z][a-z]+)?V\d+(?:(?:alpha|beta)\d+)?[A-Z][A-Za-z0-9]*\b/gu;
const referencesOf = (type: string): string[] =>
  [...type.matchAll(modelName)].map(([name]) => name).filter((name) => name !== 'V1MicroTime');

const models = new Map<string, Model>();
/** Groups (with version) whose kinds refer to a model, directly or not. */
const groupsOf = new Map<string, Set<string>>();
const kinds = new Map<string, GroupVersionKind>();

/** Upstream's Go package of a group: its first label. */
const packageOf = ({ group, version }: GroupVersionKind): string =>
  `${group === '' ? 'core' : (group.split('.')[0] ?? '')}.${version}`;

function collect(name: string, from: string): void {
  const groups = groupsOf.get(name) ?? new Set<string>();
  if (groups.has(from)) return;
  groupsOf.set(name, groups.add(from));
  const model = models.get(name) ?? readModel(name);
  if (model === undefined) throw new Error(`client-node has no model ${name}`);
  models.set(name, model);
  for (const { type } of model.attributes) for (const reference of referencesOf(type)) collect(reference, from);
}

function collectKind(model: string, gvk: GroupVersionKind): void {
  kinds.set(model, gvk);
  collect(model, packageOf(gvk));
}

for (const { model, group, version, kind } of builtInResources) {
  collectKind(model, { group, version, kind });
  if (existsSync(join(modelsFolder, `${model}List.js`)))
    collectKind(`${model}List`, { group, version, kind: `${kind}List` });
}
for (const [model, gvk] of Object.entries(otherModels)) collectKind(model, gvk);

/** `core.v1.Pod`: package, version and name. */
function shortName(model: string): string {
  const name = model.replace(/^(?:[A-Z][a-z]+)?V\d+(?:(?:alpha|beta)\d+)?/u, '');
  if (metaNames.has(name)) return `meta.v1.${name}`;
  const known = supplement.packages[name];
  if (known !== undefined) return `${known}.${name}`;
  const kind = kinds.get(model);
  if (kind !== undefined) return `${packageOf(kind)}.${name}`;
  const groups = groupsOf.get(model) ?? new Set();
  if (groups.has('core.v1')) return `core.v1.${name}`;
  const [only, ...others] = groups;
  if (only === undefined || others.length > 0)
    throw new Error(`${model}: several groups refer to it: ${[...groups].join(' ')}`);
  return `${only}.${name}`;
}

/** The definition name of OpenAPI. */
function definitionName(short: string): string {
  if (short.startsWith('meta.')) return `io.k8s.apimachinery.pkg.apis.${short}`;
  if (short.startsWith('apiextensions.')) return `io.k8s.apiextensions-apiserver.pkg.apis.${short}`;
  if (short.startsWith('apiregistration.')) return `io.k8s.kube-aggregator.pkg.apis.${short}`;
  return `io.k8s.api.${short}`;
}

function typeOf(type: string, format: string, isQuantity: boolean): FieldType {
  const array = /^Array<(.*)>$/su.exec(type)?.[1];
  if (array !== undefined) return { type: 'array', items: typeOf(array, format, isQuantity) };
  const map = /^\{ \[key: string\]: (.*); \}$/su.exec(type)?.[1];
  if (map !== undefined) return { type: 'map', items: typeOf(map, format, isQuantity) };
  if (isQuantity) return { type: 'Quantity' };
  switch (type) {
    case 'string':
      return { type: format === 'byte' ? 'bytes' : 'string' };
    case 'boolean':
    case 'any':
      return { type };
    case 'number':
      return format === 'int32' || format === 'int64' ? { type: 'integer', format } : { type: 'number' };
    case 'Date':
      return { type: 'Time' };
    case 'V1MicroTime':
      return { type: 'MicroTime' };
    case 'IntOrString':
      return { type: 'IntOrString' };
    default:
      if (!models.has(type)) throw new Error(`unknown type ${type}`);
      return { type: 'ref', ref: type };
  }
}

function factsOf(short: string): Facts {
  const embedded = supplement.embedded[short];
  const known = [
    ...(embedded === undefined ? [] : [facts[definitionName(embedded)]]),
    facts[definitionName(short)],
    supplement.facts[short],
  ];
  const fields: Record<string, Record<string, unknown>> = {};
  for (const each of known)
    for (const [name, field] of Object.entries(each?.fields ?? {})) fields[name] = { ...fields[name], ...field };
  return Object.assign({}, ...known, { fields }) as Facts;
}

const quantities = new Set(supplement.quantities);
const used = new Set<string>();

function schemaOf(name: string, model: Model): ModelSchema {
  const short = shortName(name);
  const known = factsOf(short);
  const gvk = kinds.get(name);
  const fields: Record<string, FieldSchema> = {};
  for (const { name: attribute, baseName, type, format } of model.attributes) {
    const path = `${short}.${baseName}`;
    const { values, ...rest } = known.fields?.[baseName] ?? {};
    const goType = supplement.goTypes[path];
    for (const table of [quantities, supplement.goTypes])
      if (table instanceof Set ? table.has(path) : Object.hasOwn(table, path)) used.add(path);
    fields[baseName] = {
      ...typeOf(type, format, quantities.has(path)),
      ...(model.fields.get(attribute)?.required === true ? { required: true } : {}),
      ...(values === undefined ? {} : { enum: values as string[] }),
      ...rest,
      ...(goType === undefined ? {} : { goType }),
    };
  }
  return {
    name: definitionName(short),
    ...(gvk === undefined ? {} : { gvk }),
    ...(known.mapType === undefined ? {} : { mapType: known.mapType as 'atomic' }),
    ...(known.unions === undefined ? {} : { unions: known.unions as NonNullable<ModelSchema['unions']> }),
    fields,
  };
}

function docsOf(model: Model): Record<string, string> {
  const docs: Record<string, string> = model.doc === '' ? {} : { '': model.doc };
  for (const { name, baseName } of model.attributes) {
    const doc = model.fields.get(name)?.doc ?? '';
    if (doc !== '') docs[baseName] = doc;
  }
  return docs;
}

const sorted = [...models].toSorted(([a], [b]) => (a < b ? -1 : 1));
const schemas = Object.fromEntries(sorted.map(([name, model]) => [name, schemaOf(name, model)]));
const docs = Object.fromEntries(sorted.map(([name, model]) => [name, docsOf(model)]));
for (const path of [...quantities, ...Object.keys(supplement.goTypes)])
  if (!used.has(path)) throw new Error(`packages/api/data/schema-supplement.json: no field ${path}`);
mkdirSync(outputFolder, { recursive: true });
// Renamed into place: another process may be reading the old ones.
for (const [file, content] of Object.entries({ 'schemas.json': schemas, 'docs.json': docs })) {
  const temporary = join(outputFolder, `.${file}.${process.pid}`);
  writeFileSync(temporary, JSON.stringify(content));
  renameSync(temporary, join(outputFolder, file));
}
