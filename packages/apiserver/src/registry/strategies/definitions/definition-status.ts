/** The status of a CustomResourceDefinition: which names it got (k8s.io/apiextensions-apiserver/pkg/controller/status). */
import { findCondition, isConditionTrue, setCondition, type CustomResourceDefinition, type Resource } from '@naru/api';
import { approvalCondition } from './api-approval.ts';

type Status = NonNullable<CustomResourceDefinition['status']>;
type Names = CustomResourceDefinition['spec']['names'];
type Condition = NonNullable<Status['conditions']>[number];

/** What names are taken by others of the group. */
interface TakenNames {
  readonly resources: ReadonlySet<string>;
  readonly kinds: ReadonlySet<string>;
}

/**
 * The status that the definition should have: names that nobody else of its group has are accepted, and with all of them it
 * is established, once and for all. The argument's own status where that is right already.
 */
export function definitionStatus(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  builtIn: readonly Resource[],
  now: string,
): Status {
  const { spec, status } = definition;
  const before = status ?? {};
  const taken = takenNames(definition, others, builtIn);
  const { accepted, conflict } = acceptNames(spec.names, before.acceptedNames, taken);
  const namesAccepted: Condition =
    conflict === undefined
      ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
      : { type: 'NamesAccepted', status: 'False', ...conflict };
  const approval = approvalCondition(definition);
  const approved = approval === undefined ? before.conditions : setCondition(before.conditions, approval, now);
  let conditions = setCondition(approved, namesAccepted, now);
  if (conflict === undefined)
    conditions = setCondition(
      conditions,
      {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
      },
      now,
    );
  else if (!isConditionTrue(conditions, 'Established') && findCondition(conditions, 'Established') === undefined)
    conditions = setCondition(
      conditions,
      {
        type: 'Established',
        status: 'False',
        reason: 'NotAccepted',
        message: 'not all names are accepted',
      },
      now,
    );
  return { ...before, acceptedNames: accepted, conditions: [...conditions] };
}

function takenNames(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  builtIn: readonly Resource[],
): TakenNames {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  const { group } = definition.spec;
  for (const other of others) {
    if (other.spec.group !== group || other.metadata.name === definition.metadata.name) continue;
    const { plural, singular, shortNames = [], kind, listKind } = (other.status?.acceptedNames ?? {}) as Partial<Names>;
    for (const each of [plural, singular, ...shortNames]) if (each !== undefined && each !== '') resources.add(each);
    for (const each of [kind, listKind]) if (each !== undefined && each !== '') kinds.add(each);
  }
  for (const each of builtIn) {
    if (each.group !== group) continue;
    for (const name of [each.resource, each.singular, ...each.shortNames]) resources.add(name);
    kinds.add(each.kind).add(`${each.kind}List`);
  }
  return { resources, kinds };
}

interface Conflict {
  readonly reason: string;
  readonly message: string;
}

/** Each name is accepted by itself; one that is taken stays what it was. The last conflict is the one that is told. */
function acceptNames(
  wanted: Names,
  before: Names | undefined,
  { resources, kinds }: TakenNames,
): { readonly accepted: Names; readonly conflict: Conflict | undefined } {
  let conflict: Conflict | undefined;
  const choose = (name: string, old: string | undefined, taken: ReadonlySet<string>, reason: string): string => {
    if (!taken.has(name)) return name;
    conflict = { reason, message: `${JSON.stringify(name)} is already in use` };
    return old ?? '';
  };
  const plural = choose(wanted.plural, before?.plural, resources, 'PluralConflict');
  const singular = choose(wanted.singular ?? '', before?.singular, resources, 'SingularConflict');
  const shortNames = wanted.shortNames ?? [];
  const takenShort = shortNames.filter((each) => resources.has(each));
  if (takenShort.length > 0) {
    const all = takenShort.map((each) => `${JSON.stringify(each)} is already in use`);
    conflict = { reason: 'ShortNamesConflict', message: all.length === 1 ? (all[0] ?? '') : `[${all.join(', ')}]` };
  }
  const kind = choose(wanted.kind, before?.kind, kinds, 'KindConflict');
  const listKind = choose(wanted.listKind ?? '', before?.listKind, kinds, 'ListKindConflict');
  const short = takenShort.length > 0 ? (before?.shortNames ?? []) : shortNames;
  return {
    accepted: {
      plural,
      singular,
      kind,
      listKind,
      ...(short.length === 0 ? {} : { shortNames: short }),
      ...(wanted.categories === undefined ? {} : { categories: wanted.categories }),
    },
    conflict,
  };
}
