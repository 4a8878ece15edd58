// Undo of decisions, of any photo: the last change first, as long as the page is open.

import { post } from "./api.js";
import { runTask, showStatus, viewUrl } from "./dom.js";

const changes = []; // the numbers that the server gave to the changes

export const canUndo = () => changes.length > 0;

// Remembers a change from the response of the server.
export async function remember(response) {
  changes.push((await response.json()).undo);
}

// Undoes the last change and opens its photo. `filter` is that of the list.
export function undoDecision(filter) {
  if (!canUndo()) {
    showStatus("There is no decision to undo.");
    return undefined;
  }
  return runTask(async () => {
    const change = changes.pop(); // a change that cannot be undone is not tried again
    const { name } = await (await post("api/undo", {}, { change })).json();
    const url = viewUrl("/photo", { name, ...filter });
    if (location.hash === url) dispatchEvent(new Event("refresh"));
    else location.hash = url;
    showStatus(`${name}: the last decision is undone.`);
  });
}
