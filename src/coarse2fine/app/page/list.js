// View: the photos of the run, one page at a time.

import { requestJson } from "./api.js";
import { createElement, fillTemplate, showStatus, viewUrl } from "./dom.js";
import { undoDecision } from "./undo.js";

const number = new Intl.NumberFormat("en");

export async function openList(view, params, run) {
  const parts = fillTemplate(view, "list");
  const filter = Object.fromEntries(["class", "state", "order", "page"].map((name) => [name, params.get(name) ?? ""]));
  const list = await requestJson("api/photos", filter);
  parts.unscored.hidden = run.scored;
  parts.summary.textContent = summarize(run);
  fillFilter(parts.filter, filter, run);
  parts.grid.append(...list.photos.map((photo) => createCard(photo, filter)));
  const position = `page ${number.format(list.page)} of ${number.format(list.pages)}`;
  parts.position.textContent = `${number.format(list.total)} photos, ${position}`;
  const turnPage = (step) => {
    const page = list.page + step;
    if (page >= 1 && page <= list.pages) location.hash = viewUrl("/", { ...filter, page });
    else showStatus(step > 0 ? "This is the last page." : "This is the first page.");
  };
  parts.previous.disabled = list.page === 1;
  parts.next.disabled = list.page === list.pages;
  parts.previous.onclick = () => turnPage(-1);
  parts.next.onclick = () => turnPage(1);
  const next = () => moveFocus(parts.grid, 1);
  const previous = () => moveFocus(parts.grid, -1);
  const keys = {
    j: next,
    ArrowRight: next,
    k: previous,
    ArrowLeft: previous,
    n: () => turnPage(1),
    b: () => turnPage(-1),
    z: () => undoDecision(filter),
  };
  return { keys };
}

function summarize(run) {
  const { accepted = 0, fixed = 0, rejected = 0 } = run.states;
  const rounds = run.rounds ? `after round ${run.rounds}` : "before round 1";
  const decided = `${number.format(accepted)} accepted, ${number.format(fixed)} fixed, ${number.format(rejected)} rejected`;
  const effect = "Decisions are saved immediately. The next run of coarse2fine fit on this folder uses them.";
  const scores = run.scored ? " A score estimates the quality of a mask, from 0 to 1." : "";
  return `${number.format(run.photos)} photos, masks ${rounds}.${scores} Decisions: ${decided}. ${effect}`;
}

function fillFilter(form, filter, run) {
  const all = createElement("option", { value: "" }, "all");
  const classes = run.classes.slice(1).map((name, index) => createElement("option", { value: name }, `${name} (${number.format(run.counts[index + 1])})`));
  form.elements.class.append(all, ...classes);
  for (const name of ["class", "state", "order"]) {
    form.elements[name].value = filter[name] || (name === "order" ? "gain" : "");
    form.elements[name].onchange = () => {
      location.hash = viewUrl("/", Object.fromEntries(new FormData(form)));
    };
  }
  form.onsubmit = (event) => event.preventDefault();
}

function createCard(photo, filter) {
  const score = photo.score === null ? "no score" : `score ${photo.score.toFixed(2)}`;
  const decision = photo.state === "undecided" ? "" : photo.state;
  const query = new URLSearchParams({ name: photo.name, v: photo.version });
  const link = createElement(
    "a",
    { href: viewUrl("/photo", { name: photo.name, ...filter, page: "" }), class: photo.state, title: photo.name },
    createElement("img", { src: `api/thumbnail?${query}`, alt: "", loading: "lazy", width: 256, height: 256 }),
    createElement("span", { class: "name" }, createElement("bdi", {}, photo.name)),
    createElement("span", { class: "facts" }, score, " ", createElement("strong", { class: "state" }, decision)),
  );
  return createElement("li", {}, link);
}

function moveFocus(grid, step) {
  const links = [...grid.querySelectorAll("a")];
  const current = links.indexOf(document.activeElement);
  const next = current < 0 ? 0 : Math.min(links.length - 1, Math.max(0, current + step));
  links[next]?.focus();
}
