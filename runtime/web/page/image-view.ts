/** @file The place of the image: chosen, dropped or pasted. */
import { html, type TemplateResult } from 'lit';
import { showImage } from './actions.js';
import { state, text } from './state.js';

const picker = (label: string, isMain: boolean) => html`
  <label class=${isMain ? 'file' : 'file plain'}>
    <input
      type="file"
      accept="image/*,.dcm,application/dicom"
      class="unseen"
      @change=${(e: Event) => {
        const input = e.target as HTMLInputElement;
        const [file] = input.files ?? [];
        if (file) void showImage(file);
        input.value = '';
      }}
    />${label}
  </label>
`;

export function imageView(): TemplateResult {
  const { image } = state;
  const t = text();
  if (!image)
    return html`
      <h2 id="image-title">${t.image}</h2>
      <div class=${state.isOver ? 'drop over' : 'drop'}>
        <svg aria-hidden="true" viewBox="0 0 48 48" width="48" height="48">
          <rect x="6" y="9" width="36" height="30" rx="4" />
          <path d="m10 34 10-11 8 8 5-5 7 8" />
          <circle cx="32" cy="18" r="3" />
        </svg>
        <p>${t.drop} ${picker(t.choose, true)}</p>
        <p class="quiet">${t.formats}</p>
      </div>
    `;
  return html`
    <div class="line">
      <h2 id="image-title">${t.image}</h2>
      ${picker(t.otherImage, false)}
    </div>
    <figure class=${state.isOver ? 'over' : ''}>
      <img class="picture" src=${image.url} alt=${t.imageAlt} />
      <figcaption class="quiet">${image.name}</figcaption>
      ${image.notes.map((note) => html`<p class="quiet" lang="en">${note}</p>`)}
    </figure>
  `;
}
