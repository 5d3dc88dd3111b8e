/** From `--cluster-signing-*` to signers: files are read and checked. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { UsageError, type FlagTable, type FlagValues } from '@naru/component';
import type { SigningOptions } from './csr-signing-controller.ts';
import { signerNames } from './plan.ts';

const file = (description: string): { type: 'string'; default: string; description: string } => ({
  type: 'string',
  default: '',
  description,
});
const certificateOf = (signer: string): ReturnType<typeof file> =>
  file(`Certificate of the authority that signs for ${signer}, instead of --cluster-signing-cert-file.`);
const keyOf = (signer: string): ReturnType<typeof file> =>
  file(`Key of the authority that signs for ${signer}, instead of --cluster-signing-key-file.`);

export const signingFlags = {
  'cluster-signing-cert-file': file(
    'Certificate of the authority that signs CertificateSigningRequests; none: nothing is signed.',
  ),
  'cluster-signing-key-file': file('Key of the authority that signs CertificateSigningRequests.'),
  'cluster-signing-kube-apiserver-client-cert-file': certificateOf(signerNames.client),
  'cluster-signing-kube-apiserver-client-key-file': keyOf(signerNames.client),
  'cluster-signing-kubelet-client-cert-file': certificateOf(signerNames.kubeletClient),
  'cluster-signing-kubelet-client-key-file': keyOf(signerNames.kubeletClient),
  'cluster-signing-kubelet-serving-cert-file': certificateOf(signerNames.kubeletServing),
  'cluster-signing-kubelet-serving-key-file': keyOf(signerNames.kubeletServing),
  'cluster-signing-legacy-unknown-cert-file': certificateOf(signerNames.legacyUnknown),
  'cluster-signing-legacy-unknown-key-file': keyOf(signerNames.legacyUnknown),
  'cluster-signing-duration': {
    type: 'duration',
    default: 31_536_000_000,
    description: 'How long signed certificates are good at most; requests may ask for less.',
  },
} as const satisfies FlagTable;

type Values = FlagValues<typeof signingFlags>;

/** Undefined: nothing is signed. @throws UsageError with the flag's name. */
export async function readSigningOptions(values: Values): Promise<SigningOptions | undefined> {
  const all = await readPair(
    'cluster-signing',
    values['cluster-signing-cert-file'],
    values['cluster-signing-key-file'],
  );
  const own = new Map<string, { readonly cert: string; readonly key: string }>();
  for (const [signer, name, cert, key] of [
    [
      signerNames.client,
      'kube-apiserver-client',
      values['cluster-signing-kube-apiserver-client-cert-file'],
      values['cluster-signing-kube-apiserver-client-key-file'],
    ],
    [
      signerNames.kubeletClient,
      'kubelet-client',
      values['cluster-signing-kubelet-client-cert-file'],
      values['cluster-signing-kubelet-client-key-file'],
    ],
    [
      signerNames.kubeletServing,
      'kubelet-serving',
      values['cluster-signing-kubelet-serving-cert-file'],
      values['cluster-signing-kubelet-serving-key-file'],
    ],
    [
      signerNames.legacyUnknown,
      'legacy-unknown',
      values['cluster-signing-legacy-unknown-cert-file'],
      values['cluster-signing-legacy-unknown-key-file'],
    ],
  ] as const) {
    const pair = await readPair(`cluster-signing-${name}`, cert, key);
    if (pair !== undefined) own.set(signer, pair);
  }
  if (all !== undefined && own.size > 0)
    throw new UsageError(
      'cannot specify --cluster-signing-{cert,key}-file and other --cluster-signing-*-file flags at the same time',
    );
  const signers = all === undefined ? own : new Map(Object.values(signerNames).map((signer) => [signer, all]));
  return signers.size === 0 ? undefined : { signers, durationMs: values['cluster-signing-duration'] };
}

async function readPair(
  name: string,
  certFile: string,
  keyFile: string,
): Promise<{ readonly cert: string; readonly key: string } | undefined> {
  if (certFile === '' && keyFile === '') return undefined;
  if (certFile === '' || keyFile === '')
    throw new UsageError(`--${name}-cert-file and --${name}-key-file must be given together`);
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
      throw new Error('the key is not that of the certificate');
    return { cert, key };
  } catch (error) {
    throw new UsageError(`--${name}-cert-file: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
