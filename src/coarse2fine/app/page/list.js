// The photos of the run, a page at a time.

import { askJson } from "./api.js";
import { address, attempt, fill, make, say } from "./parts.js";

const number = new Intl.NumberFormat("en");

export async function openBrowse(view, params, run) {
  const parts = fill(view, "browse");
  const choice = Object.fromEntries(["class", "state", "order", "page"].map((name) => [name, params.get(name) ?? ""]));
  const found = await askJson("api/photos", choice);
  parts.unscored.hidden = run.scored;
  parts.summary.textContent = summarize(run);
  fillChoices(parts.choices, choice, run);
  parts.grid.append(...found.photos.map((photo) => drawCard(photo, choice)));
  const where = `page ${number.format(found.page)} of ${number.format(found.pages)}`;
  parts.where.textContent = `${number.format(found.total)} photos, ${where}`;
  const turn = (step) => {
    const page = found.page + step;
    if (page >= 1 && page <= found.pages) location.hash = address("/", { ...choice, page });
    else say(step > 0 ? "This is the last page." : "This is the first page.");
  };
  parts.before.disabled = found.page === 1;
  parts.after.disabled = found.page === found.pages;
  parts.before.onclick = () => turn(-1);
  parts.after.onclick = () => turn(1);
  const next = () => move(parts.grid, 1);
  const previous = () => move(parts.grid, -1);
  const keys = { j: next, ArrowRight: next, k: previous, ArrowLeft: previous, n: () => turn(1), b: () => turn(-1) };
  return { keys };
}

function summarize(run) {
  const { accepted = 0, fixed = 0, rejected = 0 } = run.states;
  const rounds = run.rounds ? `after round ${run.rounds}` : "before the first round";
  const decided = `${number.format(accepted)} accepted, ${number.format(fixed)} fixed, ${number.format(rejected)} rejected`;
  const counted = "Decisions are kept at once and count when fit is run again.";
  return `${number.format(run.photos)} photos, masks ${rounds}. ${decided}. ${counted}`;
}

function fillChoices(form, choice, run) {
  const all = make("option", { value: "" }, "all");
  const classes = run.classes.slice(1).map((name, index) => make("option", { value: name }, `${name} (${number.format(run.counts[index + 1])})`));
  form.elements.class.append(all, ...classes);
  for (const name of ["class", "state", "order"]) {
    form.elements[name].value = choice[name] || (name === "order" ? "doubtful" : "");
    form.elements[name].onchange = () => {
      const chosen = Object.fromEntries(new FormData(form));
      location.hash = address("/", chosen);
    };
  }
  form.onsubmit = (event) => event.preventDefault();
}

function drawCard(photo, choice) {
  const score = photo.score === null ? "no score" : photo.score.toFixed(2);
  const decided = photo.state === "undecided" ? "" : photo.state;
  const query = new URLSearchParams({ name: photo.name, v: photo.version });
  const link = make(
    "a",
    { href: address("/photo", { name: photo.name, ...choice, page: "" }), class: photo.state, title: photo.name },
    make("img", { src: `api/thumb?${query}`, alt: "", loading: "lazy", width: 256, height: 256 }),
    make("span", { class: "name" }, make("bdi", {}, photo.name)),
    make("span", { class: "facts" }, score, " ", make("strong", { class: "state" }, decided)),
  );
  return make("li", {}, link);
}

function move(grid, step) {
  const links = [...grid.querySelectorAll("a")];
  const now = links.indexOf(document.activeElement);
  const next = now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + step));
  links[next]?.focus();
}
