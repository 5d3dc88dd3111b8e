import { ApiFixture, type Store } from '../api-fixture.ts';

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
