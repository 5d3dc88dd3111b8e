// Kubernetes 1.20's own components on our API server, in protobuf, and ours on its API server.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '@naru/testkit';
import { Agent, request } from 'undici';
import { missingUpstream, UpstreamParts } from './upstream-parts.ts';

const skip = missingUpstream();
const DEADLINE_MS = 120_000;

/** A Deployment comes up, grows, shrinks and goes. */
async function runDeployment(t: Tap, parts: UpstreamParts): Promise<void> {
  const readyReplicas = async (wanted: string): Promise<void> => {
    const jsonpath = '-o=jsonpath={.status.readyReplicas}/{.status.updatedReplicas}/{.status.replicas}';
    await eventually(
      async () => {
        const found = await parts.kubectl('get', 'deployment', 'web', jsonpath);
        if (found !== wanted) throw new Error(`${found} instead of ${wanted}\n${await parts.logs()}`);
      },
      { deadlineMs: DEADLINE_MS },
    );
  };
  await parts.kubectl('create', 'deployment', 'web', '--image=nginx', '--replicas=3');
  await readyReplicas('3/3/3');
  await parts.kubectl('scale', 'deployment', 'web', '--replicas=5');
  await readyReplicas('5/5/5');
  await parts.kubectl('set', 'image', 'deployment/web', 'nginx=nginx:2');
  await readyReplicas('5/5/5');
  const nodes = await parts.kubectl('get', 'pods', '-o=jsonpath={.items[*].spec.nodeName}');
  t.ok(nodes.split(' ').length >= 5 && nodes.split(' ').every((each) => each === 'hollow-1'), nodes);
  await parts.kubectl('delete', 'deployment', 'web');
  await eventually(
    async () => {
      const left = await parts.kubectl('get', 'pods,replicasets', '-o=name');
      if (left.trim() !== '') throw new Error(`${left} are left\n${await parts.logs()}`);
    },
    { deadlineMs: DEADLINE_MS },
  );
  t.pass('the garbage collector has deleted what belonged to the Deployment');
}

type Tap = Pick<typeof t, 'ok' | 'pass' | 'match' | 'equal'>;

await t.test(
  'the real controller-manager, scheduler and kubelet run a Deployment on our API server',
  { skip },
  async (t) => {
    await using parts = await UpstreamParts.prepare({ from: 25_000, to: 25_019 });
    await parts.startApiserver('ours');
    parts.start('kube-controller-manager', 'upstream', [
      `--kubeconfig=${parts.kubeconfig}`,
      '--service-account-private-key-file=sa.key',
      '--root-ca-file=ca.crt',
      '--cluster-signing-cert-file=ca.crt',
      '--cluster-signing-key-file=ca.key',
      '--use-service-account-credentials',
      '--leader-elect=false',
      '--allocate-node-cidrs',
      '--cluster-cidr=10.244.0.0/16',
      '--port=0',
      '--secure-port=25021',
    ]);
    // policy/v1beta1, which this scheduler knows budgets in, is gone since Kubernetes 1.25.
    parts.start('kube-scheduler', 'upstream', [
      `--kubeconfig=${parts.kubeconfig}`,
      '--leader-elect=false',
      '--feature-gates=PodDisruptionBudget=false',
      '--port=0',
      '--secure-port=25022',
    ]);
    parts.startHollowNode('hollow-1', { kubelet: 25_023, readOnly: 25_024 });
    await runDeployment(t, parts);

    await t.test('a front proxy speaks for users, a client does not', async (t) => {
      const ask = async (name: string): Promise<unknown> => {
        const [ca, cert, key] = await Promise.all(
          ['ca.crt', `${name}.crt`, `${name}.key`].map(
            async (file) => await readFile(join(parts.folder, file), 'utf8'),
          ),
        );
        const agent = new Agent({ connect: { ca, cert, key } as object });
        const answer = await request(
          `https://127.0.0.1:${parts.port}/apis/authentication.k8s.io/v1/selfsubjectreviews`,
          {
            method: 'POST',
            dispatcher: agent,
            headers: {
              'content-type': 'application/json',
              'x-remote-user': 'jane',
              'x-remote-group': ['devs', 'ops'],
              'x-remote-extra-team': 'blue',
            },
            body: '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
          },
        );
        const { status } = (await answer.body.json()) as { status?: { userInfo?: unknown } };
        await agent.close();
        return status?.userInfo;
      };
      t.match(await ask('front-proxy'), {
        username: 'jane',
        groups: ['devs', 'ops', 'system:authenticated'],
        extra: { team: ['blue'] },
      });
      t.match(await ask('admin'), { username: 'admin' });
      const published = await parts.kubectl(
        '-n',
        'kube-system',
        'get',
        'configmap',
        'extension-apiserver-authentication',
        '-o=jsonpath={.data.requestheader-allowed-names} {.data.client-ca-file}',
      );
      t.match(published, /^\["front-proxy"\] -----BEGIN CERTIFICATE-----/u);
    });
  },
);

await t.test('our controller-manager and scheduler run a Deployment on the real API server', { skip }, async (t) => {
  await using parts = await UpstreamParts.prepare({ from: 25_030, to: 25_049 });
  await parts.startApiserver('upstream');
  parts.start('kube-controller-manager', 'ours', [
    `--kubeconfig=${parts.kubeconfig}`,
    '--service-account-private-key-file=sa.key',
    '--root-ca-file=ca.crt',
    '--leader-elect=false',
    '--allocate-node-cidrs',
    '--cluster-cidr=10.244.0.0/16',
    '--healthz-bind-address=127.0.0.1:0',
  ]);
  parts.start('kube-scheduler', 'ours', [
    `--kubeconfig=${parts.kubeconfig}`,
    '--leader-elect=false',
    '--healthz-bind-address=127.0.0.1:0',
  ]);
  parts.startHollowNode('hollow-1', { kubelet: 25_053, readOnly: 25_054 });
  await runDeployment(t, parts);
});
