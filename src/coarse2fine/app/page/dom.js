// Small helpers; text always becomes text nodes, so that no name of a file is read as HTML.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Fills a place with a template; its parts by their data-part.
export function fill(place, name) {
  place.replaceChildren(document.getElementById(name).content.cloneNode(true));
  return findParts(place);
}

export function findParts(place) {
  return Object.fromEntries([...place.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}

const action = document.getElementById("message-action");

export function say(text, { wrong = false, act = null } = {}) {
  document.getElementById("message").textContent = text;
  document.getElementById("status").classList.toggle("wrong", wrong);
  action.hidden = !act;
  if (act) {
    action.textContent = act.name;
    action.onclick = act.go;
  }
}

// Runs what may be refused; says why.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, { wrong: true });
    return undefined;
  }
}

export function address(path, params) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return `#${path}${query ? `?${query}` : ""}`;
}

export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
