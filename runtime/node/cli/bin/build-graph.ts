#!/usr/bin/env node
import { buildGraph } from '../build-graph.js';
import { main } from '../main.js';

await main('build-graph', buildGraph);
