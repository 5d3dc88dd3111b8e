import 'reflect-metadata';
import { createPublicKey, generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { certificateSigningRequests, formatTime, isNotFound, type CertificateSigningRequest } from '@naru/api';
import { parseFlags, UsageError } from '@naru/component';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { CertificateRequest } from '../src/certificates/certificate-signer.ts';
import { CsrApprovingController } from '../src/certificates/csr-approving-controller.ts';
import { CsrCleanerController } from '../src/certificates/csr-cleaner-controller.ts';
import { CsrSigningController } from '../src/certificates/csr-signing-controller.ts';
import {
  deletionMs,
  durationMs,
  recognize,
  signerNames,
  signerRefusal,
  validity,
  withCondition,
  type RequestedCertificate,
} from '../src/certificates/plan.ts';
import { readSigningOptions, signingFlags } from '../src/certificates/signing-flags.ts';
import { Running } from './running.ts';

const HOUR = 3_600_000;
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;

async function authority(algorithm: typeof ecdsa | typeof rsa): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ['the-ca'] }],
    notBefore: new Date('2025-01-01'),
    notAfter: new Date('2035-01-01'),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { cert: certificate.toString('pem'), key };
}

interface Wanted {
  readonly cn: string;
  readonly organizations?: readonly string[];
  readonly names?: x509.JsonGeneralNames;
}

async function requestPem({ cn, organizations = [], names }: Wanted): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [...organizations.map((each) => ({ O: [each] })), { CN: [cn] }],
    keys,
    signingAlgorithm: ecdsa,
    extensions: names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(names)],
  });
  return request.toString('pem');
}

function signingRequest(
  name: string,
  pem: string,
  signerName: string,
  spec: Partial<CertificateSigningRequest['spec']> = {},
): CertificateSigningRequest {
  return {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: { request: Buffer.from(pem).toString('base64'), signerName, usages: ['client auth'], ...spec },
  };
}

const approved = (request: CertificateSigningRequest): CertificateSigningRequest =>
  withCondition(request, { type: 'Approved', reason: 'Test', message: 'x' }, '2026-01-01T00:00:00Z');

void t.test('signers sign what upstream lets them', async (t) => {
  const nothing = { dnsNames: [], ipAddresses: [], emailAddresses: [], uris: [] };
  const node = { commonName: 'system:node:a', organizations: ['system:nodes'], ...nothing };
  const client = ['digital signature', 'client auth'];
  const server = ['digital signature', 'key encipherment', 'server auth'];
  const serving: RequestedCertificate = { ...node, ipAddresses: ['10.0.0.1'] };
  for (const [signer, requested, usages, refusal] of [
    [signerNames.client, { ...node, commonName: 'joe', organizations: [] }, ['client auth'], undefined],
    [signerNames.client, node, ['client auth', 'server auth'], /usages did not match/u],
    [signerNames.client, node, ['digital signature'], /usages did not match/u],
    [signerNames.kubeletClient, node, client, undefined],
    [signerNames.kubeletClient, node, ['client auth'], /usages did not match/u],
    [signerNames.kubeletClient, { ...node, organizations: [] }, client, /organization is not system:nodes/u],
    [signerNames.kubeletClient, { ...node, commonName: 'a' }, client, /common name does not begin with/u],
    [signerNames.kubeletClient, { ...node, dnsNames: ['a'] }, client, /DNS subjectAltNames are not allowed/u],
    [signerNames.kubeletClient, serving, client, /IP subjectAltNames are not allowed/u],
    [signerNames.kubeletServing, serving, server, undefined],
    [signerNames.kubeletServing, node, server, /DNS or IP subjectAltName is required/u],
    [signerNames.kubeletServing, { ...serving, uris: ['x:y'] }, server, /URI subjectAltNames are not allowed/u],
    [signerNames.kubeletServing, { ...serving, emailAddresses: ['a@b'] }, server, /Email subjectAltNames/u],
    [signerNames.kubeletServing, serving, client, /usages did not match/u],
    [signerNames.legacyUnknown, serving, client, undefined],
  ] as const) {
    const answer = signerRefusal(signer, requested, usages);
    if (refusal === undefined) t.equal(answer, undefined, `${signer}: ${answer}`);
    else t.match(answer, refusal);
  }
  const own = signingRequest('a', '', signerNames.kubeletClient, { usages: client, username: 'system:node:a' });
  t.same(
    recognize(own, node).map(({ subresource }) => subresource),
    ['selfnodeclient', 'nodeclient'],
  );
  const others = { ...own, spec: { ...own.spec, username: 'system:bootstrap:x' } };
  t.same(
    recognize(others, node).map(({ subresource }) => subresource),
    ['nodeclient'],
  );
  t.same(recognize({ ...own, spec: { ...own.spec, signerName: signerNames.client } }, node), []);
});

