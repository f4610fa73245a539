/** @file Fine-tuning in the tab. */
import { html, nothing, type TemplateResult } from 'lit';
import type { TuneEvaluation } from '../training/defaults.js';
import { canPickFolder } from './choose-folder.js';
import { duration, percent } from './format.js';
import { state, text } from './state.js';
import {
  chooseImages,
  continueTraining,
  pauseTraining,
  saveAdapter,
  startTraining,
  stopTraining,
  useTrained,
} from './tune-actions.js';
import { changeTune, isTraining, tune } from './tune-state.js';

type NumberOption = 'epochs' | 'batchSize' | 'lr' | 'seed';

const setOption = (name: NumberOption, value: number): void => {
  if (Number.isFinite(value)) changeTune({ options: { ...tune.options, [name]: value } });
};

const numberField = (name: NumberOption, label: string, least: number, step: string) => html`
  <label class="field">
    <span>${label}</span>
    <input
      type="number"
      required
      min=${least}
      step=${step}
      .value=${String(tune.options[name])}
      @change=${(e: Event) => setOption(name, (e.target as HTMLInputElement).valueAsNumber)}
    />
  </label>
`;

const filesOf = (e: Event): File[] => [...((e.target as HTMLInputElement).files ?? [])];

const runPicker = () => {
  const tunable = state.runs.filter((run) => run.tunable);
  if (tune.run === undefined && tunable[0]) tune.run = tunable[0].name;
  return html`
    <label class="field">
      <span>${text().tune.run}</span>
      <select @change=${(e: Event) => changeTune({ run: (e.target as HTMLSelectElement).value })}>
        ${tunable.map(
          ({ name, placement, trainable }) => html`
            <option value=${name} ?selected=${name === tune.run}>
              ${name} · ${placement} · ${trainable.toLocaleString(state.language)}
            </option>
          `,
        )}
      </select>
    </label>
  `;
};

const folderInput = () => html`
  <label class="field">
    <span>${text().tune.images}</span>
    <input type="file" required webkitdirectory multiple
      @change=${(e: Event) => changeTune({ images: filesOf(e) })} />
  </label>
`;

const folderButton = () => html`
  <div class="field">
    <span id="folder-label">${text().tune.images}</span>
    <div class="row wrap">
      <button type="button" aria-describedby="folder-label" @click=${() => void chooseImages()}>${text().tune.pick}</button>
      <span role="status">${tune.folder === undefined ? nothing : text().tune.picked(tune.folder, tune.images.length)}</span>
    </div>
  </div>
`;

function form(): TemplateResult {
  const t = text().tune;
  return html`
    <form
      class="card"
      aria-labelledby="tune-title"
      @submit=${(e: Event) => {
        e.preventDefault();
        void startTraining();
      }}
    >
      <h2 id="tune-title">${t.title}</h2>
      <p class="quiet">${t.hint}</p>
      ${runPicker()}
      <div class="fields">
        <label class="field">
          <span>${t.table}</span>
          <input type="file" required accept=".csv,.json,text/csv,application/json" aria-describedby="table-hint"
            @change=${(e: Event) => changeTune({ table: filesOf(e)[0] })} />
          <span class="quiet" id="table-hint">${t.tableHint}</span>
        </label>
        ${canPickFolder() ? folderButton() : folderInput()}
      </div>
      <div class="fields four">
        ${numberField('epochs', t.epochs, 1, '1')} ${numberField('batchSize', t.batch, 1, '1')}
        ${numberField('lr', t.rate, 0, 'any')} ${numberField('seed', t.seed, 0, '1')}
      </div>
      <div><button class="main" ?disabled=${isTraining() || state.busy !== undefined}>${t.start}</button></div>
    </form>
  `;
}

/** Seconds that are left, by the steps so far. */
function left(): number | undefined {
  const recent = tune.steps.slice(-20);
  const last = recent.at(-1);
  if (!last || tune.state !== 'training') return undefined;
  return (recent.reduce((s, { seconds }) => s + seconds, 0) / recent.length) * (last.total - last.step);
}

function status(): TemplateResult {
  const t = text().tune;
  const last = tune.steps.at(-1);
  const remaining = left();
  const isCounting = tune.state === 'reading' || tune.state === 'features' || tune.state === 'checking';
  const [done, total] = isCounting ? [tune.done, tune.total] : [last?.step ?? 0, last?.total ?? 1];
  const what = t.states[tune.state as keyof typeof t.states];
  return html`
    <div class="progress">
      <div class="line"><span role="status">${what}</span>
        <span class="quiet number">${last ? t.step(last.step, last.total) : ''}${remaining === undefined ? '' : ` · ${t.left(duration(remaining))}`}</span>
      </div>
      <progress max=${Math.max(1, total)} value=${done} aria-label=${what}></progress>
    </div>
  `;
}

const button = (label: string, action: () => Promise<void>, isMain = false) =>
  html`<button type="button" class=${isMain ? 'main' : ''} @click=${() => void action()}>${label}</button>`;

function buttons(): TemplateResult {
  const t = text().tune;
  const hasSteps = tune.steps.length > 0;
  return html`
    <div class="row wrap">
      ${isTraining() ? button(t.pause, pauseTraining, true) : nothing}
      ${tune.state === 'paused' ? button(t.resume, continueTraining, true) : nothing}
      ${hasSteps && !isTraining() ? html`${button(t.save, saveAdapter, tune.state === 'done')} ${button(t.use, useTrained)}` : nothing}
      ${button(tune.state === 'done' ? t.delete : t.stop, stopTraining)}
    </div>
    ${tune.isUsed ? html`<p role="status">${t.used}</p>` : nothing}
  `;
}

/** The evaluation whose tensors are kept: the first of the best after step 0, else that of the start. */
function bestEvaluation(): TuneEvaluation | undefined {
  const [base, ...later] = [...tune.evaluations].sort((a, b) => a.step - b.step);
  const highest = Math.max(...later.map((e) => e.accuracy));
  return later.find((e) => e.accuracy === highest) ?? base;
}

function training(): TemplateResult {
  const t = text().tune;
  const [first, last] = [tune.steps[0], tune.steps.at(-1)];
  const best = bestEvaluation();
  const summary =
    first && last ? `${t.chart}: ${first.tokenLoss.toFixed(2)} → ${last.tokenLoss.toFixed(2)}` : t.chart;
  return html`
    <section class="card" aria-labelledby="training-title">
      <h2 id="training-title">${tune.run}</h2>
      ${tune.isKept ? html`<p class="quiet">${t.kept}</p>` : nothing}
      ${tune.isLost ? html`<p class="warning" role="status">${t.lost}</p>` : nothing}
      ${tune.plan ? html`<p class="quiet">${t.rows(tune.plan.train, tune.plan.validation, tune.plan.images)}</p>` : nothing}
      ${status()} ${buttons()}
      <dl class="figures">
        <div><dt>${t.loss}</dt><dd data-loss>${last ? last.tokenLoss.toFixed(3) : '–'}</dd></div>
        <div><dt>${t.accuracy}</dt><dd data-accuracy>${best ? percent(best.accuracy, state.language) : '–'}</dd>
          ${best && best.step > 0 ? html`<dd class="quiet note">${t.best(best.step)}</dd>` : nothing}</div>
      </dl>
      <div class="chart" id="loss-chart" role="img" aria-label=${summary}></div>
    </section>
  `;
}

export const tuneView = (): TemplateResult => (tune.state === 'form' ? form() : training());
