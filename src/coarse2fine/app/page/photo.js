// View: one photo, its masks after each stage, its quality score, and the decision.

import { post, readMask, request, requestJson } from "./api.js";
import { createElement, fillTemplate, formatPercent, runTask, showStatus, viewUrl } from "./dom.js";
import { Editor } from "./editor.js";
import { canUndo, remember, undoDecision } from "./undo.js";
import { IGNORE, Viewer } from "./viewer.js";

export const UNSAVED_QUESTION = "Your drawing is not saved. Discard it?";
const REPLACE_QUESTION = "This photo has a mask that you fixed. Delete it?";
const EMPTY_QUESTION = "This mask is empty: it shows no object in the photo. Use it anyway?\n\nTo leave the photo out of training, cancel and reject it.";
const REVIEWED = "reviewed"; // stage of the mask that was accepted or fixed
const HINTS = {
  brush: "Drag to draw. With keys: arrows move, Space draws; with Shift, arrows move by one pixel.",
  smart: "Drag roughly over the object; the stroke is extended to its edges. It never removes pixels of the class. With keys: arrows move, Space draws.",
  erase: "Drag to change pixels to background. With keys: arrows move, Space erases.",
  polygon: "Click to add corners; double-click or Enter fills the polygon, z removes a corner. With keys: arrows move, Space adds a corner.",
};
const kept = { opacity: 55, size: 12 }; // from photo to photo

export async function openPhoto(container, params, run) {
  const view = new PhotoView(run, params);
  await view.open(container);
  return view;
}

class PhotoView {
  constructor(run, params) {
    this.run = run;
    this.name = params.get("name") ?? "";
    this.filter = Object.fromEntries(["class", "state", "order"].map((name) => [name, params.get(name) ?? ""]));
    this.list = viewUrl("/", this.filter);
    this.stage = "";
    this.fingerprint = "";
    this.isBusy = false;
  }

