/** `authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()`. */
import { type Environment } from '@marcbachmann/cel-js';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { Authorizer } from '../authorization/authorizer.ts';

interface Check {
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** The variable `authorizer`: asks on behalf of a user. */
export class AuthorizerValue {
  readonly authorizer: Authorizer;
  readonly user: UserInfo;

  constructor(authorizer: Authorizer, user: UserInfo) {
    this.authorizer = authorizer;
    this.user = user;
  }
}

class PathCheck extends AuthorizerValue {
  readonly path: string;
  constructor(from: AuthorizerValue, path: string) {
    super(from.authorizer, from.user);
    this.path = path;
  }
}

class GroupCheck extends AuthorizerValue {
  readonly group: string;
  constructor(from: AuthorizerValue, group: string) {
    super(from.authorizer, from.user);
    this.group = group;
  }
}

/** What `authorizer.requestResource` and `authorizer.group(…).resource(…)` are. */
export class ResourceCheck extends AuthorizerValue {
  readonly check: Check;
  constructor(from: AuthorizerValue, check: Check) {
    super(from.authorizer, from.user);
    this.check = check;
  }
}

class Decision {
  readonly allowed: boolean;
  readonly reason: string;
  constructor(allowed: boolean, reason: string) {
    this.allowed = allowed;
    this.reason = reason;
  }
}

function checkPath({ authorizer, user, path }: PathCheck, verb: string): Decision {
  const { decision, reason } = authorizer.authorize({
    user,
    verb,
    isResourceRequest: false,
    path,
    group: '',
    version: '',
    resource: '',
    subresource: '',
    namespace: '',
    name: '',
  });
  return new Decision(decision === 'allow', reason);
}

function checkResource({ authorizer, user, check }: ResourceCheck, verb: string): Decision {
  const { group = '', resource = '', subresource = '', namespace = '', name = '' } = check;
  const attributes = { user, verb, isResourceRequest: true, path: '', version: '*' };
  const { decision, reason } = authorizer.authorize({ ...attributes, group, resource, subresource, namespace, name });
  return new Decision(decision === 'allow', reason);
}

export function registerAuthorizerFunctions(environment: Environment): void {
  const prefix = 'kubernetes.authorization';
  const refine =
    (field: keyof Check) =>
    (check: ResourceCheck, value: string): ResourceCheck =>
      new ResourceCheck(check, { ...check.check, [field]: value });
  environment
    .registerType(`${prefix}.Authorizer`, { ctor: AuthorizerValue, fields: {} })
    .registerType(`${prefix}.PathCheck`, { ctor: PathCheck, fields: {} })
    .registerType(`${prefix}.GroupCheck`, { ctor: GroupCheck, fields: {} })
    .registerType(`${prefix}.ResourceCheck`, { ctor: ResourceCheck, fields: {} })
    .registerType(`${prefix}.Decision`, { ctor: Decision, fields: {} })
    .registerFunction(
      `${prefix}.Authorizer.path(string): ${prefix}.PathCheck`,
      (from: AuthorizerValue, path: string) => new PathCheck(from, path),
    )
    .registerFunction(
      `${prefix}.Authorizer.group(string): ${prefix}.GroupCheck`,
      (from: AuthorizerValue, group: string) => new GroupCheck(from, group),
    )
    .registerFunction(
      `${prefix}.GroupCheck.resource(string): ${prefix}.ResourceCheck`,
      (from: GroupCheck, resource: string) => new ResourceCheck(from, { group: from.group, resource }),
    );
  for (const field of ['subresource', 'namespace', 'name'] as const)
    environment.registerFunction(`${prefix}.ResourceCheck.${field}(string): ${prefix}.ResourceCheck`, refine(field));
  environment
    .registerFunction(`${prefix}.PathCheck.check(string): ${prefix}.Decision`, checkPath)
    .registerFunction(`${prefix}.ResourceCheck.check(string): ${prefix}.Decision`, checkResource)
    .registerFunction(`${prefix}.Decision.allowed(): bool`, ({ allowed }: Decision) => allowed)
    .registerFunction(`${prefix}.Decision.reason(): string`, ({ reason }: Decision) => reason)
    .registerFunction(`${prefix}.Decision.errored(): bool`, () => false)
    .registerFunction(`${prefix}.Decision.error(): string`, () => '');
}
