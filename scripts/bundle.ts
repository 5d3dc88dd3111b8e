// Makes dist/COMPONENT.mjs, a file per component: what images run. `naru up` makes its own when sources have changed.
import { join } from 'node:path';
import { bundleComponents } from '../packages/naru/src/supervisor/bundle.ts';

await bundleComponents(join(import.meta.dirname, '..'));
