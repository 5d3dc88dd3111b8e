/** What is logged of requests (audit.k8s.io/v1 Event). */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { formatMicroTime } from '@naru/api';
import type { Clock } from '@naru/component';
import { parse } from 'yaml';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { RequestInfo } from '../server/request-info.ts';
import type { AuditLog } from './audit-log.ts';
import type { AuditDecision, AuditPolicy, AuditStage } from './audit-policy.ts';

/** Longest body that an event holds. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;

export interface AuditedRequest {
  readonly info: RequestInfo;
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  /** Undefined: nobody, as authentication refused. */
  readonly user: UserInfo | undefined;
  readonly impersonated?: UserInfo | undefined;
  readonly longRunning: boolean;
}

/** One request's entry in the log. */
export interface AuditEntry {
  annotate(key: string, value: string): void;
  /** Tells of the body, once it is read. */
  received(body: Buffer | undefined): void;
}

export class Auditor {
  readonly #policy: AuditPolicy;
  readonly #log: AuditLog;
  readonly #clock: Clock;

  constructor(policy: AuditPolicy, log: AuditLog, clock: Clock) {
    this.#policy = policy;
    this.#log = log;
    this.#clock = clock;
  }

  /** Logs the request as it goes on; undefined: it is none of the log's business. */
  begin(request: AuditedRequest): AuditEntry | undefined {
    const { info, raw, response, user, impersonated, longRunning } = request;
    const who = user ?? { name: '', groups: [] };
    const decision = this.#policy.decide(info, impersonated ?? who);
    if (decision.level === 'None') return undefined;
    const annotations: Record<string, string> = {};
    const given = raw.headers['audit-id'];
    const auditID = typeof given === 'string' && given !== '' ? given : randomUUID();
    if (!response.headersSent) response.setHeader('audit-id', auditID);
    const received = formatMicroTime(this.#clock.now());
    const bodies: { requestObject?: unknown; responseObject?: unknown } = {};
    const log = (stage: AuditStage, more: object = {}): void => {
      if (decision.omitStages.has(stage)) return;
      this.#log.write({
        kind: 'Event',
        apiVersion: 'audit.k8s.io/v1',
        level: decision.level,
        auditID,
        stage,
        requestURI: raw.url ?? '',
        verb: info.verb,
        user: userOf(who),
        ...(impersonated === undefined ? {} : { impersonatedUser: userOf(impersonated) }),
        sourceIPs: [raw.socket.remoteAddress ?? ''],
        ...(raw.headers['user-agent'] === undefined ? {} : { userAgent: raw.headers['user-agent'] }),
        ...(info.isResourceRequest ? { objectRef: referenceOf(info) } : {}),
        ...more,
        requestReceivedTimestamp: received,
        stageTimestamp: formatMicroTime(this.#clock.now()),
        ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      });
    };
    log('RequestReceived');
    if (decision.level === 'RequestResponse') captureResponse(response, (body) => (bodies.responseObject = body));
    if (longRunning && !decision.omitStages.has('ResponseStarted'))
      onceStarted(response, () => log('ResponseStarted', { ...bodies, responseStatus: statusOf(response, undefined) }));
    response.once('close', () => {
      const clean = cleaned(bodies, decision);
      log('ResponseComplete', { ...clean, responseStatus: statusOf(response, bodies.responseObject) });
    });
    return {
      annotate: (key, value) => {
        annotations[key] = value;
      },
      received: (body) => {
        if (decision.level === 'Metadata' || body === undefined || body.length > BODY_BYTES_MAX) return;
        bodies.requestObject = parsed(body);
      },
    };
  }
}

function userOf({ name, uid, groups, extra }: UserInfo): object {
  return {
    username: name,
    ...(uid === undefined || uid === '' ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(extra === undefined ? {} : { extra }),
  };
}

function referenceOf({ group, version, resource, namespace, name, subresource }: RequestInfo): object {
  return {
    resource,
    ...(namespace === '' ? {} : { namespace }),
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { apiGroup: group }),
    apiVersion: version,
    ...(subresource === '' ? {} : { subresource }),
  };
}

function statusOf({ statusCode }: ServerResponse, body: unknown): object {
  const { kind, status, message, reason } = (body ?? {}) as Record<string, unknown>;
  return { metadata: {}, ...(kind === 'Status' ? { status, message, reason } : {}), code: statusCode };
}

function parsed(body: Buffer): unknown {
  const text = body.toString();
  try {
    return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : parse(text);
  } catch {
    // What cannot be read is not an object; the request fails for it.
    return undefined;
  }
}

function cleaned<T extends object>(bodies: T, { omitManagedFields }: AuditDecision): T {
  if (!omitManagedFields) return bodies;
  return JSON.parse(
    JSON.stringify(bodies, (key, value: unknown) => (key === 'managedFields' ? undefined : value)),
  ) as T;
}

/** Keeps the JSON of an answer that is written at once; streams are not kept. */
function captureResponse(response: ServerResponse, keep: (body: unknown) => void): void {
  const end = response.end.bind(response) as (...args: unknown[]) => ServerResponse;
  response.end = ((...args: unknown[]) => {
    const [chunk] = args;
    const isJson = String(response.getHeader('content-type') ?? '').startsWith('application/json');
    const isPlain = response.getHeader('content-encoding') === undefined;
    if (
      isJson &&
      isPlain &&
      (typeof chunk === 'string' || chunk instanceof Uint8Array) &&
      chunk.length <= BODY_BYTES_MAX
    )
      keep(parsed(Buffer.from(chunk as Uint8Array)));
    return end(...args);
  }) as typeof response.end;
}

function onceStarted(response: ServerResponse, tell: () => void): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  let told = false;
  response.writeHead = (...args: unknown[]) => {
    const result = writeHead(...args);
    if (!told) tell();
    told = true;
    return result;
  };
}
