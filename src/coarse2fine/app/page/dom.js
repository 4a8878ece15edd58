// Helpers for the document. Texts become text nodes, so that a file name is never interpreted as HTML.

import { toQuery } from "./api.js";

export function createElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Replaces the content of a container by a template, and returns its parts by the values of data-part.
export function fillTemplate(container, name) {
  container.replaceChildren(document.getElementById(name).content.cloneNode(true));
  return Object.fromEntries([...container.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}

const action = document.getElementById("message-action");

// Shows a text in the status line, with an optional button.
export function showStatus(text, { isError = false, button = null } = {}) {
  document.getElementById("message").textContent = text;
  document.getElementById("status").classList.toggle("error", isError);
  action.hidden = !button;
  if (button) {
    action.textContent = button.text;
    action.onclick = button.onclick;
  }
}

// Runs a task; shows its error, if any, in the status line.
export async function runTask(task) {
  try {
    return await task();
  } catch (error) {
    showStatus(error.message, { isError: true });
    return undefined;
  }
}

// URL of a view, after the #.
export function viewUrl(path, params) {
  const query = toQuery(params);
  return `#${path}${query ? `?${query}` : ""}`;
}

export const formatPercent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
