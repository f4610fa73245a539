#!/usr/bin/env node
import { mainOf } from '../main.js';
import { ortData } from '../ort-data.js';

await mainOf('ort-data', ortData);
