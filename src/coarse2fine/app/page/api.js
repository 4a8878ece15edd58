// Requests to the server. An error response becomes an Error with its message.

// Sends a request and returns its response. If the server requires the token, asks for it first.
export async function request(path, params = {}, options = {}) {
  const query = toQuery(params);
  const url = query ? `${path}?${query}` : path;
  for (;;) {
    const response = await send(url, options);
    if (response.ok) return response;
    if (response.status === 401 && path !== "api/login") {
      await showLogin();
      continue;
    }
    throw new Error(await readMessage(response));
  }
}

export async function requestJson(path, params, options) {
  return (await request(path, params, options)).json();
}

export function post(path, params, body) {
  const headers = { "Content-Type": "application/json" };
  return request(path, params, { method: "POST", headers, body: JSON.stringify(body) });
}

// Query string of the parameters that have a value.
export function toQuery(params) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(given).toString();
}

// Reads a mask from a response: one byte per pixel, row by row.
export async function readMask(response) {
  const data = new Uint8Array(await response.arrayBuffer());
  const number = (name) => Number(response.headers.get(name));
  return {
    width: number("X-Width"),
    height: number("X-Height"),
    fingerprint: response.headers.get("X-Fingerprint"),
    data,
  };
}

async function send(url, options) {
  try {
    return await fetch(url, { ...options, headers: { "X-Coarse2fine": "1", ...options.headers } });
  } catch {
    throw new Error("The server does not respond. Check that 'coarse2fine app' is still running.");
  }
}

async function readMessage(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `The server responded with status ${response.status}.`;
  }
}

let login = null; // simultaneous requests share one dialog

function showLogin() {
  login ??= new Promise((resolve) => {
    const dialog = document.getElementById("login");
    const message = document.getElementById("login-error");
    dialog.oncancel = (event) => event.preventDefault();
    document.getElementById("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await post("api/login", {}, { token: document.getElementById("token").value });
        dialog.close();
        login = null;
        resolve();
      } catch (error) {
        message.textContent = error.message;
      }
    };
    dialog.showModal();
  });
  return login;
}
