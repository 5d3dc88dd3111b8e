/**
 * Differences that no rule explains, each by its request and place, under its reason. Whoever makes one go away deletes its
 * line, as the test demands; none may be added without a reason.
 */
export const singleDifferences: ReadonlySet<string> = new Set([
  // Conflicts of server-side apply come in another order.
  'endpoints: apply against another manager @ message',
  // A zero that Go always writes is nobody’s even where its schema does not require it.
  'priorityclasses.scheduling.k8s.io: create nothing but a name @ body.metadata.managedFields.corpus Update scheduling.k8s.io/v1.fields.f:value',
  // Watches tell what the answers before them differed in.
  'persistentvolumes: watch all that happened @ body',
  'persistentvolumeclaims: watch all that happened @ body',
  'pods: watch its life @ body',
  // A field that cannot be selected by is refused in one wording for all kinds with fields of their own.
  'replicasets.apps: list by a field that is none @ message',
  'jobs.batch: list by a field that is none @ message',
  // Templates of StatefulSets are checked as those of all workloads.
  'statefulsets.apps: create nothing but a name @ message',
  // Events are stored and checked as those of the core group, by whichever group they come: the stricter rules of
  // events.k8s.io/v1 and its name in messages are lacking.
  'events.events.k8s.io: create again @ message',
  'events.events.k8s.io: create with a bad name @ outcome',
  'events.events.k8s.io: create nothing but a name @ message',
  'events.events.k8s.io: get what is not there @ message',
  'events.events.k8s.io: update with an old version @ message',
  'events.events.k8s.io: merge patch with an old version @ message',
  'events.events.k8s.io: patch of what is not there @ message',
  'events.events.k8s.io: delete again @ message',
  // A PUT makes no RuntimeClass.
  'runtimeclasses.node.k8s.io: update of what is not there @ outcome',
  // Upstream names the resource of the request instead of the one that is not there.
  'pods: a budget that allows nothing @ message',
  // Finalizing a namespace that is final already is a write.
  'limits: finalize the namespace @ body.metadata.resourceVersion',
  // Groups without a user are the client’s fault.
  'access: groups without a user @ outcome',
  // Rules that are not held are told one by one, not by resource.
  'access: joe binds a role of more than he has @ message',
  // HEAD is answered as GET is.
  'server: head of a collection @ outcome',
  // A body of null is no object.
  'server: null @ outcome',
  // JSON patches and directives of strategic merge patches are taken more strictly.
  'server: patch that replaces nothing @ outcome',
  'server: patch strategic with a replacement @ outcome',
  'server: patch strategic with a bad directive @ outcome',
]);
