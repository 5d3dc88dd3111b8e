import 'reflect-metadata';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const VALID_YEARS = 1;

/**
 * The certificate that the kubelet serves with when it is given none: self-signed, made once and kept in `folder` under
 * upstream's names (kubelet.crt, kubelet.key).
 */
export async function selfSignedCertificate(
  folder: string,
  hosts: { readonly nodeName: string; readonly nodeIP: string },
): Promise<{ readonly cert: string; readonly key: string }> {
  const certPath = join(folder, 'kubelet.crt');
  const keyPath = join(folder, 'kubelet.key');
  if (existsSync(certPath) && existsSync(keyPath)) {
    const cert = readFileSync(certPath, 'utf8');
    if (new x509.X509Certificate(cert).notAfter.getTime() > Date.now())
      return { cert, key: readFileSync(keyPath, 'utf8') };
  }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(Date.now() - 300_000);
  const notAfter = new Date(notBefore);
  notAfter.setFullYear(notAfter.getFullYear() + VALID_YEARS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`${hosts.nodeName}@${Math.floor(Date.now() / 1000)}`] }],
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: hosts.nodeName },
        { type: 'ip', value: hosts.nodeIP },
      ]),
    ],
  });
  const cert = certificate.toString('pem');
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  mkdirSync(folder, { recursive: true });
  writeFileSync(keyPath, key, { mode: 0o600 });
  writeFileSync(certPath, cert);
  return { cert, key };
}
