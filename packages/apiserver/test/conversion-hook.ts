import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Gadget {
  apiVersion: string;
  kind: string;
  metadata: Record<string, unknown>;
  spec?: Record<string, unknown>;
  [field: string]: unknown;
}

export interface ConversionRequest {
  readonly uid: string;
  readonly desiredAPIVersion: string;
  readonly objects: Gadget[];
}

/** What admission webhooks are asked. */
export interface Admission {
  readonly object: Gadget;
  readonly oldObject: Gadget | null;
  readonly [field: string]: unknown;
}

export type Respond = (request: ConversionRequest) => unknown;

/** v1 has `spec.hostPort: "host:port"`, v2 has `spec.host` and `spec.port`, as in Kubernetes' own documentation. */
export function convert(object: Gadget, desired: string): Gadget {
  const { hostPort, host, port, ...rest } = object.spec ?? {};
  const [ownHost = '', ownPort = ''] = typeof hostPort === 'string' ? hostPort.split(':') : [];
  const [newHost, newPort] = [host, port].map((each) => (typeof each === 'string' ? each : ''));
  const isEmpty = newHost === '' && newPort === '';
  const spec =
    desired === 'example.com/v1'
      ? { ...rest, ...(isEmpty ? {} : { hostPort: `${newHost}:${newPort}` }) }
      : { ...rest, ...(ownHost === '' ? {} : { host: ownHost }), ...(ownPort === '' ? {} : { port: ownPort }) };
  return { ...object, apiVersion: desired, spec };
}

export const convertAll: Respond = ({ objects, desiredAPIVersion }) => ({
  result: { status: 'Success' },
  convertedObjects: objects.map((each) => convert(each, desiredAPIVersion)),
});

/** A webhook that converts (and admits, below `/admit`), with a certificate of its own. */
export class ConversionHook implements AsyncDisposable {
  /** What it answers reviews of conversion with. */
  respond = convertAll;
  readonly asked: ConversionRequest[] = [];
  readonly admitted: Admission[] = [];
  readonly cert: Buffer;
  readonly #folder: string;
  readonly #server: Server;

  private constructor(folder: string, key: Buffer, cert: Buffer) {
    this.#folder = folder;
    this.cert = cert;
    this.#server = createServer({ key, cert }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(this.#answer(request.url ?? '', Buffer.concat(chunks).toString())));
      });
    });
  }

  static async start(): Promise<ConversionHook> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-conversion-'));
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync(
      'openssl',
      // prettier-ignore
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=hook',
       '-addext', 'subjectAltName=DNS:localhost,DNS:hook.default.svc', '-keyout', keyFile, '-out', certFile],
      { stdio: 'ignore' },
    );
    const hook = new ConversionHook(folder, await readFile(keyFile), await readFile(certFile));
    hook.#server.listen(0, '127.0.0.1');
    await once(hook.#server, 'listening');
    return hook;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `https://localhost:${this.port}/convert`;
  }

  #answer(url: string, body: string): object {
    const { request: review } = JSON.parse(body) as { request: ConversionRequest };
    if (url.startsWith('/admit')) {
      this.admitted.push(review as unknown as Admission);
      const value = [{ op: 'replace', path: '/spec/hostPort', value: 'admitted:1' }];
      const patch = { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(value)).toString('base64') };
      const allowed = { uid: review.uid, allowed: true, ...(url.startsWith('/admit/change') ? patch : {}) };
      return { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: allowed };
    }
    this.asked.push(review);
    const response = { uid: review.uid, ...(this.respond(review) as object) };
    return { kind: 'ConversionReview', apiVersion: 'apiextensions.k8s.io/v1', response };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
