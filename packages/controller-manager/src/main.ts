import { runMain } from '@naru/component';
import { controllerManagerFlags } from './flags.ts';
import { startControllerManager } from './server.ts';

await runMain({
  name: 'kube-controller-manager',
  description: 'Runs the control loops that move the cluster towards what its objects ask for.',
  flags: controllerManagerFlags,
  start: startControllerManager,
});
