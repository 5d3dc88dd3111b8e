/** CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may say what of a signing request. */
import { equalJson, type CertificateSigningRequest } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';
import { decide, type Authorizer } from '../authorization/authorizer.ts';
import type { AdmissionPlugin } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

const GROUP = 'certificates.k8s.io';
const RESOURCE = 'certificatesigningrequests';
const MASTERS = 'system:masters';
const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client';
/** organizationName in DER: the object identifier 2.5.4.10. */
const ORGANIZATION = Buffer.from('060355040a', 'hex');

async function maySign(authorizer: Authorizer, user: UserInfo, verb: string, signerName: string): Promise<boolean> {
  const [domain = ''] = signerName.split('/');
  for (const name of [signerName, `${domain}/*`]) {
    const { decision } = await decide(authorizer, {
      user,
      verb,
      isResourceRequest: true,
      path: '',
      group: GROUP,
      version: '*',
      resource: 'signers',
      subresource: '',
      namespace: '',
      name,
    });
    if (decision === 'allow') return true;
  }
  return false;
}

/** Who approves must be allowed to for the signer. */
export function certificateApproval(authorizer: Authorizer | undefined): AdmissionPlugin {
  return {
    name: 'CertificateApproval',
    handles: (operation, resource, subresource) =>
      operation === 'UPDATE' && subresource === 'approval' && isResource(resource, GROUP, RESOURCE),
    async validate(attributes) {
      const signer = (attributes.object as CertificateSigningRequest | undefined)?.spec.signerName ?? '';
      if (authorizer !== undefined && !(await maySign(authorizer, attributes.user, 'approve', signer)))
        throw refuse(attributes, `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
    },
  };
}

/** Who issues the certificate must be allowed to for the signer. */
export function certificateSigning(authorizer: Authorizer | undefined): AdmissionPlugin {
  return {
    name: 'CertificateSigning',
    handles: (operation, resource, subresource) =>
      operation === 'UPDATE' && subresource === 'status' && isResource(resource, GROUP, RESOURCE),
    async validate(attributes) {
      const request = attributes.object as CertificateSigningRequest | undefined;
      const old = attributes.oldObject as CertificateSigningRequest | undefined;
      const failed = ({ status }: CertificateSigningRequest): unknown =>
        (status?.conditions ?? []).filter(({ type }) => type === 'Failed');
      if (request === undefined || old === undefined || authorizer === undefined) return;
      if (request.status?.certificate === old.status?.certificate && equalJson(failed(request), failed(old))) return;
      const { signerName } = old.spec;
      if (!(await maySign(authorizer, attributes.user, 'sign', signerName)))
        throw refuse(attributes, `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`);
    },
  };
}

/** Nobody becomes an administrator by a signing request. */
export const certificateSubjectRestriction: AdmissionPlugin = {
  name: 'CertificateSubjectRestriction',
  handles: (operation, resource, subresource) =>
    operation === 'CREATE' && subresource === '' && isResource(resource, GROUP, RESOURCE),
  validate(attributes) {
    const request = attributes.object as CertificateSigningRequest | undefined;
    if (request?.spec.signerName !== CLIENT_SIGNER) return;
    if (organizationsOf(request.spec.request).includes(MASTERS))
      throw refuse(attributes, `use of ${CLIENT_SIGNER} signer with ${MASTERS} group is not allowed`);
  },
};

/** The organizations of a PKCS #10 request, which is PEM in base64. */
function organizationsOf(request: string): string[] {
  const pem = Buffer.from(request, 'base64').toString('latin1');
  const body = /-----BEGIN[^-]*-----([\s\S]*?)-----END/u.exec(pem)?.[1] ?? '';
  const der = Buffer.from(body, 'base64');
  const found: string[] = [];
  for (let at = der.indexOf(ORGANIZATION); at !== -1; at = der.indexOf(ORGANIZATION, at + 1)) {
    // The value follows its name: a string type, one byte of length for anything that short, and the text.
    const start = at + ORGANIZATION.length;
    const length = der[start + 1] ?? 0;
    found.push(der.subarray(start + 2, start + 2 + length).toString());
  }
  return found;
}
