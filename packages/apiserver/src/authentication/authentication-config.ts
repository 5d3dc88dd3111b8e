/** `--authentication-config`: an AuthenticationConfiguration, whose issuers are read again when it changes. */
import { CelError, compileCel, type CelProgram } from '../cel/cel-program.ts';
import { celEnvironment } from '../cel/cel-environment.ts';
import { decodeConfiguration, type ConfigurationFile, type Fields } from '../configuration-file.ts';
import { claimMapping, type ClaimMappings, type ClaimRule, type ClaimSource } from './claim-mapping.ts';
import { oidcAlgorithms, type OidcOptions } from './oidc-authenticator.ts';

export const AUTHENTICATION_CONFIG = 'authentication-config';

export interface AuthenticationSettings {
  readonly jwt: readonly OidcOptions[];
  /** Whether callers without credentials are anonymous, or on which paths; undefined: it does not say. */
  readonly anonymous: boolean | readonly string[] | undefined;
}

export interface AuthenticationConfig extends ConfigurationFile, AuthenticationSettings {}

/** As upstream. */
const ISSUERS_MAX = 64;

/** `ownIssuers`: of ServiceAccount tokens. @throws UsageError with the place of what is wrong. */
export function parseAuthenticationConfig(text: string, ownIssuers: readonly string[]): AuthenticationSettings {
  const configuration = decodeConfiguration(text, {
    flag: AUTHENTICATION_CONFIG,
    kind: 'AuthenticationConfiguration',
    apiVersions: ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1beta1'],
  }).only('kind', 'apiVersion', 'jwt', 'anonymous');
  const authenticators = configuration.list('jwt');
  if (authenticators.length > ISSUERS_MAX)
    throw configuration.invalid('jwt', `Too many: ${authenticators.length}: must have at most ${ISSUERS_MAX} items`);
  const urls = new Set<string>();
  const jwt = authenticators.map((fields) => {
    const options = readAuthenticator(fields, ownIssuers);
    for (const url of [options.issuerUrl, options.discoveryUrl])
      if (url !== undefined && urls.has(url)) throw fields.invalid('issuer', `Duplicate value: ${JSON.stringify(url)}`);
      else if (url !== undefined) urls.add(url);
    return options;
  });
  return { jwt, anonymous: readAnonymous(configuration.object('anonymous')) };
}

function readAnonymous(fields: Fields | undefined): AuthenticationSettings['anonymous'] {
  if (fields === undefined) return undefined;
  const enabled = fields.only('enabled', 'conditions').boolean('enabled', false);
  const paths = fields.list('conditions').map((each) => {
    const path = each.only('path').required('path');
    if (!path.startsWith('/')) throw each.invalid('path', `Invalid value: ${JSON.stringify(path)}: must begin with /`);
    return path;
  });
  if (paths.length === 0) return enabled;
  if (!enabled)
    throw fields.invalid('conditions', 'Invalid value: enabled should be set to true when conditions are defined');
  return paths;
}

function readAuthenticator(fields: Fields, ownIssuers: readonly string[]): OidcOptions {
  fields.only('issuer', 'claimMappings', 'claimValidationRules', 'userValidationRules');
  const mappings = fields.object('claimMappings');
  if (mappings === undefined)
    throw fields.invalid('claimMappings.username', 'Required value: claim or expression is required');
  const claimRules = fields.list('claimValidationRules').map((rule) => readRule(rule, 'claims'));
  const options = {
    mappings: readMappings(mappings),
    claimRules,
    userRules: fields.list('userValidationRules').map((rule) => readRule(rule, 'user')),
  };
  requireVerifiedEmail(mappings, options);
  return { ...readIssuer(fields, ownIssuers), signingAlgs: oidcAlgorithms, mapClaims: claimMapping(options) };
}

function readIssuer(fields: Fields, ownIssuers: readonly string[]): Omit<OidcOptions, 'signingAlgs' | 'mapClaims'> {
  const issuer = fields.object('issuer');
  if (issuer === undefined) throw fields.invalid('issuer.url', 'Required value: URL is required');
  issuer.only('url', 'discoveryURL', 'certificateAuthority', 'audiences', 'audienceMatchPolicy', 'egressSelectorType');
  const issuerUrl = httpsUrl(issuer, 'url');
  if (ownIssuers.includes(issuerUrl))
    throw issuer.invalid(
      'url',
      `Invalid value: ${JSON.stringify(issuerUrl)}: URL must not overlap with disallowed issuers`,
    );
  const discoveryUrl = issuer.has('discoveryURL') ? httpsUrl(issuer, 'discoveryURL') : undefined;
  if (discoveryUrl?.replace(/\/$/u, '') === issuerUrl.replace(/\/$/u, ''))
    throw issuer.invalid('discoveryURL', 'Invalid value: discoveryURL must be different from URL');
  const audiences = issuer.strings('audiences');
  if (audiences.length === 0)
    throw issuer.invalid('audiences', 'Required value: at least one jwt.issuer.audiences is required');
  if (audiences.length > 1 || issuer.has('audienceMatchPolicy')) issuer.oneOf('audienceMatchPolicy', ['MatchAny']);
  const ca = issuer.string('certificateAuthority');
  return { issuerUrl, discoveryUrl, audiences, ca: ca === '' ? undefined : ca };
}

