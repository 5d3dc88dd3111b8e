/**
 * node:http and node:https. An `import` of these reads each of their exports, and with that of WebSocket loads Node's own HTTP
 * client, which nothing here uses: 18 ms of each process's start.
 */
export const http = process.getBuiltinModule('node:http');
export const https = process.getBuiltinModule('node:https');

function compileSchema(): never {
  throw new Error('routes have no schemas here');
}

/** fastify's `schemaController` where no route has a schema: its compilers, ajv among them, are not loaded. */
export const withoutSchemas = {
  compilersFactory: { buildValidator: () => compileSchema, buildSerializer: () => compileSchema },
};
