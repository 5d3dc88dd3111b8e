import {
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  isHttpHeaderName,
  type Container,
  type FieldError,
  type IntOrString,
  type Probe,
} from '@naru/api';
import {
  invalidAll,
  nonNegative,
  optionalOneOf,
  portNumber,
  portNumberOrName,
  positive,
  required,
} from './field-rules.ts';

interface Handler {
  exec?: { command?: string[] };
  httpGet?: { path?: string; port: IntOrString; scheme?: string; httpHeaders?: { name: string; value: string }[] };
  tcpSocket?: { port: IntOrString };
  grpc?: { port: number };
  sleep?: { seconds: number };
}

const handlerTypes = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;

function validateHandler(path: string, handler: Handler, graceSeconds?: number): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  for (const type of handlerTypes) {
    if (handler[type] === undefined) continue;
    count++;
    if (count > 1) errors.push(fieldForbidden(`${path}.${type}`, 'may not specify more than 1 handler type'));
    else errors.push(...validateAction(`${path}.${type}`, type, handler, graceSeconds));
  }
  if (count === 0) errors.push(fieldRequired(path, 'must specify a handler type'));
  return errors;
}

function validateAction(
  path: string,
  type: (typeof handlerTypes)[number],
  { exec, httpGet, tcpSocket, grpc, sleep }: Handler,
  graceSeconds: number | undefined,
): FieldError[] {
  switch (type) {
    case 'exec':
      return (exec?.command ?? []).length === 0 ? [fieldRequired(`${path}.command`)] : [];
    case 'httpGet':
      return httpGet === undefined
        ? []
        : [
            ...required(`${path}.path`, httpGet.path),
            ...portNumberOrName(`${path}.port`, httpGet.port),
            ...optionalOneOf(`${path}.scheme`, httpGet.scheme, ['HTTP', 'HTTPS']),
            ...(httpGet.httpHeaders ?? []).flatMap(({ name }) =>
              invalidAll(`${path}.httpHeaders`, name, isHttpHeaderName(name)),
            ),
          ];
    case 'tcpSocket':
      return portNumberOrName(`${path}.port`, tcpSocket?.port ?? 0);
    case 'grpc':
      return portNumber(`${path}.port`, grpc?.port ?? 0);
    default: {
      const seconds = sleep?.seconds ?? 0;
      if (seconds >= 0 && (graceSeconds === undefined || seconds <= graceSeconds)) return [];
      return [
        fieldInvalid(
          path,
          seconds,
          `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds}). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep.`,
        ),
      ];
    }
  }
}

function validateProbe(path: string, probe: Probe | undefined): FieldError[] {
  if (probe === undefined) return [];
  return [
    ...validateHandler(path, probe),
    ...nonNegative(`${path}.initialDelaySeconds`, probe.initialDelaySeconds),
    ...nonNegative(`${path}.timeoutSeconds`, probe.timeoutSeconds),
    ...nonNegative(`${path}.periodSeconds`, probe.periodSeconds),
    ...nonNegative(`${path}.successThreshold`, probe.successThreshold),
    ...nonNegative(`${path}.failureThreshold`, probe.failureThreshold),
    ...positive(`${path}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds),
  ];
}

/** The three probes of a container; liveness and startup succeed at the first success. */
export function validateProbes(path: string, container: Container): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    errors.push(...validateProbe(`${path}.${name}`, probe));
    if (probe === undefined) continue;
    if (name !== 'readinessProbe' && (probe.successThreshold ?? 1) !== 1)
      errors.push(fieldInvalid(`${path}.${name}.successThreshold`, probe.successThreshold, 'must be 1'));
    if (name === 'readinessProbe' && probe.terminationGracePeriodSeconds !== undefined)
      errors.push(
        fieldInvalid(
          `${path}.${name}.terminationGracePeriodSeconds`,
          probe.terminationGracePeriodSeconds,
          'must not be set for readinessProbes',
        ),
      );
  }
  return errors;
}

export function validateLifecycle(path: string, container: Container, graceSeconds: number | undefined): FieldError[] {
  const { postStart, preStop } = container.lifecycle ?? {};
  return [
    ...(postStart === undefined ? [] : validateHandler(`${path}.lifecycle.postStart`, postStart, graceSeconds)),
    ...(preStop === undefined ? [] : validateHandler(`${path}.lifecycle.preStop`, preStop, graceSeconds)),
  ];
}
