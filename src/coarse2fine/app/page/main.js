// Opens the view that the URL names, and handles keys.

import { requestJson } from "./api.js";
import { runTask, showStatus } from "./dom.js";
import { openList } from "./list.js";
import { openPhoto, UNSAVED_QUESTION } from "./photo.js";
import { openTry } from "./try.js";

const VIEWS = { "/": openList, "/photo": openPhoto, "/try": openTry };
const container = document.getElementById("view");
const help = document.getElementById("help");
let view = null; // the open view: { keys, list, isDirty(), close() }, each optional
let shownHash = null;
let newest = 0; // if the URL changes while a view is loading, only the newest view stays open

async function show() {
  const hash = location.hash || "#/";
  if (hash === shownHash) return;
  if (view?.isDirty?.() && !window.confirm(UNSAVED_QUESTION)) {
    history.replaceState(null, "", shownHash);
    return;
  }
  const [path, query] = hash.slice(1).split(/\?(.*)/s);
  const open = VIEWS[path] ?? openList;
  const own = (newest += 1);
  view?.close?.();
  view = null;
  shownHash = hash;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const opened = await runTask(async () => {
    const run = await requestJson("api/run");
    document.getElementById("run").textContent = run.name;
    document.title = `${run.name} - coarse2fine`;
    return own === newest ? open(container, new URLSearchParams(query ?? ""), run) : null;
  });
  if (own === newest) view = opened;
  else opened?.close?.();
}

function isTextInput(target) {
  return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type === "password");
}

function handleKey(event) {
  if (document.querySelector("dialog[open]") || isTextInput(event.target)) return;
  const isUndo = (event.ctrlKey || event.metaKey) && event.key === "z";
  if ((event.ctrlKey || event.metaKey || event.altKey) && !isUndo) return;
  const isSlider = event.target instanceof HTMLInputElement && event.target.type === "range";
  if (isSlider && event.key.startsWith("Arrow")) return;
  const keys = {
    g: () => (location.hash = view?.list ?? "#/"),
    d: () => (location.hash = "#/try"),
    "?": () => help.showModal(),
  };
  const action = view?.keys?.[event.key] ?? keys[event.key];
  if (action && action(event) !== false) event.preventDefault();
}

addEventListener("hashchange", show);
addEventListener("refresh", () => {
  shownHash = null; // shows the same view again, with what has changed
  show();
});
addEventListener("keydown", handleKey);
addEventListener("beforeunload", (event) => {
  if (view?.isDirty?.()) event.preventDefault();
});
document.getElementById("help-open").onclick = () => help.showModal();
document.getElementById("skip").onclick = (event) => {
  event.preventDefault(); // the URL after the # names the view
  container.focus();
};
showStatus("");
show();
