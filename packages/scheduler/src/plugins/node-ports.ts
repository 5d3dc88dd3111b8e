import { unschedulable, type Plugin } from '../framework/plugin.ts';

/** Keeps pods off nodes where another pod has one of their host ports. */
export const nodePorts: Plugin = {
  name: 'NodePorts',
  events: [
    {
      kind: 'AssignedPodDelete',
      hint: (pod, event) =>
        event.kind === 'AssignedPodDelete' &&
        event.pod.hostPorts.some((freed) =>
          pod.hostPorts.some(
            (wanted) =>
              wanted.hostPort === freed.hostPort &&
              wanted.protocol === freed.protocol &&
              (wanted.hostIP === freed.hostIP || wanted.hostIP === '0.0.0.0' || freed.hostIP === '0.0.0.0'),
          ),
        ),
    },
    { kind: 'NodeAdd' },
  ],
  preFilter(pod) {
    return pod.hostPorts.length === 0 ? { kind: 'skip' } : { kind: 'filter', state: undefined };
  },
  filter(pod, node) {
    return pod.hostPorts.some((port) => node.portTaken(port))
      ? unschedulable("node(s) didn't have free ports for the requested pod ports")
      : undefined;
  },
};
