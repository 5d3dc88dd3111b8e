/** Server-side apply (sigs.k8s.io/structured-merge-diff/merge). */
import type { UnstructuredObject } from '../object.ts';
import { cloneJson, equalJson } from '../patch/json.ts';
import { newStatusError, newUnknownError, type StatusCause, type StatusError } from '../status.ts';
import { changesByVersion, changesIn, inVersion, withoutLost, type Versioned } from './changes.ts';
import {
  isOf,
  metaOf,
  ownedPart,
  setEntries,
  storedEntries,
  typeIn,
  type Entry,
  type FieldOwnership,
} from './entries.ts';
import { difference, intersection, pathsOf, type FieldSet } from './field-set.ts';
import { fieldsOfLastApplied, withLastApplied } from './last-applied.ts';
import { pruneFields } from './prune-fields.ts';
import { reconcileEntries } from './reconcile.ts';
import type { Typed } from './shape.ts';
import { applyProblems, changedFields, mergeTyped, setOf } from './typed-value.ts';

export interface Application extends FieldOwnership {
  /** The applied configuration: decoded, without defaults. */
  readonly config: UnstructuredObject;
  /** Takes fields that others own. */
  readonly force: boolean;
}

/**
 * Server-side apply: the object that a configuration makes out of the live one (undefined: there is none), with its
 * managedFields. Neither is changed.
 * @throws StatusError Conflict when it changes fields of others, BadRequest or InternalError for what cannot be applied.
 */
export function* applyConfiguration(
  live: UnstructuredObject | undefined,
  application: Application,
): Versioned<UnstructuredObject> {
  const { config, apiVersion } = application;
  const type = typeIn(application, apiVersion);
  checkConfiguration(config, type);
  const set = setOf(ownedPart(config, application), type);
  const entries = yield* entriesBeforeApply(live, application);
  const own = entries.find((each) => isOf(each, 'Apply', application));
  const others = entries.filter((each) => each !== own);
  const merged = mergeTyped(live, config, type) as UnstructuredObject;
  const pruned = yield* pruneFields(merged, { application, last: own, set, others });
  const object = cloneJson(pruned);
  const changes = yield* changesIn(apiVersion, live, object, application);
  const changesBy = yield* changesByVersion([apiVersion, changes], live, object, {
    entries: others,
    owner: application,
  });
  if (!application.force) {
    const allowed = live === undefined ? undefined : fieldsOfLastApplied(live, application);
    refuseConflicts(others, (entry) =>
      difference(intersection(entry.set, changesBy.get(entry.meta.apiVersion ?? '')?.changed), allowed),
    );
  }
  const rest = others.flatMap((entry) => withoutLost(entry, changesBy));
  const isSame =
    changes.changed === undefined &&
    changes.removed === undefined &&
    own !== undefined &&
    equalJson(own.set ?? {}, set ?? {});
  const meta = isSame && own.meta.apiVersion === apiVersion ? own.meta : metaOf('Apply', apiVersion, application);
  setEntries(object, [...rest, { meta, set }]);
  return withLastApplied(object, application);
}

function checkConfiguration(config: UnstructuredObject, type: Typed): void {
  const problems = applyProblems(config, type);
  if (problems.length > 0) throw newTypedPatchError(config, problems);
}

/** The refusal of a configuration that does not fit the kind's schema: upstream’s, which is of no class. */
export function newTypedPatchError(
  { apiVersion, kind, metadata: { namespace = '', name = '' } }: UnstructuredObject,
  problems: readonly string[],
): StatusError {
  const gvk = `${apiVersion.includes('/') ? '' : '/'}${apiVersion}, Kind=${kind}`;
  const [only] = problems;
  const message = problems.length === 1 && only !== undefined ? only : ['errors:', ...problems].join('\n  ');
  return newUnknownError(`failed to create typed patch object (${namespace}/${name}; ${gvk}): ${message}`);
}

/**
 * Entries of the live object as its schemas have its fields today. An object that nobody owns was made before anybody
 * applied: all of it is an earlier manager's.
 */
function* entriesBeforeApply(live: UnstructuredObject | undefined, application: Application): Versioned<Entry[]> {
  const entries = storedEntries(live).filter((each) => typeIn(application, each.meta.apiVersion) !== undefined);
  if (live === undefined) return entries;
  if (entries.length > 0) return reconcileEntries(entries, application);
  const { apiVersion } = application;
  const all = ownedPart(yield* inVersion(live, apiVersion), application);
  const set = changedFields({}, all, typeIn(application, apiVersion));
  return [{ meta: metaOf('Update', apiVersion, { ...application, manager: 'before-first-apply' }), set }];
}

function refuseConflicts(entries: readonly Entry[], conflictsOf: (entry: Entry) => FieldSet | undefined): void {
  const found = entries
    .flatMap((entry) => pathsOf(conflictsOf(entry)).map((path) => ({ manager: printManager(entry), path })))
    .toSorted((a, b) => (a.manager < b.manager ? -1 : a.manager > b.manager ? 1 : 0));
  const [first] = found;
  if (first === undefined) return;
  const causes: StatusCause[] = found.map(({ manager, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${manager}`,
    field: path,
  }));
  throw newStatusError('Conflict', `Apply failed with ${conflictText(found)}`, { causes });
}

function conflictText(found: readonly { readonly manager: string; readonly path: string }[]): string {
  const [first] = found;
  if (found.length === 1 && first !== undefined) return `1 conflict: conflict with ${first.manager}: ${first.path}`;
  const lines: string[] = [];
  let manager = '';
  for (const each of found) {
    if (each.manager !== manager) lines.push(`conflicts with ${each.manager}:`);
    manager = each.manager;
    lines.push(`- ${each.path}`);
  }
  return `${found.length} conflicts: ${lines.join('\n')}`;
}

function printManager({ meta }: Entry): string {
  const name = JSON.stringify(meta.manager ?? '');
  const subresource = (meta.subresource ?? '') === '' ? '' : ` with subresource ${JSON.stringify(meta.subresource)}`;
  return meta.operation === 'Update' ? `${name}${subresource} using ${meta.apiVersion ?? ''}` : `${name}${subresource}`;
}
