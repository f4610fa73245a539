#!/usr/bin/env node
import { main } from '../main.js';
import { ortEval } from '../ort-eval.js';

await main('ort-eval', ortEval);
