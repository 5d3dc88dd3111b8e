import t from 'tap';
import { ByteReader, ByteWriter, DecodeError } from '../../src/codec/bytes.ts';

await t.test('what is written is read back, wherever the buffer had to grow', async (t) => {
  for (let before = 0; before < 40; before++) {
    for (const capacity of [1, 16, 32]) {
      const writer = new ByteWriter(capacity);
      writer
        .raw(new Uint8Array(before))
        .u8(200)
        .u32(4_000_000_000)
        .u53(2 ** 52)
        .u64(2n ** 63n)
        .u8(7)
        .text('하나')
        .u8(9);
      const reader = new ByteReader(writer.view());
      reader.raw(before);
      const read = [reader.u8(), reader.u32(), reader.u53(), reader.u64(), reader.u8(), reader.text(), reader.u8()];
      t.same(
        read,
        [200, 4_000_000_000, 2 ** 52, 2n ** 63n, 7, '하나', 9],
        `${before} bytes before, capacity ${capacity}`,
      );
      reader.end();
    }
  }
});

await t.test('input that ends early, goes on too long or is out of range is refused', async (t) => {
  t.throws(() => new ByteReader(new Uint8Array(3)).u32(), DecodeError);
  t.throws(() => new ByteReader(new Uint8Array([0, 0, 0, 9, 1])).bytes(), DecodeError);
  t.throws(() => new ByteReader(new Uint8Array(8).fill(255)).u53(), DecodeError);
  t.throws(() => new ByteReader(new Uint8Array([0, 0, 0, 2, 1])).count(1), DecodeError);
  t.throws(() => new ByteReader(new Uint8Array(1)).end(), DecodeError);
});
