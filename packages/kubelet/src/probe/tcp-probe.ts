import { connect } from 'node:net';
import { describeNetworkError, type ProbeAnswer } from './http-probe.ts';

/** Success if a connection can be made. */
export async function probeTcp(host: string, port: number, timeoutMs: number): Promise<ProbeAnswer> {
  return await new Promise<ProbeAnswer>((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(timeoutMs);
    const finish = (answer: ProbeAnswer): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => finish({ result: 'success', output: '' }));
    socket.once('timeout', () => finish({ result: 'failure', output: `dial tcp ${host}:${port}: i/o timeout` }));
    socket.once('error', (error) => finish({ result: 'failure', output: describeNetworkError(error, { host, port }) }));
  });
}
