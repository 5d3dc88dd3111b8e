/** Authentication, authorization and admission, as the flags want them. */
import { UsageError, type Clock } from '@naru/component';
import type { AdmissionPlugin } from './admission/admission.ts';
import { createAdmissionPlugins } from './admission/admission-plugins.ts';
import type { Authenticator } from './authentication/authenticator.ts';
import { createAuthenticator } from './authentication/cluster-authenticator.ts';
import { parseTokenFile } from './authentication/token-file-authenticator.ts';
import type { Authorizer } from './authorization/authorizer.ts';
import { authorizationModes, createAuthorizer, type AuthorizationMode } from './authorization/cluster-authorizer.ts';
import type { ApiserverConfig } from './config.ts';
import type { ObjectObserver } from './registry/object-observer.ts';

export interface Security {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly admission: readonly AdmissionPlugin[];
  readonly observers: readonly ObjectObserver[];
}

/** @throws UsageError. */
export function createSecurity(
  config: ApiserverConfig,
  options: { readonly clock: Clock; readonly random: () => number },
): Security {
  const authenticator = createAuthenticator({
    clientCertificates: config.tls?.clientCa !== undefined,
    ...(config.tokens === undefined ? {} : { tokens: parseTokenFile(config.tokens) }),
  });
  const modes = config.authorizationModes.map((mode) => {
    const known = authorizationModes.find((each) => each === mode);
    if (known === undefined) throw new UsageError(`--authorization-mode: unknown mode ${JSON.stringify(mode)}`);
    return known satisfies AuthorizationMode;
  });
  const authorizer = createAuthorizer({ modes });
  const admission = createAdmissionPlugins({
    enable: config.enableAdmissionPlugins,
    disable: config.disableAdmissionPlugins,
    ...options,
  });
  return { authenticator, authorizer, admission, observers: [authorizer] };
}
