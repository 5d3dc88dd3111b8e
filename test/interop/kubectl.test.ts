// A tour of every kubectl command that talks to a server, on a cluster of real processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { ProcessCluster, type Result } from '@naru/testkit';
import { request } from 'undici';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 25_300;
const folder = await mkdtemp(join(tmpdir(), 'naru-tour-'));
const cluster = await ProcessCluster.start({
  root,
  portBase: PORT_BASE,
  flags: ['--kv', '1', '--apiservers', '1', '--nodes', '2'],
});
t.teardown(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

type Tap = typeof t;

interface Step {
  /** kubectl's arguments; words are split at spaces, `'…'` keeps them together. */
  readonly run: string;
  readonly input?: string | object;
  /** What its output must match. */
  readonly says?: RegExp | readonly RegExp[];
  /** It must fail, and say this. */
  readonly fails?: RegExp;
}

function words(line: string): string[] {
  return [...line.matchAll(/(?:'[^']*'|[^\s'])+/gu)].map(([word]) => word.replaceAll("'", ''));
}

async function kubectl(line: string, options: { input?: string; allowFailure?: boolean } = {}): Promise<Result> {
  return await cluster.kubectlResult(words(line), options);
}

/** kubectls at a time where the order of steps does not matter. */
const KUBECTLS = 4;

async function tour(name: string, steps: readonly Step[], options: { anyOrder?: boolean } = {}): Promise<void> {
  await t.test(name, async (t) => {
    const pending = steps.values();
    const guide = async (): Promise<void> => {
      for (const step of pending) await take(t, step);
    };
    await Promise.all(Array.from({ length: options.anyOrder === true ? KUBECTLS : 1 }, guide));
  });
}

async function take(t: Pick<Tap, 'equal' | 'not' | 'match' | 'comment'>, step: Step): Promise<void> {
  const { run, input, says = [], fails } = step;
  const text = input === undefined ? undefined : typeof input === 'string' ? input : JSON.stringify(input);
  const { stdout, stderr, code } = await kubectl(run, {
    ...(text === undefined ? {} : { input: text }),
    allowFailure: true,
  });
  const output = `${stdout}${stderr}`;
  if (fails !== undefined) {
    t.not(code, 0, `kubectl ${run}`);
    t.match(output, fails);
    return;
  }
  if (!t.equal(code, 0, `kubectl ${run}`)) t.comment(output);
  for (const expected of [says].flat()) t.match(output, expected, `kubectl ${run}`);
}

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [{ name: 'main', image: 'naru.dev/hello:1', ports: [{ containerPort: 8080 }] }],
      },
    },
  },
};

await tour(
  'discovery and the cluster',
  [
    { run: 'version', says: /Server Version: v1\.36/u },
    { run: 'cluster-info', says: /Kubernetes control plane.* is running at/u },
    { run: 'api-versions', says: [/^apps\/v1$/mu, /^v1$/mu] },
    { run: 'api-resources', says: [/^deployments +deploy +apps\/v1 +true +Deployment$/mu, /^pods +po +v1/mu] },
    { run: 'api-resources --api-group=apps -o wide', says: /deletecollection/u },
    {
      run: 'explain pod.spec.containers.livenessProbe',
      says: [/FIELD: livenessProbe <Probe>/u, /httpGet\t<HTTPGetAction>/u],
    },
    { run: 'explain deployment --recursive', says: /replicas\t<integer>/u },
    { run: 'get --raw /healthz', says: /^ok$/u },
    { run: 'get componentstatuses', says: [/etcd-0 +Healthy/u, /scheduler +Healthy/u] },
    { run: 'get nodes -o wide', says: /Ready/u },
    { run: 'wait --for=condition=Ready nodes --all --timeout=60s', says: /condition met/u },
    { run: 'config view', says: /server: https:/u },
    { run: 'config current-context', says: /./u },
    { run: 'config get-contexts', says: /CURRENT/u },
    { run: 'auth whoami', says: /admin/u },
  ],
  { anyOrder: true },
);

