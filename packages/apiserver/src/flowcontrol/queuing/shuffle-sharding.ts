/**
 * The hand of queues that a flow may wait in: `handSize` different ones of `deckSize`, dealt by a hash. Two flows rarely have
 * all of a hand in common, so one that floods its queues leaves others a queue of their own.
 */
export function dealHand(hash: bigint, deckSize: number, handSize: number): number[] {
  const remainders: number[] = [];
  let rest = hash;
  for (let i = 0; i < handSize; i++) {
    const cards = BigInt(deckSize - i);
    remainders.push(Number(rest % cards));
    rest /= cards;
  }
  // Each remainder counts among the cards that those before it have left.
  const hand: number[] = [];
  for (const remainder of remainders) {
    let card = remainder;
    for (const taken of hand.toSorted((a, b) => a - b)) if (card >= taken) card++;
    hand.push(card);
  }
  return hand;
}

/** Bits that a hash must have for a hand; more than 60 are refused. */
export function requiredEntropyBits(deckSize: number, handSize: number): number {
  let hands = 1;
  for (let i = 0; i < handSize; i++) hands *= deckSize - i;
  return Math.ceil(Math.log2(Math.max(1, hands)));
}
