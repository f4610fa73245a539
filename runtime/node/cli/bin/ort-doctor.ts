#!/usr/bin/env node
import { main } from '../main.js';
import { ortDoctor } from '../ort-doctor.js';

await main('ort-doctor', ortDoctor);
