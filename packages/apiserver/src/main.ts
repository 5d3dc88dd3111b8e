import { runMain, systemClock } from '@naru/component';
import { readConfig } from './config.ts';
import { apiserverFlags } from './flags.ts';
import { ApiServer } from './server.ts';

await runMain({
  name: 'kube-apiserver',
  description: 'Serves the Kubernetes API from an etcd v3 store.',
  flags: apiserverFlags,
  async start(flags, { logger, signal }) {
    const server = new ApiServer({
      config: await readConfig(flags),
      logger,
      clock: systemClock,
      random: Math.random,
    });
    try {
      await server.start(signal);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  },
});