await tour('create, apply, get, describe', [
  { run: 'create namespace tour', says: /namespace\/tour created/u },
  { run: 'config set-context --current --namespace=tour', says: /modified/u },
  { run: 'apply -f - --validate=strict', input: deployment, says: /deployment\.apps\/web created/u },
  { run: 'apply -f -', input: deployment, says: /unchanged/u },
  { run: 'apply -f - --validate=strict', input: { ...deployment, spek: 1 }, fails: /unknown field "spek"/u },
  { run: 'rollout status deployment/web --timeout=60s', says: /successfully rolled out/u },
  {
    run: 'diff -f -',
    input: { ...deployment, spec: { ...deployment.spec, replicas: 3 } },
    fails: /\+ {2}replicas: 3/u,
  },
  {
    run: 'apply --server-side --force-conflicts -f -',
    input: { ...deployment, metadata: { name: 'web', labels: { app: 'web', tier: 'front' } } },
    says: /serverside-applied/u,
  },
  { run: 'apply view-last-applied deployment/web', says: /replicas: 2/u },
  { run: 'create configmap settings --from-literal=a=1 --from-literal=b=2', says: /created/u },
  { run: 'create configmap dry --from-literal=a=1 --dry-run=server -o name', says: /^configmap\/dry\n/u },
  { run: 'create secret generic secret --from-literal=password=x', says: /created/u },
  { run: 'create serviceaccount robot', says: /created/u },
  { run: 'create token robot', says: /^eyJ/u },
  { run: 'create quota quota --hard=pods=50', says: /created/u },
  { run: 'create role reader --verb=get,list --resource=pods', says: /created/u },
  { run: 'create rolebinding reader --role=reader --serviceaccount=tour:robot', says: /created/u },
  { run: 'create clusterrole tour-reader --verb=get --resource=nodes', says: /created/u },
  { run: 'create clusterrolebinding tour-reader --clusterrole=tour-reader --user=jane', says: /created/u },
  { run: 'create job once --image=x -- true', says: /created/u },
  { run: "create cronjob later --image=x --schedule='0 0 1 1 *' -- true", says: /created/u },
  { run: 'create poddisruptionbudget budget --selector=app=web --min-available=1', says: /created/u },
  { run: 'create priorityclass tour-high --value=1000', says: /created/u },
  { run: 'create ingress site --class=naru --rule=example.com/*=web:80', says: /created/u },
  { run: 'create service clusterip plain --tcp=80:8080', says: /created/u },
  { run: 'expose deployment web --port=80 --target-port=8080', says: /service\/web exposed/u },
  { run: 'wait --for=condition=Complete job/once --timeout=60s', says: /condition met/u },
]);

