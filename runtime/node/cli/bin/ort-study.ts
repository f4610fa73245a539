#!/usr/bin/env node
import { main } from '../main.js';
import { ortStudy } from '../ort-study.js';

await main('ort-study', ortStudy);
