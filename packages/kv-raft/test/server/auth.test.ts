import t from 'tap';
import { startRealEtcd } from '@naru/testkit';
import { authCorpus, type AuthStep } from './auth-corpus.ts';
import { startTestServer } from './test-server.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Asks one server, and keeps the tokens it gives out. */
class Asker {
  readonly #url: string;
  readonly #tokens = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  async ask(step: AuthStep): Promise<Answer> {
    const token = step.as === undefined ? undefined : (this.#tokens.get(step.as) ?? step.as);
    const answer = await fetch(`${this.#url}${step.path}`, {
      method: 'POST',
      body: JSON.stringify(step.body),
      headers: token === undefined ? {} : { authorization: token },
    });
    const body = await answer.text();
    const given = /"token":"([^"]+)"/u.exec(body)?.[1];
    const { name } = step.body as { readonly name?: string };
    if (given !== undefined && name !== undefined) this.#tokens.set(name, given);
    return {
      status: answer.status,
      body: body
        .replaceAll(/"(cluster_id|member_id)":"\d+"/gu, '"$1":"ID"')
        .replaceAll(/"raft_term":"\d+"/gu, '"raft_term":"TERM"')
        .replaceAll(/"token":"[^"]+"/gu, '"token":"TOKEN"'),
    };
  }
}

await t.test('users, roles and rights are answered as etcd answers them', async (t) => {
  await using etcd = await startRealEtcd({ ports: { from: 22000, to: 22039 }, args: ['--bcrypt-cost=4'] });
  await using ours = await startTestServer({ bcryptCost: 4 });
  const [expected, actual] = [new Asker(etcd.clientUrl), new Asker(ours.url)];
  for (const [i, step] of authCorpus.entries())
    t.same(
      await actual.ask(step),
      await expected.ask(step),
      `${i} ${step.path} ${JSON.stringify(step.body)} as ${step.as}`,
    );
});

t.end();
