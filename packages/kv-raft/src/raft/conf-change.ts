import type { ConfState } from './message.ts';

/**
 * Changes of the configuration (Raft thesis, chapter 4): one voter at a time, or any number by way of a joint
 * configuration, in which both the old and the new majority must agree.
 */
export interface ConfChange {
  /** `auto`: joint only where it is needed. `joint-implicit` leaves by itself, `joint-explicit` waits for an empty change. */
  readonly transition: 'auto' | 'joint-implicit' | 'joint-explicit';
  /** None: leave the joint configuration. */
  readonly changes: readonly ConfChangeSingle[];
  /** Opaque to the core: what the driver keeps of the member. */
  readonly context: Uint8Array;
}

export interface ConfChangeSingle {
  readonly type: 'add-voter' | 'add-learner' | 'remove';
  readonly id: bigint;
}

/** A configuration in force. Invariant: no id is both a voter (of either half) and a learner. */
export interface Config {
  readonly voters: ReadonlySet<bigint>;
  readonly votersOutgoing: ReadonlySet<bigint>;
  readonly learners: ReadonlySet<bigint>;
  readonly learnersNext: ReadonlySet<bigint>;
  readonly autoLeave: boolean;
}

export const emptyConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export function configOf(state: ConfState): Config {
  return {
    voters: new Set(state.voters),
    votersOutgoing: new Set(state.votersOutgoing),
    learners: new Set(state.learners),
    learnersNext: new Set(state.learnersNext),
    autoLeave: state.autoLeave,
  };
}

function sorted(ids: ReadonlySet<bigint>): bigint[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function confStateOf(config: Config): ConfState {
  return {
    voters: sorted(config.voters),
    votersOutgoing: sorted(config.votersOutgoing),
    learners: sorted(config.learners),
    learnersNext: sorted(config.learnersNext),
    autoLeave: config.autoLeave,
  };
}

export function isJoint(config: Config): boolean {
  return config.votersOutgoing.size > 0;
}

export function isVoter(config: Config, id: bigint): boolean {
  return config.voters.has(id) || config.votersOutgoing.has(id);
}

/** All members, voters first, each once. */
export function memberIds(config: Config): bigint[] {
  return [...new Set([...config.voters, ...config.votersOutgoing, ...config.learners, ...config.learnersNext])];
}

export type ConfChangeOutcome =
  | { readonly ok: true; readonly config: Config }
  /** The change cannot be made in this configuration; it is skipped, by every member alike. */
  | { readonly ok: false; readonly reason: string };

/** The configuration after `change`. Every member computes the same, from the same log. */
export function changeConfig(config: Config, change: ConfChange): ConfChangeOutcome {
  if (change.changes.length === 0) return leaveJoint(config);
  if (isJoint(config)) return { ok: false, reason: 'the configuration is joint' };
  const joint = change.transition !== 'auto' || change.changes.length > 1;
  const votersOutgoing = joint ? new Set(config.voters) : new Set<bigint>();
  const voters = new Set(config.voters);
  const learners = new Set(config.learners);
  const learnersNext = new Set<bigint>();
  for (const { type, id } of change.changes) {
    voters.delete(id);
    learners.delete(id);
    learnersNext.delete(id);
    if (type === 'add-voter') voters.add(id);
    // Who still votes in the outgoing half becomes a learner when that half is left.
    else if (type === 'add-learner') (votersOutgoing.has(id) ? learnersNext : learners).add(id);
  }
  if (voters.size === 0) return { ok: false, reason: 'the last voter cannot be removed' };
  const autoLeave = joint && change.transition !== 'joint-explicit';
  return { ok: true, config: { voters, votersOutgoing, learners, learnersNext, autoLeave } };
}

function leaveJoint(config: Config): ConfChangeOutcome {
  if (!isJoint(config)) return { ok: false, reason: 'the configuration is not joint' };
  return {
    ok: true,
    config: {
      voters: config.voters,
      votersOutgoing: new Set(),
      learners: new Set([...config.learners, ...config.learnersNext]),
      learnersNext: new Set(),
      autoLeave: false,
    },
  };
}

/*
 * conf-change := transition:u8 count:u32 (type:u8 id:u64)* context:rest      big-endian
 */
const transitions = ['auto', 'joint-implicit', 'joint-explicit'] as const;
const singleTypes = ['add-voter', 'add-learner', 'remove'] as const;
const HEAD_BYTES = 5;
const SINGLE_BYTES = 9;

export function encodeConfChange(change: ConfChange): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + change.changes.length * SINGLE_BYTES + change.context.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, transitions.indexOf(change.transition));
  view.setUint32(1, change.changes.length);
  let at = HEAD_BYTES;
  for (const { type, id } of change.changes) {
    view.setUint8(at, singleTypes.indexOf(type));
    view.setBigUint64(at + 1, id);
    at += SINGLE_BYTES;
  }
  bytes.set(change.context, at);
  return bytes;
}

/** @throws RangeError when the bytes are no conf-change */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const transition = transitions[view.getUint8(0)];
  const count = view.getUint32(1);
  if (transition === undefined || count > bytes.length / SINGLE_BYTES) throw new RangeError('not a conf-change');
  const changes: ConfChangeSingle[] = [];
  let at = HEAD_BYTES;
  for (let i = 0; i < count; i++, at += SINGLE_BYTES) {
    const type = singleTypes[view.getUint8(at)];
    if (type === undefined) throw new RangeError('not a conf-change');
    changes.push({ type, id: view.getBigUint64(at + 1) });
  }
  return { transition, changes, context: bytes.subarray(at) };
}
