/** @file Starts the page. */
import { render } from 'lit';
import { showImage, start } from './actions.js';
import { drawChart } from './loss-chart.js';
import { change, onChange, state } from './state.js';
import { findKept } from './tune-actions.js';
import { pageView } from './view.js';

const root = document.querySelector<HTMLElement>('#page')!;
let isDue = false;

/** Draws once a frame, however often the state changes. */
onChange(() => {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    render(pageView(), root);
    drawChart(document.querySelector('#loss-chart') ?? undefined);
  });
});

const imageIn = (data: DataTransfer | null): File | undefined => [...(data?.files ?? [])][0];

document.addEventListener('paste', (event) => {
  const file = imageIn(event.clipboardData);
  if (file) void showImage(file);
});
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  if (!state.isOver) change({ isOver: true });
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) change({ isOver: false });
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  change({ isOver: false });
  const file = imageIn(event.dataTransfer);
  if (file) void showImage(file);
});

root.replaceChildren();
document.documentElement.lang = state.language;
change({});
await start();
await findKept();
