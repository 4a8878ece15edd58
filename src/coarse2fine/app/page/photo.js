// One photo: its masks through the rounds, what is known of it, and the decision.

import { ask, askJson, post, readMask } from "./api.js";
import { Editor } from "./editor.js";
import { address, attempt, fill, make, percent, say } from "./parts.js";
import { IGNORE, Viewer } from "./viewer.js";

const REPLACE = "The mask that you fixed for this photo would be lost. Go on?";
const LOSE = "What you drew is not saved yet. Leave it?";
const HINTS = {
  brush: "Drag to draw. By keys: arrows move, Space draws; Shift moves by one pixel.",
  erase: "Drag to make background. By keys: arrows move, Space erases.",
  polygon: "Click corners; double click or Enter closes, z takes one back. By keys: arrows move, Space sets a corner.",
};
const kept = { opacity: 55, size: 12 }; // from photo to photo

export async function openPhoto(view, params, run) {
  const page = new PhotoPage(run, params);
  await page.open(view);
  return page;
}

class PhotoPage {
  constructor(run, params) {
    this.run = run;
    this.name = params.get("name") ?? "";
    this.choice = Object.fromEntries(["class", "state", "order"].map((name) => [name, params.get(name) ?? ""]));
    this.list = address("/", this.choice);
    this.stage = "";
    this.seen = "";
    this.busy = false;
  }

  async open(view) {
    this.photo = await this.ask();
    this.parts = fill(view, "photo");
    this.viewer = new Viewer(this.parts.viewer, this.run);
    this.viewer.parts.opacity.value = kept.opacity;
    this.viewer.fade();
    this.editor = new Editor(this.viewer, () => this.refresh());
    this.editor.label = this.photo.label;
    this.editor.size = kept.size;
    this.connect();
    this.describe();
    this.viewer.show(await loadPicture(this.name), this.photo.width, this.photo.height);
    await this.showStage(this.photo.stages.length - 1);
  }

  close() {
    kept.opacity = this.viewer.parts.opacity.value;
    kept.size = this.editor.size;
    this.viewer.close();
  }

  isDirty() {
    return this.editor.isDirty;
  }

  ask() {
    return askJson("api/photo", { name: this.name, ...this.choice });
  }

  connect() {
    const { parts, editor } = this;
    parts.accept.onclick = () => this.decide("accepted");
    parts.reject.onclick = () => this.decide("rejected");
    parts.back.onclick = () => this.takeBack();
    parts.save.onclick = () => this.save();
    parts.undo.onclick = () => editor.undo();
    parts.stage.oninput = () => this.slide(Number(parts.stage.value));
    parts.size.oninput = () => editor.resize(Number(parts.size.value));
    parts.label.onchange = () => (editor.label = Number(parts.label.value));
    this.tools = [...document.querySelectorAll("[data-tool]")];
    for (const button of this.tools) button.onclick = () => editor.choose(button.dataset.tool);
    const labels = [...this.run.classes.keys(), IGNORE];
    parts.label.append(...labels.map((label) => make("option", { value: label }, this.viewer.nameOf(label))));
    parts.label.value = editor.label;
    this.keys = { ...this.viewer.keys, ...this.makeKeys() };
  }

  makeKeys() {
    const { parts, editor } = this;
    const follow = (link) => link.href && (location.hash = link.hash);
    const arrow = (link) => (event) => editor.pressKey(event) || (link && follow(link));
    return {
      a: () => this.decide("accepted"),
      r: () => this.decide("rejected"),
      u: () => this.takeBack(),
      s: () => this.save(),
      z: () => editor.undo(),
      b: () => editor.choose("brush"),
      e: () => editor.choose("erase"),
      p: () => editor.choose("polygon"),
      Escape: () => editor.tool && editor.choose(editor.tool),
      "[": () => editor.resize(editor.size - Math.max(1, Math.round(editor.size / 6))),
      "]": () => editor.resize(editor.size + Math.max(1, Math.round(editor.size / 6))),
      ",": () => this.slide(Number(parts.stage.value) - 1),
      ".": () => this.slide(Number(parts.stage.value) + 1),
      j: () => follow(parts.next),
      k: () => follow(parts.previous),
      ArrowRight: arrow(parts.next),
      ArrowLeft: arrow(parts.previous),
      ArrowUp: (event) => editor.pressKey(event),
      ArrowDown: (event) => editor.pressKey(event),
      " ": (event) => editor.pressKey(event),
      Enter: (event) => editor.pressKey(event),
    };
  }

