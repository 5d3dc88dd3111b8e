import fc from 'fast-check';
import t from 'tap';
import { ByteWriter, DecodeError } from '../../src/codec/bytes.ts';
import { decodeMessage, FRAME_BYTES_MAX, FrameDecoder, writeFrame } from '../../src/peer/message-codec.ts';
import { emptyConfState, encodeConfChange } from '../../src/raft/conf-change.ts';
import type { Message } from '../../src/raft/message.ts';

const head = { from: 0xfedc_ba98_7654_3210n, to: 2n, term: 2 ** 52 };
const confChange = encodeConfChange({
  transition: 'joint-implicit',
  changes: [{ type: 'add-learner', id: 9n }],
  context: Buffer.from('ctx'),
});
const messages: readonly Message[] = [
  { type: 'MsgVote', ...head, index: 7, logTerm: 3, transfer: true },
  { type: 'MsgPreVote', ...head, index: 7, logTerm: 3, transfer: false },
  { type: 'MsgVoteResp', ...head, reject: true },
  { type: 'MsgPreVoteResp', ...head, reject: false },
  {
    type: 'MsgApp',
    ...head,
    index: 41,
    logTerm: 3,
    commit: 40,
    entries: [
      { index: 42, term: 3, type: 'normal', data: Buffer.from('data') },
      { index: 43, term: 4, type: 'conf-change', data: Buffer.from(confChange) },
    ],
  },
  { type: 'MsgAppResp', ...head, index: 9, reject: true, rejectHint: 5, logTerm: 2 },
  { type: 'MsgHeartbeat', ...head, commit: 3, round: 12 },
  { type: 'MsgHeartbeatResp', ...head, round: 12 },
  { type: 'MsgSnap', ...head, snapshot: { index: 5, term: 1, confState: { ...emptyConfState, voters: [1n, 2n] } } },
  { type: 'MsgTimeoutNow', ...head },
  { type: 'MsgTransferLeader', ...head, transferee: 3n },
  { type: 'MsgReadIndex', ...head, context: 77 },
  { type: 'MsgReadIndexResp', ...head, context: 77, index: 8 },
  { type: 'MsgProp', ...head, context: 5, proposals: [{ type: 'normal', data: Buffer.from('p') }] },
  { type: 'MsgPropReject', ...head, context: 5, reason: 'transferring' },
];

function frames(...all: readonly Message[]): Buffer {
  const writer = new ByteWriter();
  for (const message of all) writeFrame(writer, message);
  return Buffer.from(writer.view());
}

await t.test('every kind of message comes back as it was, however the stream is cut', async (t) => {
  const bytes = Buffer.concat([frames(...messages), Buffer.alloc(4), frames(...messages)]);
  for (const size of [1, 2, 3, 5, 17, 100, bytes.length]) {
    const decoder = new FrameDecoder();
    const decoded: Message[] = [];
    let pings = 0;
    for (let at = 0; at < bytes.length; at += size) {
      const part = decoder.push(bytes.subarray(at, at + size));
      decoded.push(...part.messages);
      pings += part.pings;
    }
    t.strictSame(decoded, [...messages, ...messages], `pieces of ${size}`);
    t.equal(pings, 1);
  }
});

await t.test('bytes that are no message are refused, and nothing else happens', async (t) => {
  const property = fc.property(
    fc.constantFrom(...messages),
    fc.array(fc.record({ at: fc.nat(), value: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
    fc.nat(),
    (message, changes, length) => {
      const bytes = frames(message).subarray(4);
      for (const { at, value } of changes) bytes[at % bytes.length] = value;
      try {
        decodeMessage(bytes.subarray(0, length % 3 === 0 ? length % bytes.length : bytes.length));
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
      }
    },
  );
  fc.assert(property, { numRuns: 5000 });
  const long = Buffer.alloc(4);
  long.writeUInt32BE(FRAME_BYTES_MAX + 1);
  t.throws(() => new FrameDecoder().push(long), DecodeError, 'no buffer is made for what a length claims');
});
