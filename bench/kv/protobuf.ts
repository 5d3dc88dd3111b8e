/** The few protobuf messages that the load clients send and read. */

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

function bytesField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
}

/** etcdserverpb.PutRequest */
export function putRequest(key: Uint8Array, value: Uint8Array): Buffer {
  return Buffer.concat([bytesField(1, key), bytesField(2, value)]);
}

/** etcdserverpb.WatchRequest that creates a watch of all keys that begin with `prefix`. */
export function watchPrefixRequest(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return bytesField(1, Buffer.concat([bytesField(1, Buffer.from(prefix)), bytesField(2, end)]));
}

const EVENTS_TAG = (11 << 3) | 2;

/** Calls `visit` with the bytes of each event of an etcdserverpb.WatchResponse. */
export function forEachEvent(response: Buffer, visit: (event: Buffer) => void): void {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = response[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < response.length) {
    const tag = readVarint();
    if ((tag & 7) === 0) {
      readVarint();
      continue;
    }
    if ((tag & 7) !== 2) throw new Error(`unexpected wire type ${tag & 7}`);
    const length = readVarint();
    if (tag === EVENTS_TAG) visit(response.subarray(at, at + length));
    at += length;
  }
}