function httpsUrl(fields: Fields, name: string): string {
  const url = fields.required(name);
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const wrong =
    parsed?.protocol !== 'https:'
      ? 'URL scheme must be https'
      : parsed.username !== '' || parsed.search !== '' || parsed.hash !== ''
        ? 'URL must not contain a username, a query or a fragment'
        : undefined;
  if (wrong !== undefined) throw fields.invalid(name, `Invalid value: ${JSON.stringify(url)}: ${wrong}`);
  return url;
}

function readMappings(fields: Fields): ClaimMappings {
  fields.only('username', 'groups', 'uid', 'extra');
  const username = readSource(fields, 'username', { hasPrefix: true });
  if (username === undefined) throw fields.invalid('username', 'Required value: claim or expression is required');
  const keys = new Set<string>();
  const extra = fields.list('extra').map((each) => {
    const key = each.only('key', 'valueExpression').required('key');
    if (!/^[a-z0-9.-]+\.[a-z0-9-]+\/[^A-Z]+$/u.test(key))
      throw each.invalid('key', `Invalid value: ${JSON.stringify(key)}: must be a lower-case domain-prefixed path`);
    if (/(^|\.)(kubernetes|k8s)\.io\//u.test(key))
      throw each.invalid(
        'key',
        `Invalid value: ${JSON.stringify(key)}: k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use`,
      );
    if (keys.has(key)) throw each.invalid('key', `Duplicate value: ${JSON.stringify(key)}`);
    keys.add(key);
    return { key, program: compile(each, 'valueExpression', 'claims') };
  });
  const groups = readSource(fields, 'groups', { hasPrefix: true });
  return { username, groups, uid: readSource(fields, 'uid', { hasPrefix: false }), extra };
}

function readSource(
  parent: Fields,
  name: string,
  { hasPrefix }: { readonly hasPrefix: boolean },
): ClaimSource | undefined {
  const fields = parent.object(name)?.only('claim', 'expression', ...(hasPrefix ? ['prefix'] : []));
  if (fields === undefined) return undefined;
  const claim = fields.string('claim');
  if (fields.has('expression')) {
    if (claim !== '' || fields.has('prefix'))
      throw fields.invalid('', "Invalid value: claim and prefix can't be set when expression is");
    return { program: compile(fields, 'expression', 'claims') };
  }
  if (claim === '') throw fields.invalid('', 'Required value: claim or expression is required');
  if (hasPrefix && !fields.has('prefix'))
    throw fields.invalid(
      'prefix',
      'Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing',
    );
  return { claim, prefix: fields.string('prefix') };
}

function readRule(fields: Fields, variable: 'claims' | 'user'): ClaimRule {
  fields.only('expression', 'message', ...(variable === 'claims' ? ['claim', 'requiredValue'] : []));
  if (variable === 'claims' && fields.has('claim')) {
    if (fields.has('expression') || fields.has('message'))
      throw fields.invalid('', "Invalid value: claim and expression can't both be set");
    return { claim: fields.required('claim'), requiredValue: fields.string('requiredValue') };
  }
  return { program: compile(fields, 'expression', variable, 'bool'), message: fields.string('message') };
}

function compile(fields: Fields, name: string, variable: string, type?: string): CelProgram {
  const expression = fields.required(name);
  try {
    return compileCel(celEnvironment([variable]), expression, type);
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    throw fields.invalid(name, `Invalid value: ${JSON.stringify(expression)}: ${error.message}`);
  }
}

/** An address is a name only where it is looked at whether it was verified. */
function requireVerifiedEmail(
  fields: Fields,
  { mappings, claimRules }: { readonly mappings: ClaimMappings; readonly claimRules: readonly ClaimRule[] },
): void {
  const { username, extra } = mappings;
  if (!('program' in username) || !/\bclaims\.email\b/u.test(username.program.expression)) return;
  const rules = claimRules.flatMap((rule) => ('program' in rule ? [rule.program] : []));
  const programs = [username.program, ...extra.map(({ program }) => program), ...rules];
  if (programs.some(({ expression }) => /\bclaims\.\??email_verified\b/u.test(expression))) return;
  throw fields.invalid(
    'username.expression',
    'Invalid value: claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
  );
}
