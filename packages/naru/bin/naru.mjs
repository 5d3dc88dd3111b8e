#!/usr/bin/env node
// Runs the CLI with the pinned Node, whatever Node this is; installs and generates what is missing first.
import { runPinned } from '../../../scripts/bootstrap.mjs';

runPinned('packages/naru/src/main.ts', process.argv.slice(2));