void t.test('certificates last as long as is asked for, as far as that is given', async (t) => {
  const request = (expirationSeconds?: number): CertificateSigningRequest =>
    signingRequest('a', '', signerNames.client, expirationSeconds === undefined ? {} : { expirationSeconds });
  t.equal(durationMs(request(), 24 * HOUR), 24 * HOUR);
  t.equal(durationMs(request(3600), 24 * HOUR), HOUR);
  t.equal(durationMs(request(1), 24 * HOUR), HOUR / 6);
  t.equal(durationMs(request(10 ** 9), 24 * HOUR), 24 * HOUR);
  const now = Date.UTC(2026, 0, 1);
  const early = now - 300_000;
  t.same(validity(HOUR, now, Infinity), { notBeforeMs: early, notAfterMs: now + HOUR });
  t.same(validity(24 * HOUR, now, Infinity), { notBeforeMs: early, notAfterMs: early + 24 * HOUR });
  t.same(validity(24 * HOUR, now, now + 5), { notBeforeMs: early, notAfterMs: now + 5 });
});

void t.test('requests that are over are deleted', async (t) => {
  const made = Date.UTC(2026, 0, 1);
  const base = signingRequest('a', '', signerNames.client);
  const request = { ...base, metadata: { ...base.metadata, creationTimestamp: formatTime(made) } };
  t.equal(deletionMs(request, undefined), made + 24 * HOUR, 'undecided');
  const yes = approved(request);
  t.equal(deletionMs(yes, undefined), Infinity, 'approved, but not issued');
  const issued = { ...yes, status: { ...yes.status, certificate: 'x' } };
  t.equal(deletionMs(issued, undefined), made + HOUR);
  t.equal(deletionMs(issued, made + 5), made + 5, 'a certificate that is over is nobody’s');
  t.equal(
    deletionMs(withCondition(yes, { type: 'Failed', reason: 'x', message: '' }, formatTime(made)), undefined),
    made + HOUR,
  );
});

void t.test('approved requests get certificates, by keys of every kind', async (t) => {
  for (const algorithm of [ecdsa, rsa]) {
    const ca = await authority(algorithm);
    const signers = new Map(Object.values(signerNames).map((signer) => [signer, ca]));
    await using running = await Running.start((context) => [
      new CsrSigningController(context, { signers, durationMs: 24 * HOUR }),
    ]);
    const { client, clock } = running;
    const stateOf = async (name: string): Promise<CertificateSigningRequest> =>
      await eventually(async () => {
        const request = await client.get(certificateSigningRequests, name);
        if ((request.status?.certificate ?? '') === '' && request.status?.conditions?.length !== 2)
          throw new Error(`${name} waits`);
        return request;
      });
    const pem = await requestPem({ cn: 'joe', organizations: ['devs', 'ops'] });
    const usages = ['digital signature', 'client auth'];
    await client.create(
      certificateSigningRequests,
      approved(signingRequest('joe', pem, signerNames.client, { usages, expirationSeconds: 3600 })),
    );
    const text = Buffer.from((await stateOf('joe')).status?.certificate ?? '', 'base64').toString();
    const certificate = new X509Certificate(text);
    t.ok(certificate.verify(createPublicKey(ca.cert)), 'by the authority');
    t.ok(certificate.checkIssued(new X509Certificate(ca.cert)));
    t.match(certificate.subject, /O=devs\nO=ops\nCN=joe/u);
    t.equal(certificate.ca, false);
    t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    t.equal(Date.parse(certificate.validTo), clock.now() + HOUR);
    t.ok(
      certificate.publicKey.equals(
        createPublicKey({
          key: Buffer.from(new CertificateRequest(pem).publicKey.rawData),
          type: 'spki',
          format: 'der',
        }),
      ),
    );
    // A certificate that is for clients and nothing else says nothing of its key, or TLS would not take it.
    await client.create(certificateSigningRequests, approved(signingRequest('bare', pem, signerNames.client)));
    const bare = new x509.X509Certificate(
      Buffer.from((await stateOf('bare')).status?.certificate ?? '', 'base64').toString(),
    );
    t.notOk(bare.extensions.some((each) => each instanceof x509.KeyUsagesExtension));
    const names = [
      { type: 'dns', value: 'node-a' },
      { type: 'ip', value: '10.0.0.1' },
    ] as const;
    const node = await requestPem({ cn: 'system:node:a', organizations: ['system:nodes'], names: [...names] });
    const serving = { usages: ['digital signature', 'server auth'] };
    await client.create(
      certificateSigningRequests,
      approved(signingRequest('node', node, signerNames.kubeletServing, serving)),
    );
    const served = new X509Certificate(Buffer.from((await stateOf('node')).status?.certificate ?? '', 'base64'));
    t.equal(served.subjectAltName, 'DNS:node-a, IP Address:10.0.0.1');
    await client.create(
      certificateSigningRequests,
      approved(signingRequest('bad', pem, signerNames.kubeletServing, serving)),
    );
    t.match((await stateOf('bad')).status?.conditions?.[1], {
      type: 'Failed',
      reason: 'SignerValidationFailure',
      message: 'subject organization is not system:nodes',
    });
    await client.create(certificateSigningRequests, signingRequest('pending', pem, signerNames.client));
    t.equal((await client.get(certificateSigningRequests, 'pending')).status?.certificate, undefined);
  }
});

