/** @file `npm run make:self-test`: writes the losses of the CPU trainer that `ort-doctor` compares with. */
import { writeJson } from '../../../training-artifacts/files.js';
import { measure } from './measure.js';
import { lossesFile, withSelfTest } from './self-test.js';

const { losses } = await withSelfTest((job) => measure({ ...job, device: 'cpu', threads: 1 }));
writeJson(lossesFile(), { losses });
console.log(lossesFile());
