/** @file Fine-tuning in the tab. */
import { html, type TemplateResult } from 'lit';
import { text } from './state.js';

export const tuneView = (): TemplateResult =>
  html`<section class="card"><h2>${text().tune.title}</h2></section>`;
