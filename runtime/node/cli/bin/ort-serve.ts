#!/usr/bin/env node
import { main } from '../main.js';
import { ortServe } from '../ort-serve.js';

await main('ort-serve', ortServe);
