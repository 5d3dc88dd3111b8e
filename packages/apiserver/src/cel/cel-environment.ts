/** CEL as Kubernetes has it: the standard functions and its own (k8s.io/apiserver/pkg/cel/library). */
import { Environment } from '@marcbachmann/cel-js';
import { registerAuthorizerFunctions } from './authorizer-functions.ts';
import { registerListFunctions } from './list-functions.ts';
import { registerNetworkFunctions } from './network-functions.ts';
import { registerQuantityFunctions } from './quantity-functions.ts';
import { registerStringFunctions } from './string-functions.ts';

/** Longest expression and deepest nesting that is compiled. */
const limits = { maxAstNodes: 10_000, maxDepth: 100, maxListElements: 1000, maxMapEntries: 1000, maxCallArguments: 32 };

let base: Environment | undefined;

function baseEnvironment(): Environment {
  if (base !== undefined) return base;
  const made = new Environment({
    unlistedVariablesAreDyn: false,
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits,
  });
  registerListFunctions(made);
  registerStringFunctions(made);
  registerQuantityFunctions(made);
  registerNetworkFunctions(made);
  registerAuthorizerFunctions(made);
  base = made;
  return made;
}

/** An environment in which these variables are known; of each the type is open. */
export function celEnvironment(variables: readonly string[]): Environment {
  const environment = baseEnvironment().clone();
  for (const name of variables)
    environment.registerVariable(name, name === 'authorizer' ? 'kubernetes.authorization.Authorizer' : 'dyn');
  return environment;
}
