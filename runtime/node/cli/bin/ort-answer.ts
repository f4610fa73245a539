#!/usr/bin/env node
import { main } from '../main.js';
import { ortAnswer } from '../ort-answer.js';

await main('ort-answer', ortAnswer);
