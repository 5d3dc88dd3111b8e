/** OpenAPI v2 as protobuf, read by a reader that knows wire types only. */
import t from 'tap';
import { createRequire } from 'node:module';
import type * as Protobuf from 'protobufjs';
import { encodeOpenApiV2 } from '../src/protobuf/openapi-v2-document.ts';

const { Reader } = createRequire(import.meta.url)('protobufjs') as typeof Protobuf;

/** What stands in a message: `number value` of each field, where a value is text, a number, or a message if it reads as one. */
type Field = readonly [id: number, value: string | number | Message];
type Message = readonly Field[];

/** The fields of a message whose `texts` are strings and others, of the same wire type, messages. */
function read(bytes: Uint8Array, path: string, texts: ReadonlySet<string>): Message {
  const reader = Reader.create(bytes);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const id = tag >>> 3;
    const at = path === '' ? String(id) : `${path}.${id}`;
    if ((tag & 7) === 0) fields.push([id, Number(reader.int64())]);
    else if ((tag & 7) === 1) fields.push([id, reader.double()]);
    else {
      const value = reader.bytes();
      fields.push([id, texts.has(at) ? Buffer.from(value).toString() : read(value, at, texts)]);
    }
  }
  return fields;
}

await t.test('a document as gnostic’s message of it', async (t) => {
  const definitions = {
    a: {
      $ref: '#/definitions/b',
      type: 'object',
      required: ['x'],
      default: { a: [1] },
      maximum: 1.5,
      maxLength: 3,
      uniqueItems: true,
      enum: ['x', 1],
      items: { type: 'string' },
      properties: { 'x-y': { additionalProperties: { format: 'int32' } }, free: { additionalProperties: true } },
      'x-kubernetes-list-type': 'set',
      nullable: true,
    },
  };
  const schemaPath = '9.1.2';
  const inProperty = `${schemaPath}.25.1`;
  const texts = new Set(
    [
      '1',
      '2.1',
      '9.1.1',
      ...['1', '19', '22.1', '5.2', '20.2', '23.1.22.1', '31.1', '31.2.2'].map((each) => `${schemaPath}.${each}`),
      `${inProperty}.1`,
      `${inProperty}.2.21.1.2`,
    ].flat(),
  );
  const document = encodeOpenApiV2({ swagger: '2.0', info: { title: 'T' }, definitions, unknown: 1 });
  t.strictSame(read(document, '', texts), [
    [1, '2.0'],
    [2, [[1, 'T']]],
    [
      9,
      [
        [
          1,
          [
            [1, 'a'],
            [
              2,
              [
                [1, '#/definitions/b'],
                [22, [[1, 'object']]],
                [19, 'x'],
                [5, [[2, '{"a":[1]}']]],
                [7, 1.5],
                [11, 3],
                [16, 1],
                [20, [[2, '"x"']]],
                [20, [[2, '1']]],
                [23, [[1, [[22, [[1, 'string']]]]]]],
                [
                  25,
                  [
                    [
                      1,
                      [
                        [1, 'x-y'],
                        [2, [[21, [[1, [[2, 'int32']]]]]]],
                      ],
                    ],
                    [
                      1,
                      [
                        [1, 'free'],
                        [2, [[21, [[2, 1]]]]],
                      ],
                    ],
                  ],
                ],
                [
                  31,
                  [
                    [1, 'x-kubernetes-list-type'],
                    [2, [[2, '"set"']]],
                  ],
                ],
              ],
            ],
          ],
        ],
      ],
    ],
  ]);
});

await t.test('operations, their parameters and their answers', async (t) => {
  const paths = {
    '/a': {
      get: {
        operationId: 'getA',
        parameters: [
          { in: 'body', name: 'body', required: true, schema: { $ref: 's' } },
          { in: 'query', name: 'q', type: 'string', uniqueItems: true },
          { in: 'path', name: 'p', type: 'string' },
          { $ref: 'r' },
        ],
        responses: { '200': { description: 'OK', schema: { type: 'string' } }, 'x-a': 1 },
        'x-kubernetes-action': 'get',
      },
    },
    'x-b': null,
  };
  const operation = '8.2.2.2';
  const parameter = `${operation}.8`;
  const responses = `${operation}.9`;
  const texts = new Set([
    '8.2.1',
    '8.1.1',
    '8.1.2.2',
    `${operation}.5`,
    ...['1.1.2', '1.1.3', '1.1.5.1', '1.2.3.2', '1.2.3.4', '1.2.3.6', '1.2.4.2', '1.2.4.4', '1.2.4.5', '2.1'].map(
      (each) => `${parameter}.${each}`,
    ),
    ...['1.1', '1.2.1.1', '1.2.1.2.1.22.1', '2.1', '2.2.2'].map((each) => `${responses}.${each}`),
    `${operation}.13.1`,
    `${operation}.13.2.2`,
  ]);
  t.strictSame(read(encodeOpenApiV2({ paths }), '', texts), [
    [
      8,
      [
        [
          2,
          [
            [1, '/a'],
            [
              2,
              [
                [
                  2,
                  [
                    [5, 'getA'],
                    [
                      8,
                      [
                        [
                          1,
                          [
                            [
                              1,
                              [
                                [3, 'body'],
                                [2, 'body'],
                                [4, 1],
                                [5, [[1, 's']]],
                              ],
                            ],
                          ],
                        ],
                      ],
                    ],
                    [
                      8,
                      [
                        [
                          1,
                          [
                            [
                              2,
                              [
                                [
                                  3,
                                  [
                                    [2, 'query'],
                                    [4, 'q'],
                                    [6, 'string'],
                                    [20, 1],
                                  ],
                                ],
                              ],
                            ],
                          ],
                        ],
                      ],
                    ],
                    [
                      8,
                      [
                        [
                          1,
                          [
                            [
                              2,
                              [
                                [
                                  4,
                                  [
                                    [2, 'path'],
                                    [4, 'p'],
                                    [5, 'string'],
                                  ],
                                ],
                              ],
                            ],
                          ],
                        ],
                      ],
                    ],
                    [8, [[2, [[1, 'r']]]]],
                    [
                      9,
                      [
                        [
                          1,
                          [
                            [1, '200'],
                            [
                              2,
                              [
                                [
                                  1,
                                  [
                                    [1, 'OK'],
                                    [2, [[1, [[22, [[1, 'string']]]]]]],
                                  ],
                                ],
                              ],
                            ],
                          ],
                        ],
                        [
                          2,
                          [
                            [1, 'x-a'],
                            [2, [[2, '1']]],
                          ],
                        ],
                      ],
                    ],
                    [
                      13,
                      [
                        [1, 'x-kubernetes-action'],
                        [2, [[2, '"get"']]],
                      ],
                    ],
                  ],
                ],
              ],
            ],
          ],
        ],
        [
          1,
          [
            [1, 'x-b'],
            [2, [[2, 'null']]],
          ],
        ],
      ],
    ],
  ]);
});
