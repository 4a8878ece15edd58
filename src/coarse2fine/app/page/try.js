// A photo that is dropped on the page, and the classes in it.

import { ask, readMask } from "./api.js";
import { fill, say } from "./parts.js";
import { Viewer } from "./viewer.js";

const MEGA = 1e6;

export function openTry(view, _params, run) {
  const parts = fill(view, "try");
  const viewer = new Viewer(parts.viewer, run);
  let turn = 0;

  async function take(file) {
    const mine = (turn += 1);
    parts.result.hidden = true;
    parts.found.className = "";
    parts.found.textContent = `Looking at ${file.name} ...`;
    try {
      if (file.size > run.max_mb * MEGA) {
        const size = (file.size / MEGA).toFixed(1);
        throw new Error(`A photo may have at most ${run.max_mb} MB, but ${file.name} has ${size} MB; choose a smaller one.`);
      }
      const mask = await readMask(await ask("api/found", {}, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }));
      const picture = await createImageBitmap(file).catch(() => null);
      if (mine !== turn) return;
      parts.name.textContent = file.name;
      parts.result.hidden = false;
      viewer.show(picture, mask.width, mask.height);
      viewer.setMask(mask);
      parts.found.textContent = summarize(mask, run) + (picture ? "" : " Your browser cannot show this format; here is its mask.");
      say("");
    } catch (error) {
      if (mine !== turn) return;
      parts.found.className = "wrong";
      parts.found.textContent = error.message;
    }
  }

  parts.file.onchange = () => parts.file.files.length && take(parts.file.files[0]);
  const over = (event) => {
    event.preventDefault();
    parts.drop.classList.toggle("over", event.type === "dragover");
  };
  const drop = (event) => {
    over(event);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  };
  const listeners = { dragover: over, dragleave: over, drop };
  for (const [name, act] of Object.entries(listeners)) document.addEventListener(name, act);
  return {
    keys: viewer.keys,
    close() {
      viewer.close();
      for (const [name, act] of Object.entries(listeners)) document.removeEventListener(name, act);
    },
  };
}

function summarize(mask, run) {
  const found = [...new Set(mask.data)].filter((label) => label).sort((a, b) => a - b);
  const names = found.map((label) => run.classes[label] ?? String(label));
  return names.length ? `Found: ${names.join(", ")}.` : "None of the classes was found.";
}