void t.test('a kubelet’s own request is approved if its sender may have it', async (t) => {
  await using running = await Running.start((context) => [
    new CsrApprovingController(context),
    new CsrCleanerController(context),
  ]);
  const { client, clock, server } = running;
  const allowed = new Set(['selfnodeclient']);
  server.reactor = ({ method, path, body }, response) => {
    if (method !== 'POST' || !path.endsWith('/subjectaccessreviews')) return false;
    const { spec } = body as { spec: { resourceAttributes: { subresource: string } } };
    const status = { allowed: allowed.has(spec.resourceAttributes.subresource) };
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ ...(body as object), status }));
    return true;
  };
  const pem = await requestPem({ cn: 'system:node:a', organizations: ['system:nodes'] });
  const usages = ['digital signature', 'client auth'];
  const create = async (name: string, username: string): Promise<void> => {
    const request = signingRequest(name, pem, signerNames.kubeletClient, { usages, username });
    const metadata = { ...request.metadata, creationTimestamp: formatTime(clock.now()) };
    await client.create(certificateSigningRequests, { ...request, metadata });
  };
  await create('own', 'system:node:a');
  await create('other', 'system:node:b');
  const reasonOf = async (name: string): Promise<string | undefined> =>
    (await client.get(certificateSigningRequests, name)).status?.conditions?.[0]?.reason;
  await eventually(async () => {
    if ((await reasonOf('own')) !== 'AutoApproved') throw new Error('not yet');
  });
  t.equal(await reasonOf('other'), undefined);
  allowed.add('nodeclient');
  await eventually(async () => {
    await clock.advance(1000);
    if ((await reasonOf('other')) !== 'AutoApproved') throw new Error('not yet');
  });
  await create('forgotten', 'joe');
  allowed.clear();
  await eventually(async () => {
    await clock.advance(HOUR);
    const gone = await client.get(certificateSigningRequests, 'forgotten').catch(isNotFound);
    if (gone !== true) throw new Error('still there');
  });
});

void t.test('signing flags are read and checked', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'naru-signing-'));
  t.teardown(async () => await rm(dir, { recursive: true, force: true }));
  const [cert, key, other] = [join(dir, 'ca.crt'), join(dir, 'ca.key'), join(dir, 'other.key')];
  const ca = await authority(ecdsa);
  await writeFile(cert, ca.cert);
  await writeFile(key, ca.key);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(other, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const read = async (...args: string[]): ReturnType<typeof readSigningOptions> =>
    await readSigningOptions(parseFlags(signingFlags, args));
  t.equal(await read(), undefined);
  const all = await read(`--cluster-signing-cert-file=${cert}`, `--cluster-signing-key-file=${key}`);
  t.equal(all?.signers.size, 4);
  t.equal(all?.durationMs, 365 * 24 * HOUR);
  const own = [
    `--cluster-signing-kubelet-serving-cert-file=${cert}`,
    `--cluster-signing-kubelet-serving-key-file=${key}`,
  ];
  t.same([...((await read(...own))?.signers.keys() ?? [])], [signerNames.kubeletServing]);
  await t.rejects(read(`--cluster-signing-cert-file=${cert}`), UsageError);
  await t.rejects(
    read(`--cluster-signing-cert-file=${cert}`, `--cluster-signing-key-file=${other}`),
    /is not that of/u,
  );
  await t.rejects(
    read(`--cluster-signing-cert-file=${cert}`, `--cluster-signing-key-file=${key}`, ...own),
    /cannot specify --cluster-signing-/u,
  );
});
