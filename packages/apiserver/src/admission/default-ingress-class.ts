import { ingressClasses, type Ingress } from '@naru/api';
import type { AdmissionPlugin } from './admission.ts';
import { isResource } from './refusal.ts';

const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';
const LEGACY_CLASS = 'kubernetes.io/ingress.class';

/** Ingresses that say nothing of a class get the default one: the newest, and of as new ones the first by name. */
export const defaultIngressClass: AdmissionPlugin = {
  name: 'DefaultIngressClass',
  handles: (operation, resource, subresource) =>
    operation === 'CREATE' && subresource === '' && isResource(resource, 'networking.k8s.io', 'ingresses'),
  admit({ object }, store) {
    const ingress = object as Ingress | undefined;
    if (ingress?.spec === undefined || ingress.spec.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.[LEGACY_CLASS] !== undefined) return;
    const [found] = store
      .list(ingressClasses)
      .filter(({ metadata }) => metadata.annotations?.[DEFAULT_CLASS] === 'true')
      .toSorted((a, b) => {
        const [left, right] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? '');
        if (left !== right) return (left ?? '') < (right ?? '') ? 1 : -1;
        return (a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1;
      });
    if (found !== undefined) ingress.spec.ingressClassName = found.metadata.name ?? '';
  },
};
