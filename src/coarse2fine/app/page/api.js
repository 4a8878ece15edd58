// Questions to the server; whatever it refuses becomes an Error with its sentence.

export async function ask(path, params = {}, options = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  const url = query ? `${path}?${query}` : path;
  for (;;) {
    const answer = await send(url, options);
    if (answer.ok) return answer;
    if (answer.status === 401 && path !== "api/enter") {
      await askForToken();
      continue;
    }
    throw new Error(await readSentence(answer));
  }
}

async function send(url, options) {
  try {
    return await fetch(url, { ...options, headers: { "X-Coarse2fine": "1", ...options.headers } });
  } catch {
    throw new Error("coarse2fine does not answer; is it still running where it was started?");
  }
}

async function readSentence(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

export async function askJson(path, params, options) {
  return (await ask(path, params, options)).json();
}

export function post(path, params, body) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, params, { method: "POST", headers, body: JSON.stringify(body) });
}

// A mask: one byte per pixel, row by row.
export async function readMask(answer) {
  const data = new Uint8Array(await answer.arrayBuffer());
  const number = (name) => Number(answer.headers.get(name));
  return { width: number("X-Width"), height: number("X-Height"), seen: answer.headers.get("X-Seen"), data };
}

let asking = null;

function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("enter");
    const wrong = document.getElementById("enter-wrong");
    dialog.oncancel = (event) => event.preventDefault();
    document.getElementById("enter-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await post("api/enter", {}, { token: document.getElementById("token").value });
        dialog.close();
        asking = null;
        resolve();
      } catch (error) {
        wrong.textContent = error.message;
      }
    };
    dialog.showModal();
  });
  return asking;
}
