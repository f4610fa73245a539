/** @file The choice of the model, or of two. */
import { html, nothing, type TemplateResult } from 'lit';
import { addAdapter, attempt, choose, load } from './actions.js';
import { size } from './format.js';
import {
  type Choosable,
  choosableOf,
  choosables,
  isOpen,
  keyOf,
  labelOf,
  runOf,
  state,
  text,
} from './state.js';

function picker(place: 'first' | 'second', label: string, chosen: Choosable): TemplateResult {
  const key = keyOf(chosen);
  return html`
    <label class="field">
      <span>${label}</span>
      <select
        @change=${(e: Event) => choose(place, choosableOf((e.target as HTMLSelectElement).value))}
      >
        ${choosables().map(
          (c) => html`<option value=${keyOf(c)} ?selected=${keyOf(c) === key}>${labelOf(c)}</option>`,
        )}
      </select>
    </label>
  `;
}

/** What a model is, and its download where it is not in the browser. */
function facts(chosen: Choosable): TemplateResult {
  const run = runOf(chosen);
  const about = html`<p class="quiet">${run.variant} · ${run.placement} · ${run.preset}</p>`;
  if (isOpen(chosen) || state.busy) return about;
  const bytes = run.otherBytes + (state.kept.has(run.name) ? 0 : run.weights.bytes);
  return html`
    ${about}
    <div class="row wrap">
      <button type="button" @click=${() => attempt(() => load(chosen))}>${text().download}</button>
      <span class="quiet">${text().downloadHint(size(bytes, state.language))}</span>
    </div>
  `;
}

const compareBox = () => html`
  <label class="check">
    <input
      type="checkbox"
      .checked=${state.second !== undefined}
      @change=${(e: Event) => {
        const all = choosables();
        const other = all.find((c) => keyOf(c) !== keyOf(state.first!)) ?? all[0];
        void choose('second', (e.target as HTMLInputElement).checked ? other : undefined);
      }}
    />
    ${text().compare}
  </label>
`;

const adapterPicker = () => html`
  <label class="file plain">
    <input
      type="file"
      class="unseen"
      webkitdirectory
      multiple
      @change=${(e: Event) => {
        const input = e.target as HTMLInputElement;
        void addAdapter([...(input.files ?? [])]);
        input.value = '';
      }}
    />${text().addAdapter}
  </label>
`;

export function modelView(): TemplateResult {
  const { first, second } = state;
  if (!first) return html`<p class="quiet">…</p>`;
  return html`
    ${picker('first', text().model, first)} ${facts(first)}
    ${second ? html`${picker('second', text().second, second)} ${facts(second)}` : nothing}
    <div class="row wrap">${choosables().length > 1 ? compareBox() : nothing} ${adapterPicker()}</div>
  `;
}
