import { isGone, type KubeList, type KubeObject, type Resource } from '@naru/api';
import type { Client, ListOptions } from './client.ts';

/** Objects per page: upstream's. */
export const PAGE_SIZE = 500;

/**
 * A list page by page. When the pages' revision expires before the last page, the whole list is asked for at once and
 * yielded as one page with `restarted`: what came before must be dropped.
 */
export async function* listPages<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  options: Omit<ListOptions, 'limit' | 'continue'> & { readonly pageSize?: number } = {},
): AsyncGenerator<{ readonly page: KubeList<T>; readonly restarted: boolean }> {
  const { pageSize: limit = PAGE_SIZE, resourceVersion, ...selection } = options;
  let page = await client.list(resource, {
    ...selection,
    limit,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  });
  for (;;) {
    yield { page, restarted: false };
    const token = page.metadata.continue;
    if (token === undefined || token === '') return;
    try {
      // A continue token carries its revision: asking for another one beside it is an error.
      page = await client.list(resource, { ...selection, limit, continue: token });
    } catch (error) {
      if (!isGone(error)) throw error;
      yield { page: await client.list(resource, selection), restarted: true };
      return;
    }
  }
}

/** All objects of a list, in memory at once, with the revision that they are of. */
export async function listAll<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  options: Omit<ListOptions, 'limit' | 'continue'> & { readonly pageSize?: number } = {},
): Promise<{ readonly items: T[]; readonly resourceVersion: string }> {
  let items: T[] = [];
  let resourceVersion = '';
  for await (const { page, restarted } of listPages(client, resource, options)) {
    items = restarted || items.length === 0 ? page.items : items.concat(page.items);
    resourceVersion = page.metadata.resourceVersion ?? '';
  }
  return { items, resourceVersion };
}
