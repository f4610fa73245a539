/** @file `npm run make:kernels`: compiles the kernels and writes them into the source. */
import { writeAtomic } from '../../../training-artifacts/files.js';
import { compileKernels, kernelsFile } from './compile-kernels.js';

writeAtomic(kernelsFile(), await compileKernels());
console.log(kernelsFile());
