import { newControllerRef, type KubeObject, type Pod, type PodTemplateSpec, type Resource } from '@naru/api';

/** The pod that an owner makes from a template; it gets its name from the server. */
export function podFromTemplate(template: PodTemplateSpec, owner: KubeObject, ownerResource: Resource): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${owner.metadata.name}-`,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [newControllerRef(owner, ownerResource)],
    },
    ...(template.spec === undefined ? {} : { spec: template.spec }),
  };
}
