/** @file Answers with their probabilities and runners-up, and what was asked before. */
import { html, nothing, type TemplateResult } from 'lit';
import { clearHistory, explain } from './actions.js';
import { percent, seconds } from './format.js';
import { type Entry, type Given, labelOf, state, text } from './state.js';

const bar = (label: string, probability: number) => html`
  <li>
    <span class="word">${label || text().nothing}</span>
    <meter min="0" max="1" value=${probability} aria-hidden="true"></meter>
    <span class="number">${percent(probability, state.language)}</span>
  </li>
`;

/** The heat map with what hiding its hottest patches costs, or the button that asks for it. */
function heatView(given: Given): TemplateResult {
  const t = text();
  const { heat } = given;
  if (!heat)
    return html`<button type="button" class="plain" ?disabled=${state.busy !== undefined} @click=${() => explain(given)}>${t.explain}</button>`;
  const points = (share: number) => percent(share, state.language);
  return html`
    <figure class="heat">
      <img class="picture" src=${heat.url} alt=${t.heatAlt} />
      <figcaption class="quiet">
        ${t.heatLost(points(heat.lost), points(heat.lostAtRandom))} ${heat.isChance ? t.heatChance : t.heatFaithful}
      </figcaption>
    </figure>
  `;
}

function answerCard(given: Given): TemplateResult {
  const { answer, probability, beams, device, milliseconds, by } = given;
  const t = text();
  const others = beams.slice(1);
  const name = device === 'webgpu' ? t.webgpu : 'WebAssembly';
  return html`
    <article class="answer">
      <p class="by quiet">${labelOf(by)}</p>
      <p class="big" lang="en">${answer || t.nothing}</p>
      <dl class="facts">
        <div><dt>${t.probability}</dt><dd class="probability" data-value=${probability}>${percent(probability, state.language)}</dd></div>
      </dl>
      ${
        others.length > 0
          ? html`<h3>${t.others}</h3><ul class="bars" lang="en">${others.map((b) => bar(b.answer, b.probability))}</ul>`
          : nothing
      }
      <p class="quiet">${t.took(seconds(milliseconds, state.language), name)}</p>
      ${heatView(given)}
      <p class="small-notice">${t.notice}</p>
    </article>
  `;
}

/** The newest answer, or two of them side by side. */
export function answersView(): TemplateResult {
  const [newest] = state.history;
  const title = (newest?.answers.length ?? 1) > 1 ? text().answers : text().answer;
  return html`
    <section class=${newest ? 'card answers' : 'answers'} aria-live="polite" aria-label=${title}>
      ${
        newest
          ? html`
              <h2>${newest.question}</h2>
              <div class="side-by-side">${newest.answers.map(answerCard)}</div>
            `
          : nothing
      }
    </section>
  `;
}

const row = ({ image, question, answers }: Entry) => html`
  <li>
    <img src=${image.url} alt=${image.name} width="56" height="56" />
    <div>
      <p class="asked" lang="en">${question}</p>
      ${answers.map(
        ({ answer, probability, by }) => html`
          <p>
            <strong lang="en">${answer || text().nothing}</strong>
            <span class="quiet">${percent(probability, state.language)} · ${labelOf(by)}</span>
          </p>
        `,
      )}
    </div>
  </li>
`;

export function historyView(): TemplateResult | typeof nothing {
  const { history } = state;
  if (history.length < 2) return nothing;
  return html`
    <section class="card" aria-labelledby="history-title">
      <div class="line">
        <h2 id="history-title">${text().history}</h2>
        <button type="button" class="plain" @click=${clearHistory}>${text().clear}</button>
      </div>
      <p class="quiet">${text().historyHint} ${text().notice}</p>
      <ol class="history">${history.slice(1).map(row)}</ol>
    </section>
  `;
}