await tour(
  'get and describe',
  [
    {
      run: 'get all',
      says: [/pod\/web-/u, /service\/web/u, /deployment\.apps\/web/u, /job\.batch\/once/u, /cronjob\.batch\/later/u],
    },
    { run: 'get pods -o wide --show-labels', says: [/NODE/u, /app=web/u] },
    { run: 'get pods -o name', says: /^pod\/web-/mu },
    { run: 'get pods -o json', says: /"kind": "List"/u },
    { run: 'get deployment web -o yaml', says: /^kind: Deployment$/mu },
    { run: "get deployment web -o jsonpath='{.spec.replicas}'", says: /^2/u },
    { run: "get pods -o 'go-template={{range .items}}{{.metadata.name}} {{end}}'", says: /web-/u },
    { run: 'get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName', says: /^NAME +NODE$/mu },
    { run: 'get pods -l app=web --sort-by=.metadata.name', says: /web-/u },
    { run: 'get pods --field-selector=status.phase=Running', says: /web-/u },
    { run: 'get deployments,services -A', says: /kubernetes/u },
    { run: 'get pods --chunk-size=1', says: /web-/u },
    { run: 'get nothing', fails: /the server doesn't have a resource type "nothing"/u },
    { run: 'describe deployment web', says: [/Replicas: +2 desired/u, /ScalingReplicaSet/u] },
    { run: 'describe pods -l app=web', says: [/Status: +Running/u, /Scheduled/u] },
    { run: 'describe nodes', says: [/Allocated resources/u, /Non-terminated Pods/u] },
    { run: 'describe service web', says: /Endpoints: +127\./u },
    {
      run: 'describe namespace/tour configmap/settings secret/secret serviceaccount/robot quota/quota role/reader rolebinding/reader job/once cronjob/later pdb/budget ingress/site priorityclass/tour-high clusterrole/tour-reader clusterrolebinding/tour-reader',
      says: /Name: +tour/u,
    },
    { run: 'events', says: /ScalingReplicaSet/u },
    { run: 'get events --sort-by=.lastTimestamp', says: /ScalingReplicaSet/u },
  ],
  { anyOrder: true },
);

await tour('change', [
  { run: 'label deployment web stage=one', says: /labeled/u },
  { run: 'label deployment web stage=two', fails: /already has a value/u },
  { run: 'label deployment web stage=two --overwrite', says: /labeled/u },
  { run: 'annotate deployment web note=hello', says: /annotated/u },
  { run: `patch deployment web -p '{"spec":{"minReadySeconds":1}}'`, says: /patched/u },
  { run: `patch deployment web --type=merge -p '{"metadata":{"labels":{"stage":null}}}'`, says: /patched/u },
  {
    run: `patch deployment web --type=json -p '[{"op":"replace","path":"/spec/minReadySeconds","value":0}]'`,
    says: /patched/u,
  },
  { run: `patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":2}}'`, says: /patched/u },
  { run: 'scale deployment web --replicas=3', says: /scaled/u },
  { run: 'scale deployment web --current-replicas=9 --replicas=1', fails: /Expected replicas to be 9, was 3/u },
  { run: 'autoscale deployment web --min=1 --max=5 --cpu-percent=80', says: /autoscaled/u },
  { run: 'describe hpa web', says: /Min replicas: +1/u },
  { run: 'delete hpa web', says: /deleted/u },
  { run: 'set image deployment/web main=naru.dev/hello:2', says: /image updated/u },
  { run: 'set env deployment/web MODE=tour', says: /env updated/u },
  { run: 'set resources deployment/web --requests=cpu=10m', says: /resource requirements updated/u },
  { run: 'set serviceaccount deployment/web robot', says: /serviceaccount updated/u },
  { run: 'set selector service/plain app=web', says: /selector updated/u },
  { run: 'set subject rolebinding/reader --user=jane', says: /subjects updated/u },
  { run: 'rollout status deployment/web --timeout=60s', says: /successfully rolled out/u },
  { run: 'rollout history deployment/web', says: /REVISION/u },
  { run: 'rollout pause deployment/web', says: /paused/u },
  { run: 'rollout resume deployment/web', says: /resumed/u },
  { run: 'rollout undo deployment/web', says: /rolled back/u },
  { run: 'rollout restart deployment/web', says: /restarted/u },
  { run: 'rollout status deployment/web --timeout=60s', says: /successfully rolled out/u },
  {
    run: 'replace -f -',
    input: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'tour' }, data: { a: '9' } },
    says: /replaced/u,
  },
  { run: "get configmap settings -o jsonpath='{.data.a}'", says: /^9/u },
  { run: 'auth can-i create pods', says: /^yes/u },
  { run: 'auth can-i create pods --as=system:serviceaccount:tour:robot', fails: /^no/u },
  { run: 'auth can-i --list --as=jane', says: /nodes/u },
  { run: 'taint nodes node-2 tour=1:NoSchedule', says: /tainted/u },
  { run: 'taint nodes node-2 tour-', says: /untainted/u },
  { run: 'cordon node-2', says: /cordoned/u },
  { run: 'drain node-2 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s', says: /drained/u },
  { run: 'get pods -A --field-selector=spec.nodeName=node-2,status.phase=Running -o name', says: /^$/u },
  { run: 'uncordon node-2', says: /uncordoned/u },
  { run: 'cluster-info dump --namespaces=tour', says: /"kind": "PodList"/u },
]);

