/** The second round of mutations: what one makes of an object may be what another would have changed. */
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';

/** A plugin of mutations that users configure. */
export interface DynamicMutation extends Pick<AdmissionPlugin, 'name' | 'handles'> {
  /** Runs all that apply to the request. */
  begin(attributes: AdmissionAttributes, store: AdmissionStore): Promise<FirstRound>;
}

export interface FirstRound {
  /** Whether the object is another than before. */
  readonly changed: boolean;
  /** Runs those once more whose `reinvocationPolicy` is IfNeeded and after whom the object was changed. */
  again(): Promise<void>;
}

/**
 * Runs dynamic mutations in their order. Where they change something, the plugins before them (`inTree`) run again, as what
 * they set may have to be set for what is new, and then the mutations that want to.
 */
export function reinvoking(
  inTree: readonly AdmissionPlugin[],
  mutations: readonly DynamicMutation[],
): AdmissionPlugin & { readonly admit: NonNullable<AdmissionPlugin['admit']> } {
  return {
    name: 'MutatingAdmission',
    handles: (...request) => mutations.some((each) => each.handles(...request)),
    async admit(attributes, store) {
      const { operation, resource, subresource } = attributes;
      const rounds: FirstRound[] = [];
      for (const each of mutations)
        if (each.handles(operation, resource, subresource)) rounds.push(await each.begin(attributes, store));
      if (!rounds.some(({ changed }) => changed)) return;
      for (const plugin of inTree)
        if (plugin.handles(operation, resource, subresource)) await plugin.admit?.(attributes, store);
      for (const round of rounds) await round.again();
    },
  };
}

/** A mutation's view of the object as it left it, to tell whether it was changed since. */
export const imageOf = ({ object }: AdmissionAttributes): string => JSON.stringify(object ?? null);
