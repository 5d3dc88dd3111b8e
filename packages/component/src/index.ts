export { backoffMs, type BackoffOptions } from './backoff.ts';
export { systemClock, type Cancel, type Clock } from './clock.ts';
export { formatDefault, helpText, parseDuration, parseFlags, UsageError } from './flags.ts';
export type { FlagDefinition, FlagTable, FlagValues } from './flags.ts';
export { HealthServer, type HealthCheck, type HealthServerOptions } from './health-server.ts';
export { decodeJwt, jwsAlgorithmOf, keyIdOf, signJwt, verifyJwt, type Claims } from './jwt.ts';
export { createLogger, logLevels, silentLogger, type Logger, type LogLevel } from './logger.ts';
export { logFlags, runMain, type Component, type MainOptions } from './main.ts';
export { readTlsFiles, type TlsFiles, type TlsMaterial } from './tls.ts';
