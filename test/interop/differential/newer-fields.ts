/** What 1.36 says and 1.20 does not know, by the field that holds it. */
export const newerFields: Readonly<Record<string, readonly string[]>> = {
  // 1.21
  labels: ['kubernetes.io/metadata.name', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-name'],
  'f:labels': ['f:kubernetes.io/metadata.name'],
  rollingUpdate: ['maxSurge'],
  parameters: ['scope'],
  // 1.20 with dual stack, 1.21, 1.23, 1.26, 1.27, 1.28, 1.36
  spec: [
    'ipFamilies',
    'ipFamilyPolicy',
    'internalTrafficPolicy',
    'persistentVolumeClaimRetentionPolicy',
    'completionMode',
    'suspend',
    'podReplacementPolicy',
    'requiresRepublish',
    'storageCapacity',
    'seLinuxMount',
  ],
};

/** Fields are owned otherwise since 1.22: by subresource, without what a strategy resets, and maps and structs as a whole. */
export function trackedOtherwise(field: string): boolean {
  return field === 'managedFields';
}
