#!/usr/bin/env node
import { main } from '../main.js';
import { ortTrain } from '../ort-train.js';

await main('ort-train', ortTrain);
