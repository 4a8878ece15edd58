// Which page is shown, keys, and the status line.

import { askJson } from "./api.js";
import { attempt, say } from "./parts.js";
import { openBrowse } from "./browse.js";
import { openPhoto } from "./photo.js";
import { openTry } from "./try.js";

const PAGES = { "/": openBrowse, "/photo": openPhoto, "/try": openTry };
const LOSE = "What you drew is not saved yet. Leave it?";
const view = document.getElementById("view");
const help = document.getElementById("help");
let page = null;
let shown = null;
let turn = 0;

async function show() {
  const wanted = location.hash || "#/";
  if (wanted === shown) return;
  if (page?.isDirty?.() && !window.confirm(LOSE)) {
    history.replaceState(null, "", shown);
    return;
  }
  const [path, query] = wanted.slice(1).split(/\?(.*)/s);
  const open = PAGES[path] ?? openBrowse;
  const mine = (turn += 1);
  page?.close?.();
  page = null;
  shown = wanted;
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if (link.dataset.page === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const opened = await attempt(async () => {
    const run = await askJson("api/run");
    document.getElementById("run").textContent = run.name;
    document.title = `${run.name} - coarse2fine`;
    return mine === turn ? open(view, new URLSearchParams(query ?? ""), run) : null;
  });
  if (mine === turn) page = opened;
  else opened?.close?.();
}

function isTyping(target) {
  return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type === "password");
}

function press(event) {
  if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
  const undoes = (event.ctrlKey || event.metaKey) && event.key === "z";
  if ((event.ctrlKey || event.metaKey || event.altKey) && !undoes) return;
  const slides = event.target instanceof HTMLInputElement && event.target.type === "range";
  if (slides && event.key.startsWith("Arrow")) return;
  const keys = { g: () => (location.hash = page?.list ?? "#/"), d: () => (location.hash = "#/try"), "?": () => help.showModal() };
  const act = page?.keys?.[event.key] ?? keys[event.key];
  if (act && act(event) !== false) event.preventDefault();
}

addEventListener("hashchange", show);
addEventListener("keydown", press);
addEventListener("beforeunload", (event) => {
  if (page?.isDirty?.()) event.preventDefault();
});
document.getElementById("help-open").onclick = () => help.showModal();
document.getElementById("skip").onclick = (event) => {
  event.preventDefault();
  view.focus();
};
say("");
show();