  async open(container) {
    this.photo = await this.load();
    this.parts = fillTemplate(container, "photo");
    this.viewer = new Viewer(this.parts.viewer, this.run);
    this.viewer.parts.opacity.value = kept.opacity;
    this.viewer.updateOpacity();
    this.editor = new Editor(this.viewer, () => this.updateTools(), (box, hints) => this.extendStroke(box, hints));
    this.editor.label = this.photo.label;
    this.editor.size = kept.size;
    this.addListeners();
    this.showFacts();
    this.viewer.setPhoto(await loadImage(this.name), this.photo.width, this.photo.height);
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

  load() {
    return requestJson("api/photo", { name: this.name, ...this.filter });
  }

  addListeners() {
    const { parts, editor } = this;
    parts.accept.onclick = () => this.decide("accepted");
    parts.reject.onclick = () => this.decide("rejected");
    parts.clear.onclick = () => this.clearDecision();
    parts.save.onclick = () => this.save();
    parts.undo.onclick = () => this.undo();
    parts.stage.oninput = () => this.changeStage(Number(parts.stage.value));
    parts.size.oninput = () => editor.setSize(Number(parts.size.value));
    parts.label.onchange = () => (editor.label = Number(parts.label.value));
    this.toolButtons = [...document.querySelectorAll("[data-tool]")];
    for (const button of this.toolButtons) button.onclick = () => editor.toggleTool(button.dataset.tool);
    const labels = [...this.run.classes.keys(), IGNORE];
    parts.label.append(...labels.map((label) => createElement("option", { value: label }, this.viewer.classNameOf(label))));
    parts.label.value = editor.label;
    this.keys = { ...this.viewer.keys, ...this.createKeys() };
  }

  createKeys() {
    const { parts, editor } = this;
    const follow = (link) => link.href && (location.hash = link.hash);
    const arrow = (link) => (event) => editor.handleKey(event) || (link && follow(link));
    return {
      a: () => this.decide("accepted"),
      r: () => this.decide("rejected"),
      u: () => this.clearDecision(),
      s: () => this.save(),
      z: () => this.undo(),
      b: () => editor.toggleTool("brush"),
      e: () => editor.toggleTool("erase"),
      p: () => editor.toggleTool("polygon"),
      w: () => editor.toggleTool("smart"),
      n: () => this.openNextUndecided(),
      Escape: () => editor.tool && editor.toggleTool(editor.tool),
      "[": () => editor.setSize(editor.size - Math.max(1, Math.round(editor.size / 6))),
      "]": () => editor.setSize(editor.size + Math.max(1, Math.round(editor.size / 6))),
      ",": () => this.changeStage(Number(parts.stage.value) - 1),
      ".": () => this.changeStage(Number(parts.stage.value) + 1),
      j: () => follow(parts.next),
      k: () => follow(parts.previous),
      ArrowRight: arrow(parts.next),
      ArrowLeft: arrow(parts.previous),
      ArrowUp: (event) => editor.handleKey(event),
      ArrowDown: (event) => editor.handleKey(event),
      " ": (event) => editor.handleKey(event),
      Enter: (event) => editor.handleKey(event),
    };
  }

  showFacts() {
    const { parts, photo } = this;
    parts.name.textContent = photo.name;
    parts.class.textContent = photo.class;
    parts.state.textContent = photo.state;
    parts.state.className = `tag ${photo.state}`;
    parts.position.textContent = photo.position ? `${photo.position} of ${photo.total}` : `not in the filtered list of ${photo.total}`;
    parts.clear.disabled = !photo.decided;
    parts.stage.max = Math.max(0, photo.stages.length - 1);
    parts.stage.disabled = photo.stages.length < 2;
    parts.list.href = this.list;
    for (const direction of ["previous", "next", "next_undecided"]) {
      if (photo[direction]) parts[direction].href = this.urlOf(photo[direction]);
      else parts[direction].removeAttribute("href");
    }
    parts.facts.replaceChildren(
      ...listFacts(photo).flatMap(([name, text]) => [createElement("dt", {}, name), createElement("dd", {}, text)]),
    );
    this.updateTools();
  }

  // Shows the state of the tool, and enables the buttons that are possible now.
  updateTools() {
    const { parts, editor } = this;
    parts.undo.disabled = editor.isExtending || (!editor.isDirty && !canUndo());
    parts["undo-name"].textContent = editor.isDirty || !canUndo() ? "Undo" : "Undo decision";
    parts.save.disabled = !editor.isDirty || editor.isExtending;
    parts.accept.disabled = !this.stage || editor.isDirty;
    parts.size.value = editor.size;
    parts["size-name"].textContent = `${editor.size} px`;
    parts["size-label"].hidden = editor.tool === "polygon";
    parts.label.parentElement.hidden = editor.tool === "erase";
    parts.tools.hidden = !editor.tool;
    parts.hint.textContent = HINTS[editor.tool] ?? "";
    for (const button of this.toolButtons ?? []) button.setAttribute("aria-pressed", String(button.dataset.tool === editor.tool));
  }

  async changeStage(index) {
    if (index < 0 || index >= this.photo.stages.length || this.photo.stages[index] === this.stage) return;
    if (this.editor.isDirty && !window.confirm(UNSAVED_QUESTION)) this.parts.stage.value = this.photo.stages.indexOf(this.stage);
    else await runTask(() => this.showStage(index));
  }

  async showStage(index) {
    const { parts, photo } = this;
    const stage = photo.stages[index] ?? "";
    parts.stage.value = index;
    this.requestedStage = stage;
    const empty = { width: photo.width, height: photo.height, fingerprint: "", data: new Uint8Array(photo.width * photo.height) };
    const mask = stage ? await readMask(await request("api/mask", { name: this.name, stage })) : empty;
    if (this.requestedStage !== stage) return; // the slider has moved on
    this.stage = stage;
    this.fingerprint = mask.fingerprint;
    parts["stage-name"].textContent = stage ? stageName(stage) : "no mask yet: you can draw one";
    this.editor.reset();
    this.editor.drawPreview();
    this.viewer.setMask(mask);
    this.updateTools();
  }

  decide(decision) {
    const isOwnMask = decision === "accepted" && this.stage === REVIEWED;
    if (decision === "accepted" && (!this.stage || this.editor.isDirty)) {
      showStatus(this.stage ? "Save (s) or undo (z) your drawing before you accept." : "There is no mask to accept yet.");
      return undefined;
    }
    if (decision === "rejected" && this.editor.isDirty && !window.confirm(UNSAVED_QUESTION)) return undefined;
    if (this.photo.state === "fixed" && !isOwnMask && !window.confirm(REPLACE_QUESTION)) return undefined;
    if (decision === "accepted" && !this.mayUseMask()) return undefined;
    return this.runExclusively(async () => {
      if (isOwnMask && this.photo.state === "fixed") {
        showStatus("You have already fixed this mask; the decision stays 'fixed'.");
        return;
      }
      const choice = { decision, stage: this.stage, fingerprint: this.fingerprint };
      await remember(await post("api/decision", { name: this.name }, choice));
      this.editor.reset();
      await this.showNext(decision === "accepted" ? `accepted (${stageName(this.stage)})` : "rejected");
    });
  }

  // Asks before an empty mask is used, unless the photo shows no class at all.
  mayUseMask() {
    const isEmpty = !this.viewer.mask.data.some((label) => label !== 0 && label !== IGNORE);
    return !isEmpty || this.photo.negative || window.confirm(EMPTY_QUESTION);
  }

  urlOf(name) {
    return viewUrl("/photo", { name, ...this.filter });
  }

  openNextUndecided() {
    if (this.photo.next_undecided) location.hash = this.urlOf(this.photo.next_undecided);
    else showStatus("All other photos of this list have a decision.");
  }

  // Undoes the last stroke; without one, the last decision, of this or of another photo.
  undo() {
    if (this.editor.isDirty || this.editor.isExtending) this.editor.undo();
    else this.runExclusively(() => undoDecision(this.filter));
  }

  // Asks the server to extend a stroke of the smart brush.
  extendStroke(box, hints) {
    showStatus("Searching the edges of the object ...");
    return runTask(async () => {
      const headers = { "Content-Type": "application/octet-stream" };
      const response = await request("api/smart-brush", { name: this.name, ...box }, { method: "POST", headers, body: hints });
      const found = await readMask(response);
      showStatus("");
      return found;
    });
  }

  // Opens the next photo without a decision; the status line reports the decision and can undo it.
  async showNext(decision) {
    const { name } = this;
    const next = this.photo.next_undecided;
    if (next) location.hash = this.urlOf(next);
    else await this.reload();
    const button = { text: "Undo", onclick: () => undoDecision(this.filter) };
    showStatus(`${name}: ${decision}.${next ? "" : " All photos of this list have a decision."}`, { button });
  }

  clearDecision() {
    if (!this.photo.decided || (this.photo.state === "fixed" && !window.confirm(REPLACE_QUESTION))) return undefined;
    return this.runExclusively(async () => {
      await remember(await post("api/decision", { name: this.name }, { decision: null }));
      await this.reload();
      showStatus(`${this.name}: decision cleared.`);
    });
  }

  save() {
    if (this.editor.corners.length) showStatus("Fill the polygon (Enter), or remove its corners (z), before you save.");
    if (!this.editor.isDirty || this.editor.corners.length || this.editor.isExtending) return undefined;
    if (!this.mayUseMask()) return undefined;
    return this.runExclusively(async () => {
      const params = { name: this.name, stage: this.stage, fingerprint: this.fingerprint };
      const headers = { "Content-Type": "application/octet-stream" };
      await remember(await request("api/mask", params, { method: "PUT", headers, body: this.viewer.mask.data }));
      await this.reload();
      showStatus(`${this.name}: saved as fixed. fit will use this mask unchanged.`);
    });
  }

  async reload() {
    this.photo = await this.load();
    this.editor.reset();
    this.showFacts();
    await this.showStage(this.photo.stages.length - 1);
  }

  // Ignores the task if another one is running, such as after a double click.
  async runExclusively(task) {
    if (this.isBusy) return;
    this.isBusy = true;
    await runTask(task);
    this.isBusy = false;
  }
}

function stageName(stage) {
  return stage === REVIEWED ? "your mask" : stage.replace("round-", "round ");
}

function listFacts(photo) {
  const facts = [];
  const { quality, decided } = photo;
  const figure = (value) => (value === null ? "unknown" : value.toFixed(2));
  if (quality) {
    facts.push(["score", figure(quality.score)]);
    facts.push(["confidence", `${figure(quality.confidence)} (previous round: ${figure(quality.previous_confidence)})`]);
    const enhanced = quality.agreement_enhanced_mask === null ? "mask left unchanged by enhancement" : `${figure(quality.agreement_enhanced_mask)} with the enhanced mask`;
    const model = quality.agreement_linear_model === null ? "" : `, ${figure(quality.agreement_linear_model)} with the linear model`;
    facts.push(["agreement", `${figure(quality.agreement_training_mask)} with the training mask, ${enhanced}${model}`]);
    if (quality.correlation_linear_model !== null) facts.push(["correlation", `${figure(quality.correlation_linear_model)} with the linear model`]);
    facts.push(["area", `${formatPercent(quality.area_share)} of the photo`]);
    facts.push(["pieces", String(quality.pieces)]);
    facts.push(["border", `mask covers ${formatPercent(quality.border_share)} of the photo's border`]);
  } else facts.push(["score", "not available yet"]);
  if (photo.left_out) facts.push(["left out of training", photo.left_out]);
  if (decided) {
    const mask = decided.stage ? `, mask: ${stageName(decided.stage)}` : "";
    facts.push(["decision", `${decided.decision}${mask}, ${new Date(decided.time).toLocaleString()}`]);
  }
  return facts;
}

async function loadImage(name) {
  const response = await request("api/image", { name });
  return createImageBitmap(await response.blob());
}