  describe() {
    const { parts, photo } = this;
    parts.name.textContent = photo.name;
    parts.class.textContent = photo.class;
    parts.state.textContent = photo.state;
    parts.state.className = `tag ${photo.state}`;
    parts.where.textContent = photo.position ? `${photo.position} of ${photo.total}` : `not among the ${photo.total} of this list`;
    parts.back.disabled = !photo.decided;
    parts.stage.max = Math.max(0, photo.stages.length - 1);
    parts.stage.disabled = photo.stages.length < 2;
    parts.list.href = this.list;
    for (const way of ["previous", "next"]) {
      if (photo[way]) parts[way].href = address("/photo", { name: photo[way], ...this.choice });
      else parts[way].removeAttribute("href");
    }
    parts.facts.replaceChildren(...listFacts(photo).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
    this.refresh();
  }

  // What depends on the tool and on what was drawn.
  refresh() {
    const { parts, editor } = this;
    parts.undo.disabled = parts.save.disabled = !editor.isDirty;
    parts.accept.disabled = !this.stage || editor.isDirty;
    parts.size.value = editor.size;
    parts["size-name"].textContent = `${editor.size} px`;
    parts["size-label"].hidden = editor.tool === "polygon";
    parts.label.parentElement.hidden = editor.tool === "erase";
    parts.tools.hidden = !editor.tool;
    parts.hint.textContent = HINTS[editor.tool] ?? "";
    for (const button of this.tools ?? []) button.setAttribute("aria-pressed", String(button.dataset.tool === editor.tool));
  }

  async slide(index) {
    if (index < 0 || index >= this.photo.stages.length || this.photo.stages[index] === this.stage) return;
    if (this.editor.isDirty && !window.confirm(LOSE)) this.parts.stage.value = this.photo.stages.indexOf(this.stage);
    else await attempt(() => this.showStage(index));
  }

  async showStage(index) {
    const { parts, photo } = this;
    const stage = photo.stages[index] ?? "";
    parts.stage.value = index;
    this.wanted = stage;
    const empty = { width: photo.width, height: photo.height, seen: "", data: new Uint8Array(photo.width * photo.height) };
    const mask = stage ? await readMask(await ask("api/mask", { name: this.name, stage })) : empty;
    if (this.wanted !== stage) return; // the slider is somewhere else by now
    this.stage = stage;
    this.seen = mask.seen;
    parts["stage-name"].textContent = stage ? nameStage(stage) : "no stage yet: draw one";
    this.editor.reset();
    this.editor.sketch();
    this.viewer.setMask(mask);
    this.refresh();
  }

  decide(decision) {
    if (decision === "accepted" && (!this.stage || this.editor.isDirty)) {
      say(this.stage ? "You have drawn: save it (s), or undo it (z), then accept." : "There is no mask to accept yet.");
      return undefined;
    }
    if (decision === "rejected" && this.editor.isDirty && !window.confirm(LOSE)) return undefined;
    const replaces = this.photo.state === "fixed" && !(decision === "accepted" && this.stage === "yours");
    if (replaces && !window.confirm(REPLACE)) return undefined;
    return this.work(async () => {
      if (decision === "accepted" && this.stage === "yours" && this.photo.state === "fixed") {
        say("It is fixed already, and stays so.");
        return;
      }
      await post("api/decision", { name: this.name }, { decision, stage: this.stage, seen: this.seen });
      this.editor.reset();
      const { name, next } = { name: this.name, next: this.photo.next };
      const here = address("/photo", { name, ...this.choice });
      const what = decision === "accepted" ? `accepted (${nameStage(this.stage)})` : "rejected";
      const act = { name: "Show it again", go: () => (location.hash = here) };
      if (next) location.hash = address("/photo", { name: next, ...this.choice });
      else await this.reload();
      say(`${name}: ${what}.${next ? "" : " That was the last of this list."}`, { act: next ? act : null });
    });
  }

  takeBack() {
    if (!this.photo.decided || (this.photo.state === "fixed" && !window.confirm(REPLACE))) return undefined;
    return this.work(async () => {
      await post("api/decision", { name: this.name }, { decision: null });
      await this.reload();
      say(`${this.name}: taken back.`);
    });
  }

  save() {
    if (this.editor.corners.length) say("Close the polygon first (Enter), or take its corners back (z).");
    if (!this.editor.isDirty || this.editor.corners.length) return undefined;
    return this.work(async () => {
      const params = { name: this.name, stage: this.stage, seen: this.seen };
      const headers = { "Content-Type": "application/octet-stream" };
      await ask("api/mask", params, { method: "PUT", headers, body: this.viewer.mask.data });
      await this.reload();
      say(`${this.name}: saved. fit leaves this mask as it is.`);
    });
  }

  async reload() {
    this.photo = await this.ask();
    this.editor.reset();
    this.describe();
    await this.showStage(this.photo.stages.length - 1);
  }

  // One thing at a time.
  async work(task) {
    if (this.busy) return;
    this.busy = true;
    await attempt(task);
    this.busy = false;
  }
}

function nameStage(stage) {
  return { coarse: "coarse", enhanced: "enhanced", yours: "yours" }[stage] ?? stage.replace("round-", "round ");
}

function listFacts(photo) {
  const facts = [];
  const { quality, decided } = photo;
  const figure = (value) => (value === null ? "-" : value.toFixed(2));
  if (quality) {
    facts.push(["score", figure(quality.score)]);
    facts.push(["confidence", `${figure(quality.confidence)}, a round before ${figure(quality.previous_confidence)}`]);
    const enhanced = quality.agreement_enhanced_mask === null ? "not enhanced" : `${figure(quality.agreement_enhanced_mask)} with its enhancement`;
    facts.push(["agreement", `${figure(quality.agreement_training_mask)} with what it learned from, ${enhanced}`]);
    facts.push(["mask", `${percent(quality.area_share)} of the photo, pieces: ${quality.pieces}, ${percent(quality.border_share)} of the border`]);
  } else facts.push(["score", "none yet"]);
  if (photo.left_out) facts.push(["left out", photo.left_out]);
  if (decided) facts.push(["decided", `${decided.decision}${decided.stage ? `, from ${nameStage(decided.stage)}` : ""}, ${new Date(decided.time).toLocaleString()}`]);
  return facts;
}

async function loadPicture(name) {
  const answer = await ask("api/picture", { name });
  return createImageBitmap(await answer.blob());
}
