/** Kubernetes' functions of quantities: quantity("1.5Gi").isLessThan(…). */
import { type Environment } from '@marcbachmann/cel-js';
import { newQuantity, parseQuantity, Quantity, QuantityError } from '@naru/api';

const NANO = 1_000_000_000n;

function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}

function asInteger(quantity: Quantity): bigint {
  if (quantity.nanos % NANO !== 0n) throw new Error('cannot convert value to integer');
  return quantity.nanos / NANO;
}

export function registerQuantityFunctions(environment: Environment): void {
  const type = 'kubernetes.Quantity';
  environment.registerType(type, { ctor: Quantity, fields: {} });
  const method = (signature: string, handler: (...args: never[]) => unknown): Environment =>
    environment.registerFunction(`${type}.${signature}`, handler as (...args: unknown[]) => unknown);
  environment
    .registerFunction(`quantity(string): ${type}`, (text: string) => parseQuantity(text))
    .registerFunction('isQuantity(string): bool', isQuantity)
    .registerOperator(`${type} == ${type}`, (a: Quantity, b: Quantity) => a.equals(b));
  method('sign(): int', (quantity: Quantity) => BigInt(quantity.sign));
  method('isInteger(): bool', (quantity: Quantity) => quantity.nanos % NANO === 0n);
  method('asInteger(): int', asInteger);
  method('asApproximateFloat(): double', (quantity: Quantity) => quantity.toNumber());
  method(`isGreaterThan(${type}): bool`, (a: Quantity, b: Quantity) => a.compare(b) > 0);
  method(`isLessThan(${type}): bool`, (a: Quantity, b: Quantity) => a.compare(b) < 0);
  method(`compareTo(${type}): int`, (a: Quantity, b: Quantity) => BigInt(Math.sign(a.compare(b))));
  method(`add(${type}): ${type}`, (a: Quantity, b: Quantity) => a.add(b));
  method(`add(int): ${type}`, (a: Quantity, b: bigint) => a.add(newQuantity(Number(b))));
  method(`sub(${type}): ${type}`, (a: Quantity, b: Quantity) => a.sub(b));
  method(`sub(int): ${type}`, (a: Quantity, b: bigint) => a.sub(newQuantity(Number(b))));
}
