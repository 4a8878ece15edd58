// View: segment any photo with the network of the run.

import { readMask, request } from "./api.js";
import { fillTemplate, showStatus } from "./dom.js";
import { Viewer } from "./viewer.js";

const BYTES_PER_MB = 1e6;

export function openTry(view, _params, run) {
  const parts = fillTemplate(view, "try");
  const viewer = new Viewer(parts.viewer, run);
  let newest = 0; // the result of an earlier photo is discarded

  async function segment(file) {
    const own = (newest += 1);
    parts.result.hidden = true;
    parts.classes.className = "";
    parts.classes.textContent = `Segmenting ${file.name} ...`;
    try {
      checkSize(file, run.max_mb);
      const headers = { "Content-Type": "application/octet-stream" };
      const mask = await readMask(await request("api/segment", {}, { method: "POST", headers, body: file }));
      const image = await createImageBitmap(file).catch(() => null);
      if (own !== newest) return;
      parts.name.textContent = file.name;
      parts.result.hidden = false;
      viewer.setPhoto(image, mask.width, mask.height);
      viewer.setMask(mask);
      const hint = image ? "" : " Your browser cannot display this image format, so only the mask is shown.";
      parts.classes.textContent = listClasses(mask, run) + hint;
      showStatus("");
    } catch (error) {
      if (own !== newest) return;
      parts.classes.className = "error";
      parts.classes.textContent = error.message;
    }
  }

  parts.file.onchange = () => parts.file.files.length && segment(parts.file.files[0]);
  const highlight = (event) => {
    event.preventDefault();
    parts.drop.classList.toggle("over", event.type === "dragover");
  };
  const drop = (event) => {
    highlight(event);
    const [file] = event.dataTransfer.files;
    if (file) segment(file);
  };
  const listeners = { dragover: highlight, dragleave: highlight, drop };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  return {
    keys: viewer.keys,
    close() {
      viewer.close();
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
    },
  };
}

// The server checks the size, too; this check avoids the upload.
function checkSize(file, maxMb) {
  if (file.size <= maxMb * BYTES_PER_MB) return;
  const size = (file.size / BYTES_PER_MB).toFixed(1);
  throw new Error(`A photo may have at most ${maxMb} MB, but ${file.name} has ${size} MB; choose a smaller one.`);
}

function listClasses(mask, run) {
  const labels = [...new Set(mask.data)].filter((label) => label).sort((a, b) => a - b);
  const names = labels.map((label) => run.classes[label] ?? String(label));
  return names.length ? `Classes in this photo: ${names.join(", ")}.` : "The network found no class in this photo.";
}
