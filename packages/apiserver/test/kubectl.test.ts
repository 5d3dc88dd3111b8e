/** The API as real kubectl uses it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runProgram } from '@naru/testkit';
import { ApiFixture, startStore } from './api-fixture.ts';
import { startProxy } from './kubectl-proxy.ts';

const manifest = (replicas: number): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {replicas: "${replicas}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "web:1", ports: [{containerPort: 8080}]}
`;

await t.test('kubectl works unmodified', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);
  const proxy = await startProxy(api.url);
  const home = await mkdtemp(join(tmpdir(), 'naru-kubectl-'));
  t.teardown(async () => {
    await proxy.stop();
    await rm(home, { recursive: true, force: true });
  });
  const file = join(home, 'web.yaml');
  const run = async (...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, HOME: home, KUBECONFIG: join(home, 'none') };
    const { stdout } = await runProgram('kubectl', [`--server=${proxy.url}`, ...args], { env });
    return stdout;
  };
  const check = async (line: string, wanted: RegExp): Promise<void> => {
    t.match(await run(...line.split(' ')), wanted, `kubectl ${line}`);
  };
  await writeFile(file, manifest(2));
  await check(`apply -f ${file}`, /configmap\/settings created\ndeployment.apps\/web created/u);
  await check(`apply -f ${file}`, /configmap\/settings unchanged\ndeployment.apps\/web unchanged/u);
  await writeFile(file, manifest(3));
  await check(`apply -f ${file}`, /configmap\/settings configured\ndeployment.apps\/web configured/u);
  await check('get deployment web -o jsonpath={.spec.replicas}', /^3$/u);
  await check('get all', /deployment.apps\/web/u);
  await check('get configmaps -l app=web -o name', /^configmap\/settings\n$/u);
  await check('scale deployment web --replicas=4', /deployment.apps\/web scaled/u);
  await check('label deployment web tier=front', /labeled/u);
  await check('annotate deployment web note=x', /annotated/u);
  await check('set image deployment/web web=web:2', /image updated/u);
  await check('patch deployment web -p {"spec":{"replicas":5}}', /patched/u);
  await check('describe deployment web', /Replicas: +5 desired/u);
  await check('replace -f ' + file, /deployment.apps\/web replaced/u);
  await check('create configmap made --from-literal=a=b', /configmap\/made created/u);
  await check('create deployment made --image=x --replicas=2', /deployment.apps\/made created/u);
  await check('run one --image=x', /pod\/one created/u);
  await check('get pod one -o jsonpath={.spec.restartPolicy}', /^Always$/u);
  await check('wait --for=jsonpath={.status.phase}=Pending pod/one --timeout=20s', /condition met/u);
  await check('delete pod one --timeout=20s', /pod "one" deleted/u);
  await check('explain deployment.spec.replicas', /FIELD: replicas <integer>/u);
  await check('api-resources --namespaced=true -o name', /^deployments.apps$/mu);
  await check('create namespace other', /namespace\/other created/u);
  await check('auth can-i create pods', /yes/u);
  await check(`delete -f ${file}`, /configmap "settings" deleted\ndeployment.apps "web" deleted/u);
  await t.rejects(run('get', 'configmap', 'settings'), /configmaps "settings" not found/u);
  await writeFile(file, manifest(1).replace('replicas: 1', 'replicsa: 1'));
  await t.rejects(run('apply', '-f', file), /unknown field "spec.replicsa"/u);
});
