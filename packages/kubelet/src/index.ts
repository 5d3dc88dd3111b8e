export { Kubelet, kubeletVersion, type KubeletOptions } from './kubelet.ts';
export * from './runtime/runtime-service.ts';
