#!/usr/bin/env node
import { demo } from '../demo.js';
import { main } from '../main.js';

await main('npm start --', demo);
