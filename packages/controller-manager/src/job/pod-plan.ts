/** The pod of a Job. */
import { jobs, type Job, type Pod } from '@naru/api';
import { podFromTemplate } from '../pod/pod-from-template-plan.ts';
import { INDEX } from './indexes-plan.ts';
import { TRACKING_FINALIZER } from './plan.ts';

export function podOf(job: Job, index: number | undefined): Pod {
  const pod = podFromTemplate(job.spec?.template ?? {}, job, jobs);
  const { metadata, spec } = pod;
  const finalizers = [...(metadata.finalizers ?? []), TRACKING_FINALIZER];
  if (index === undefined || spec === undefined) return { ...pod, metadata: { ...metadata, finalizers } };
  const env = {
    name: 'JOB_COMPLETION_INDEX',
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.annotations['${INDEX}']` } },
  };
  const withEnv = (containers: typeof spec.containers): typeof spec.containers =>
    containers.map((each) =>
      each.env?.some(({ name }) => name === env.name) === true ? each : { ...each, env: [...(each.env ?? []), env] },
    );
  return {
    ...pod,
    metadata: {
      ...metadata,
      generateName: `${job.metadata.name}-${index}-`,
      finalizers,
      annotations: { ...metadata.annotations, [INDEX]: String(index) },
      labels: { ...metadata.labels, [INDEX]: String(index) },
    },
    spec: {
      ...spec,
      hostname: `${job.metadata.name}-${index}`,
      containers: withEnv(spec.containers),
      ...(spec.initContainers === undefined ? {} : { initContainers: withEnv(spec.initContainers) }),
    },
  };
}
