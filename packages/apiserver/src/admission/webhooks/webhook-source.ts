import type { KubeObject, Resource } from '@naru/api';
import type { AdmissionStore } from '../admission.ts';
import { compileWebhook, type CompiledWebhook, type Webhook } from './webhook-call.ts';

type Configuration = KubeObject & { readonly webhooks?: readonly unknown[] };

/** The webhooks of all configurations of a kind, in upstream's order, made anew when a configuration changes. */
export class WebhookSource<T extends Configuration> {
  readonly #resource: Resource<T>;
  #revision = -1;
  #webhooks: readonly CompiledWebhook[] = [];

  constructor(resource: Resource<T>) {
    this.#resource = resource;
  }

  list(store: AdmissionStore): readonly CompiledWebhook[] {
    const revision = store.changedRevision(this.#resource);
    if (revision === this.#revision) return this.#webhooks;
    const configurations = store.list(this.#resource);
    const byName = configurations.toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
    this.#webhooks = byName.flatMap(({ metadata, webhooks = [] }) =>
      webhooks.map((webhook) => compileWebhook(webhook as Webhook, metadata.name ?? '')),
    );
    this.#revision = revision;
    return this.#webhooks;
  }
}
