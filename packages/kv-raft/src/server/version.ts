/** The etcd version whose behaviour and JSON gateway are kept; clients choose features by it. */
export const ETCD_VERSION = '3.4.34';
/** The cluster version that /version tells beside it. */
export const CLUSTER_VERSION = '3.4.0';
