#!/usr/bin/env node
import { mainOf } from '../main.js';
import { ortWeights } from '../ort-weights.js';

await mainOf('ort-weights', ortWeights);
