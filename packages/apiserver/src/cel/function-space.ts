import type { Environment } from '@marcbachmann/cel-js';

/** A value that stands for a name space of functions, such as `sets` in `sets.contains(a, b)`. */
export class FunctionSpace {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Makes `name` a space whose functions are registered as methods of `type`. */
export function registerSpace(environment: Environment, name: string, type: string): void {
  class Space extends FunctionSpace {}
  environment.registerType(type, { ctor: Space, fields: {} }).registerConstant(name, type, new Space(name));
}
