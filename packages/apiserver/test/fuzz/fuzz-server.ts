import { ApiFixture, startStore, type Store } from '../api-fixture.ts';
import { fuzzObjects, type ObjectFuzzReport } from './object-fuzz.ts';

/** An API server on which what was fuzzed does not decide about what comes next: webhooks and policies are stored only. */
export async function startFuzzedServer(store: Store): Promise<ApiFixture> {
  return await ApiFixture.start(store, {
    disableAdmissionPlugins: [
      'MutatingAdmissionPolicy',
      'MutatingAdmissionWebhook',
      'ServiceAccount',
      'ValidatingAdmissionPolicy',
      'ValidatingAdmissionWebhook',
    ],
  });
}

/** Random objects on a store and a server of their own. */
export async function fuzzObjectsAlone(options: {
  readonly seed: number;
  readonly runs: number;
}): Promise<ObjectFuzzReport> {
  await using store = await startStore('kv-raft');
  await using api = await startFuzzedServer(store);
  return await fuzzObjects(api, options);
}
