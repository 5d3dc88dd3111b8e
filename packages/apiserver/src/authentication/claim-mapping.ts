/** From the claims of an ID token to a user: as flags say it, or as a JWTAuthenticator does. */
import type { Claims } from '@naru/component';
import { CelError, type CelProgram } from '../cel/cel-program.ts';
import { fromCel, toCel } from '../cel/cel-values.ts';
import type { UserInfo } from './authenticator.ts';

/** @throws ClaimError. */
export type MapClaims = (claims: Claims) => UserInfo;

/** Why the claims of a token are no user's. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';
}

/** What a value is taken from. */
export type ClaimSource = { readonly claim: string; readonly prefix: string } | { readonly program: CelProgram };

export interface ClaimMappings {
  readonly username: ClaimSource;
  readonly groups?: ClaimSource | undefined;
  readonly uid?: ClaimSource | undefined;
  readonly extra: readonly { readonly key: string; readonly program: CelProgram }[];
}

/** What must hold: a claim's value, or an expression. */
export type ClaimRule =
  | { readonly claim: string; readonly requiredValue: string }
  | { readonly program: CelProgram; readonly message: string };

export interface ClaimMappingOptions {
  readonly mappings: ClaimMappings;
  /** They see `claims`. */
  readonly claimRules: readonly ClaimRule[];
  /** They see `user`. */
  readonly userRules: readonly ClaimRule[];
}

export function claimMapping({ mappings, claimRules, userRules }: ClaimMappingOptions): MapClaims {
  return (claims) => {
    const variables = { claims: toCel(claims) };
    for (const rule of claimRules) check(rule, claims, variables);
    const name = stringOf(mappings.username, claims, variables);
    if (name === '') throw new ClaimError('oidc: the username is empty');
    const uid = mappings.uid === undefined ? '' : stringOf(mappings.uid, claims, variables);
    const groups = mappings.groups === undefined ? [] : stringsOf(mappings.groups, claims, variables);
    const extra: Record<string, readonly string[]> = {};
    for (const { key, program } of mappings.extra) {
      const values = stringList(valueOf(program, variables), key);
      if (values.length > 0) extra[key] = values;
    }
    const user = {
      name,
      groups,
      ...(uid === '' ? {} : { uid }),
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    };
    const shown = { user: toCel({ username: name, uid, groups, extra }) };
    for (const rule of userRules) check(rule, claims, shown);
    return user;
  };
}

type Variables = Readonly<Record<string, unknown>>;

function valueOf(program: CelProgram, variables: Variables): unknown {
  try {
    return fromCel(program.evaluate(variables));
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    throw new ClaimError(`oidc: expression '${program.expression}' resulted in error: ${error.message}`);
  }
}

function check(rule: ClaimRule, claims: Claims, variables: Variables): void {
  if ('program' in rule) {
    if (valueOf(rule.program, variables) === true) return;
    const { message } = rule;
    throw new ClaimError(
      `validation expression '${rule.program.expression}' failed${message === '' ? '' : `: ${message}`}`,
    );
  }
  const { claim, requiredValue } = rule;
  if (claims[claim] === undefined) throw new ClaimError(`oidc: required claim ${claim} not present in ID token`);
  if (claims[claim] !== requiredValue)
    throw new ClaimError(
      `oidc: required claim ${claim} value does not match. Got = ${JSON.stringify(claims[claim])}, want = ${requiredValue}`,
    );
}

function stringOf(source: ClaimSource, claims: Claims, variables: Variables): string {
  if ('program' in source) {
    const value = valueOf(source.program, variables);
    if (typeof value === 'string') return value;
    throw new ClaimError(`oidc: expression '${source.program.expression}' must be a string`);
  }
  const { claim, prefix } = source;
  const value = claims[claim];
  if (typeof value !== 'string' || value === '') throw new ClaimError(`oidc: parse claim "${claim}": no string`);
  // Who has an address that nobody has verified may be anybody.
  if (claim === 'email' && claims['email_verified'] !== undefined && claims['email_verified'] !== true)
    throw new ClaimError('oidc: email not verified');
  return prefix + value;
}

function stringsOf(source: ClaimSource, claims: Claims, variables: Variables): readonly string[] {
  if ('program' in source) return stringList(valueOf(source.program, variables), 'groups');
  return stringList(claims[source.claim], source.claim).map((each) => source.prefix + each);
}

/** A string is a list of one; nothing, and an empty string, of none. */
function stringList(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null || value === '') return [];
  const values = [value].flat();
  if (!values.every((each) => typeof each === 'string'))
    throw new ClaimError(`oidc: ${what} must be a string or a list of strings`);
  return values;
}
