/** How others check ServiceAccount tokens: the issuer's OpenID metadata and its keys (RFC 8414, RFC 7517). */
import type { KeyObject } from 'node:crypto';
import { jwsAlgorithmOf, keyIdOf } from '@naru/component';

export interface IssuerDiscovery {
  readonly configuration: string;
  readonly keys: string;
}

export function issuerDiscovery(options: {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly publicKeys: readonly KeyObject[];
}): IssuerDiscovery {
  const keys = new Map(options.publicKeys.map((key) => [keyIdOf(key), key]));
  const algorithms = new Set([...keys.values()].map(jwsAlgorithmOf));
  const configuration = {
    issuer: options.issuer,
    jwks_uri: options.jwksUri,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...algorithms],
  };
  const set = [...keys].map(([kid, key]) => ({
    use: 'sig',
    kid,
    alg: jwsAlgorithmOf(key),
    ...key.export({ format: 'jwk' }),
  }));
  return { configuration: JSON.stringify(configuration), keys: JSON.stringify({ keys: set }) };
}
