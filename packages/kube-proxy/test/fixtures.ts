import type { EndpointSlice, Service } from '@naru/api';

export function newService(spec: NonNullable<Service['spec']>, name = 'web'): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { ports: [{ port: 80 }], ...spec },
  };
}

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

export function newSlice(
  endpoints: readonly (Partial<SliceEndpoint> & { readonly address: string })[],
  options: {
    readonly name?: string;
    readonly service?: string;
    readonly ports?: NonNullable<EndpointSlice['ports']>;
    readonly addressType?: string;
  } = {},
): EndpointSlice {
  const service = options.service ?? 'web';
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: options.name ?? `${service}-1`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: options.addressType ?? 'IPv4',
    endpoints: endpoints.map(({ address, ...rest }) => ({
      conditions: { ready: true },
      ...rest,
      addresses: [address],
    })),
    ports: options.ports ?? [{ port: 8080, protocol: 'TCP' }],
  };
}
