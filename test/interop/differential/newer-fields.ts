/** What 1.36 says and 1.20 does not know, by the field that holds it. */
export const newerFields: Readonly<Record<string, readonly string[]>> = {
  // 1.21
  labels: ['kubernetes.io/metadata.name', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-name'],
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
