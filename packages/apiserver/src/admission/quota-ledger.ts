import { resourceQuotas, type ResourceQuota } from '@naru/api';
import type { AdmissionStore } from './admission.ts';

/** What one request does to a quota's status; throws when the quota does not allow it. */
export type Charge = (quota: ResourceQuota) => ResourceQuota;

interface Entry {
  readonly charge: Charge;
  readonly done: PromiseWithResolvers<boolean>;
}

/** Requests that one write of a quota may answer. */
const BATCH_MAX = 256;

/**
 * Charges quotas: each is written by one write at a time, which carries all requests that came while the one before was on
 * its way. Other servers' writes are met by the store's comparison.
 */
export class QuotaLedger {
  readonly #pending = new Map<string, Entry[]>();

  /** Resolves when the charge is stored: false if the quota is gone. Rejects with what the charge throws. */
  async charge(store: AdmissionStore, namespace: string, name: string, charge: Charge): Promise<boolean> {
    const key = `${namespace}/${name}`;
    const entry: Entry = { charge, done: Promise.withResolvers() };
    const waiting = this.#pending.get(key);
    if (waiting !== undefined) {
      waiting.push(entry);
      return await entry.done.promise;
    }
    const queue = [entry];
    this.#pending.set(key, queue);
    void this.#work(store, { namespace, name }, queue);
    return await entry.done.promise;
  }

  async #work(
    store: AdmissionStore,
    where: { readonly namespace: string; readonly name: string },
    queue: Entry[],
  ): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, BATCH_MAX);
      let refusals = new Map<Entry, unknown>();
      try {
        const written = await store.guaranteedUpdate(resourceQuotas, where, (quota) => {
          refusals = new Map();
          let next = quota;
          for (const entry of batch) {
            try {
              next = entry.charge(next);
            } catch (error) {
              refusals.set(entry, error);
            }
          }
          // Who is refused wants to be sure that it is not by the cache's age.
          if (refusals.size > 0 && next === quota) throw new AllRefused();
          return next;
        });
        for (const entry of batch) settle(entry, refusals, written !== undefined);
      } catch (error) {
        for (const entry of batch)
          if (error instanceof AllRefused) settle(entry, refusals, true);
          else entry.done.reject(error);
      }
    }
    this.#pending.delete(`${where.namespace}/${where.name}`);
  }
}

class AllRefused extends Error {}

function settle(entry: Entry, refusals: ReadonlyMap<Entry, unknown>, value: boolean): void {
  if (refusals.has(entry)) entry.done.reject(refusals.get(entry));
  else entry.done.resolve(value);
}