await t.test('edit: what the editor leaves is applied', async (t) => {
  const editor = join(folder, 'editor.sh');
  await writeFile(editor, '#!/bin/sh\nsed -i "s/a: \\"9\\"/a: \\"10\\"/" "$1"\n', { mode: 0o755 });
  const child = spawn('kubectl', [`--kubeconfig=${cluster.kubeconfig}`, 'edit', 'configmap', 'settings'], {
    env: { ...process.env, KUBE_EDITOR: editor },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  t.strictSame(await once(child, 'exit'), [0, null]);
  t.equal((await kubectl('get configmap settings -o jsonpath={.data.a}')).stdout, '10');
});

await t.test('certificates: a request is approved and signed, another is denied', async (t) => {
  const { stdout: key } = await run('openssl', [
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    join(folder, 'k'),
    '-subj',
    '/CN=jane/O=devs',
  ]);
  const csr = (name: string): object => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: Buffer.from(key).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
    },
  });
  for (const name of ['jane', 'joe']) await kubectl('apply -f -', { input: JSON.stringify(csr(name)) });
  t.match((await kubectl('certificate approve jane')).stdout, /approved/u);
  t.match((await kubectl('certificate deny joe')).stdout, /denied/u);
  t.match((await kubectl('get csr')).stdout, /jane .*Approved[\s\S]*joe .*Denied/u);
  await kubectl('wait csr/jane --for=jsonpath={.status.certificate} --timeout=60s');
  const { stdout: certificate } = await kubectl('get csr jane -o jsonpath={.status.certificate}');
  await writeFile(join(folder, 'jane.crt'), Buffer.from(certificate, 'base64'));
  const asJane = [
    '--kubeconfig=/dev/null',
    `--server=${cluster.server}`,
    `--certificate-authority=${join(cluster.dataDir, 'pki', 'ca.crt')}`,
    `--client-certificate=${join(folder, 'jane.crt')}`,
    `--client-key=${join(folder, 'k')}`,
  ];
  const { stdout: whoami } = await run('kubectl', [...asJane, 'auth', 'whoami']);
  t.match(whoami, /Username +jane\nGroups +\[devs system:authenticated\]/u, 'the certificate logs in');
});

await t.test('run, logs, exec, debug, cp, attach, port-forward, proxy', async (t) => {
  await kubectl("run busy --image=x --command -- sh -c 'echo started; while :; do sleep 1; done'");
  await kubectl('wait --for=condition=Ready pod/busy --timeout=60s');
  t.match((await kubectl('logs busy')).stdout, /started/u);
  t.match((await kubectl('logs -l app=web --prefix --tail=1')).stdout, /^\[pod\/web-/mu);
  t.equal((await kubectl('exec busy -- echo hi')).stdout, 'hi\n');
  const echo = "sh -c 'while read -r line; do echo got $line; done; echo over'";
  const talk = await kubectl(`run talk -i --rm --restart=Never --image=x --command -- ${echo}`, { input: 'hello\n' });
  t.match(talk.stdout, /got hello\nover\n[\s\S]*deleted/u);
  const look = "sh -c 'read -r line; echo saw $line'";
  const debug = await kubectl(`debug busy -i --image=x -c looker -- ${look}`, { input: 'it\n' });
  t.match(debug.stdout, /saw it/u);
  t.equal((await kubectl('logs busy -c looker')).stdout, 'saw it\n');
  await writeFile(join(folder, 'file'), 'content');
  await kubectl(`cp ${join(folder, 'file')} busy:copied`);
  await kubectl(`cp busy:copied ${join(folder, 'back')}`);
  t.equal(await readFile(join(folder, 'back'), 'utf8'), 'content');
  const server = spawn('kubectl', [`--kubeconfig=${cluster.kubeconfig}`, 'proxy', '--port=0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string];
  const base = `http://${/127\.0\.0\.1:\d+/u.exec(line)?.[0]}/api/v1/namespaces/tour/services/web:80/proxy/`;
  const { body } = await request(base);
  t.match(await body.text(), /hello from web-/u);
  server.kill();
  await once(server, 'exit');
  t.match((await kubectl('get --raw /api/v1/namespaces/tour/services/web:80/proxy/')).stdout, /hello from web-/u);
  t.match((await kubectl('get --raw /api/v1/nodes/node-1/proxy/healthz')).stdout, /ok/u);
});

await tour('delete', [
  { run: 'delete pod busy --grace-period=1', says: /deleted/u },
  { run: 'delete deployment,service -l app=web', says: /deleted/u },
  {
    run: 'delete -f -',
    input: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' } },
    says: /deleted/u,
  },
  { run: 'delete clusterrole/tour-reader clusterrolebinding/tour-reader priorityclass/tour-high', says: /deleted/u },
  { run: 'kustomize /nowhere', fails: /./u },
  { run: 'delete namespace tour --timeout=60s', says: /deleted/u },
]);

async function run(program: string, args: readonly string[]): Promise<{ stdout: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  await once(child, 'close');
  return { stdout };
}
