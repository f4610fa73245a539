/** @file The page as a function of its state. */
import { html, nothing, type TemplateResult } from 'lit';
import { ask, speak } from './actions.js';
import { answersView, historyView } from './answers-view.js';
import { size } from './format.js';
import { imageView } from './image-view.js';
import { modelView } from './model-view.js';
import { change, type Language, languages, state, text } from './state.js';
import { tuneView } from './tune-view.js';

const names: Record<Language, string> = { en: 'English', de: 'Deutsch' };

const header = () => html`
  <header>
  <div class="top">
    <img src="./icon.svg" alt="" width="36" height="36" />
    <h1>MILE-ORT</h1>
    <p>${text().subtitle}</p>
    <label class="language">
      <span class="unseen">${text().language}</span>
      <select @change=${(e: Event) => speak((e.target as HTMLSelectElement).value as Language)}>
        ${(Object.keys(languages) as Language[]).map(
          (l) => html`<option value=${l} ?selected=${l === state.language} lang=${l}>${names[l]}</option>`,
        )}
      </select>
    </label>
    </div>
  <p class="notice" role="note">${text().notice}</p>
  </header>
`;

const tabs = () => html`
  <nav class="tabs" aria-label="MILE-ORT">
    ${(['ask', 'tune'] as const).map(
      (tab) => html`
        <button
          type="button"
          aria-current=${state.tab === tab ? 'page' : nothing}
          @click=${() => change({ tab })}
        >${tab === 'ask' ? text().tabAsk : text().tabTune}</button>
      `,
    )}
  </nav>
`;

/** What is being done, with a bar where its size is known. */
export function progressView(): TemplateResult {
  const { busy } = state;
  if (!busy) return html`<div class="progress" role="status"></div>`;
  const { stage, done, total } = busy;
  const t = text();
  const what = {
    download: t.downloading,
    compile: t.compiling,
    answer: t.answering,
    decode: t.decoding,
    explain: t.explaining,
  }[stage];
  const amount = stage === 'download' ? `${size(done, state.language)} / ${size(total, state.language)}` : '';
  return html`
    <div class="progress">
      <div class="line"><span role="status">${what} …</span><span class="quiet">${amount}</span></div>
      ${
        stage === 'download' || stage === 'compile'
          ? html`<progress max=${total} value=${done} aria-label=${what}></progress>`
          : html`<progress aria-label=${what}></progress>`
      }
    </div>
  `;
}

export function problemView(): TemplateResult | typeof nothing {
  const { problem } = state;
  if (!problem) return nothing;
  return html`
    <div class="problem" role="alert">
      <strong>${text().error}: ${text().translated(problem.what)}</strong>
      <dl>
        ${problem.where ? html`<dt>${text().where}</dt><dd>${problem.where}</dd>` : nothing}
        <dt>${text().toDo}</dt><dd>${text().translated(problem.remedy)}</dd>
      </dl>
      <button type="button" class="plain" @click=${() => change({ problem: undefined })}>${text().dismiss}</button>
    </div>
  `;
}

const canAsk = () => state.image && state.question.trim() !== '' && state.first && !state.busy;

const questionForm = () => html`
  <form
    class="question"
    @submit=${(e: Event) => {
      e.preventDefault();
      void ask();
    }}
  >
    <label for="question">${text().question}</label>
    <div class="row">
      <input
        id="question"
        type="text"
        lang="en"
        autocomplete="off"
        maxlength="500"
        placeholder=${text().questionHint}
        .value=${state.question}
        @input=${(e: Event) => change({ question: (e.target as HTMLInputElement).value })}
      />
      <button type="submit" class="main" ?disabled=${!canAsk()}>${text().ask}</button>
    </div>
  </form>
`;

const askTab = () => html`
  <div class="columns">
    <section class="card" aria-labelledby="image-title">${imageView()}</section>
    <div class="stack">
      <section class="card" aria-label=${text().model}>${modelView()}</section>
      <section class="card" aria-label=${text().question}>${questionForm()} ${progressView()}</section>
      ${answersView()}
    </div>
  </div>
  ${historyView()}
`;

/** Which device computes, and how to ask for the other. */
function deviceLine(): TemplateResult | typeof nothing {
  const { choice } = state;
  const t = text();
  if (!choice) return nothing;
  const { device, threads, isolated } = choice;
  const other = device === 'wasm' ? 'webgpu' : 'wasm';
  const name = device === 'webgpu' ? t.webgpu : t.threads(threads);
  return html`
    <p>
      <span data-device=${device} data-threads=${threads}>${t.computesOn(name)}</span>
      <a href="?device=${other}">${t.switchTo(other === 'webgpu' ? t.webgpu : 'WebAssembly')}</a>
    </p>
    ${state.memory ? html`<p>${t.memory(size(state.memory, state.language))}</p>` : nothing}
    ${isolated ? nothing : html`<p class="warning">${t.oneThread}</p>`}
  `;
}

const footer = () => html`
  <footer>
    <p>${text().privacy}</p>
    ${deviceLine()} ${[...state.notes].map((n) => html`<p class="warning" role="status">${text().notes[n]}</p>`)}
  </footer>
`;

export const pageView = (): TemplateResult => html`
  ${header()} ${tabs()}
  <main>${problemView()} ${state.tab === 'ask' ? askTab() : html`${tuneView()} ${progressView()}`}</main>
  ${footer()}
`;
