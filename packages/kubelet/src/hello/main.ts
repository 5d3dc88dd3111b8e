// The program of the image naru.dev/hello: answers each request with who it is, and lets go of its clients on SIGTERM.
import { createServer } from 'node:http';

const host = process.env['POD_IP'] ?? '127.0.0.1';
const port = Number(process.env['PORT'] ?? 8080);
const pod = process.env['POD_NAME'] ?? process.env['HOSTNAME'] ?? 'unknown';
const node = process.env['NODE_NAME'] ?? 'unknown';
const version = process.env['VERSION'] ?? 'unknown';

let stopping = false;
const server = createServer((request, response) => {
  // A client that would reuse the connection is told not to once the server goes away.
  if (stopping) response.setHeader('connection', 'close');
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  if (request.url === '/healthz') {
    response.end('ok\n');
    return;
  }
  const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`;
  process.stdout.write(`${line}\n`);
  response.end(`hello from ${pod}\nnode: ${node}\nversion: ${version}\nrequest: ${line}\n`);
});

server.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
server.listen({ host, port }, () => process.stdout.write(`listening on http://${host}:${port}\n`));

// Proxies learn of a pod's end a moment after it: until then new connections still come.
const drainMs = Number(process.env['DRAIN_MS'] ?? 1000);

process.on('SIGTERM', () => {
  stopping = true;
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  }, drainMs);
});
