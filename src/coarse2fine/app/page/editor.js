// Draws on the mask of a viewer with brush, smart brush, eraser and polygon, by pointer or by keys; with undo.

import { showStatus } from "./dom.js";

const MAX_UNDO_STEPS = 100;
const SMART_REACH = 1.5; // of the smart brush: distance from the stroke, in brush sizes
const SMART_REACH_SHARE = 0.35; // the same, of the longer side of the stroke; the larger of both counts
const [STROKE, SAME_CLASS] = [1, 2]; // hints for the server

export class Editor {
  // `onChange` is called after each stroke, undo or change of tool. `extend(box, hints)` asks the server to extend a
  // stroke of the smart brush; it returns a binary mask of the size of the box, or undefined.
  constructor(viewer, onChange, extend) {
    this.viewer = viewer;
    this.onChange = onChange;
    this.extend = extend;
    this.isExtending = false;
    this.canvas = viewer.parts.preview;
    this.tool = null;
    this.label = 1;
    this.size = 12;
    this.reset();
    this.canvas.onpointerdown = (event) => this.handleDown(event);
    this.canvas.onpointermove = (event) => this.handleMove(event);
    this.canvas.onpointerup = () => this.handleUp();
    this.canvas.onpointercancel = () => this.handleUp();
    this.canvas.onpointerleave = () => this.lastPoint || this.drawPreview();
    this.canvas.ondblclick = () => this.closePolygon();
  }

  get isDirty() {
    return this.undoSteps.length > 0 || this.corners.length > 0;
  }

  // Forgets all undo steps: another mask is shown, or the mask was saved.
  reset() {
    this.undoSteps = [];
    this.corners = [];
    this.before = null;
    this.lastPoint = null;
    this.changedBox = null;
    this.stroke = null;
    this.cursor = null;
  }

  toggleTool(tool) {
    this.tool = this.tool === tool ? null : tool;
    this.corners = [];
    this.viewer.parts.sheet.classList.toggle("drawing", this.tool !== null);
    if (this.tool) this.canvas.focus({ preventScroll: true });
    this.drawPreview();
    this.onChange();
  }

  setSize(size) {
    this.size = Math.min(120, Math.max(1, size));
    this.drawPreview(this.cursor);
    this.onChange();
  }

  undo() {
    if (this.isExtending) return;
    if (this.corners.length) this.corners.pop();
    else {
      const step = this.undoSteps.pop();
      if (!step) return;
      const { data, width } = this.viewer.mask;
      for (let row = 0; row < step.h; row += 1) {
        data.set(step.data.subarray(row * step.w, (row + 1) * step.w), (step.y + row) * width + step.x);
      }
      this.viewer.paint(step.x, step.y, step.w, step.h);
      this.viewer.updateLegend();
    }
    this.drawPreview(this.cursor);
    this.onChange();
  }

  handleDown(event) {
    if (!event.isPrimary) this.cancelStroke(); // a second finger: it zooms
    if (!this.tool || event.button !== 0 || !event.isPrimary || this.isExtending) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.cursor = this.pixelOf(event);
    if (this.tool === "polygon") {
      if (event.detail < 2) this.addCorner(this.cursor);
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.beginStroke();
    this.lastPoint = this.cursor;
    this.drawLine(this.cursor, this.cursor);
  }

  handleMove(event) {
    if (!this.tool) return;
    this.cursor = this.pixelOf(event);
    if (this.lastPoint) {
      this.drawLine(this.lastPoint, this.cursor);
      this.lastPoint = this.cursor;
    }
    this.drawPreview(this.cursor);
  }

  handleUp() {
    if (!this.lastPoint) return;
    this.lastPoint = null;
    this.endStroke();
  }

  cancelStroke() {
    if (this.tool === "polygon") this.corners.pop();
    if (!this.before) return;
    this.viewer.mask.data.set(this.before);
    this.before = this.lastPoint = this.stroke = null;
    this.viewer.paint();
  }

  // Handles arrows, Space and Enter while a tool is selected and the mask has the focus; returns false for other keys.
  handleKey(event) {
    if (!this.tool || document.activeElement !== this.canvas || this.isExtending) return false;
    const { width, height } = this.viewer.mask;
    const step = event.shiftKey ? 1 : Math.max(2, Math.round(this.tool === "polygon" ? width / 60 : this.size / 2));
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { x, y } = this.cursor ?? { x: width / 2, y: height / 2 };
    this.cursor = { x, y };
    if (direction) {
      this.cursor = { x: clamp(x + direction[0] * step, width), y: clamp(y + direction[1] * step, height) };
    } else if (event.key === " " && this.tool === "polygon") this.addCorner(this.cursor);
    else if (event.key === " ") {
      this.beginStroke();
      this.drawLine(this.cursor, this.cursor);
      this.endStroke();
    } else if (event.key === "Enter") this.closePolygon();
    else return false;
    this.drawPreview(this.cursor);
    return true;
  }

  pixelOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.viewer.mask;
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  }

  beginStroke() {
    this.before = this.viewer.mask.data.slice();
    this.stroke = this.tool === "smart" ? new Uint8Array(this.before.length) : null;
    this.changedBox = null;
  }

  async endStroke() {
    const isSmart = this.stroke !== null;
    if (isSmart && this.changedBox) await this.extendStroke();
    const steps = this.undoSteps.length;
    if (this.before) this.addUndoStep();
    if (isSmart && this.undoSteps.length === steps) showStatus("The smart brush found nothing to add here.");
  }

  // Extends a rough stroke to the edges of the object. If that fails, the stroke stays as it was drawn.
  async extendStroke() {
    const { mask } = this.viewer;
    const { x0, y0, x1, y1 } = this.changedBox;
    const reach = Math.max(SMART_REACH * this.size, SMART_REACH_SHARE * Math.max(x1 - x0, y1 - y0));
    const pad = Math.ceil(1.5 * reach); // the background needs colors, too
    const [left, top] = [Math.max(0, x0 - pad), Math.max(0, y0 - pad)];
    const [width, height] = [Math.min(mask.width, x1 + pad) - left, Math.min(mask.height, y1 + pad) - top];
    const hints = new Uint8Array(width * height);
    const { label, before, stroke } = this;
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const index = (top + row) * mask.width + left + column;
        hints[row * width + column] = stroke[index] ? STROKE : before[index] === label ? SAME_CLASS : 0;
      }
    }
    this.isExtending = true;
    this.onChange();
    const found = await this.extend({ x: left, y: top, width, height, reach }, hints);
    this.isExtending = false;
    if (found && this.before === before) {
      for (let row = 0; row < height; row += 1) {
        for (let column = 0; column < width; column += 1) {
          if (found.data[row * width + column]) mask.data[(top + row) * mask.width + left + column] = label;
        }
      }
      this.extendChangedBox(left, top, left + width, top + height);
    }
    this.onChange();
  }

  // Adds the stroke to the undo steps, unless it changed no pixel.
  addUndoStep() {
    const { changedBox, before } = this;
    const { data, width } = this.viewer.mask;
    this.before = this.stroke = null;
    if (!changedBox) return;
    const [x, y, w, h] = [changedBox.x0, changedBox.y0, changedBox.x1 - changedBox.x0, changedBox.y1 - changedBox.y0];
    const oldLabels = new Uint8Array(w * h);
    let differs = false;
    for (let row = 0; row < h; row += 1) {
      const start = (y + row) * width + x;
      oldLabels.set(before.subarray(start, start + w), row * w);
      differs ||= oldLabels.subarray(row * w, (row + 1) * w).some((label, column) => label !== data[start + column]);
    }
    if (!differs) return;
    this.undoSteps.push({ x, y, w, h, data: oldLabels });
    if (this.undoSteps.length > MAX_UNDO_STEPS) this.undoSteps.shift();
    this.viewer.updateLegend();
    this.onChange();
  }

  // Draws discs along a line.
  drawLine(from, to) {
    const radius = this.size / 2;
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(0.5, radius / 2)));
    for (let step = 0; step <= steps; step += 1) {
      const share = step / steps;
      this.drawDisc(from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share, radius);
    }
  }

  drawDisc(x, y, radius) {
    const { data, width, height } = this.viewer.mask;
    const label = this.tool === "erase" ? 0 : this.label;
    const reach = Math.max(radius, 0.71); // the smallest brush must contain the center of a pixel
    const [x0, x1] = span(x, reach, width);
    const [y0, y1] = span(y, reach, height);
    for (let row = y0; row < y1; row += 1) {
      for (let column = x0; column < x1; column += 1) {
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= reach * reach) {
          data[row * width + column] = label;
          if (this.stroke) this.stroke[row * width + column] = 1;
        }
      }
    }
    this.extendChangedBox(x0, y0, x1, y1);
  }

  extendChangedBox(x0, y0, x1, y1) {
    if (x1 <= x0 || y1 <= y0) return;
    const old = this.changedBox ?? { x0, y0, x1, y1 };
    this.changedBox = { x0: Math.min(old.x0, x0), y0: Math.min(old.y0, y0), x1: Math.max(old.x1, x1), y1: Math.max(old.y1, y1) };
    this.viewer.paint(x0, y0, x1 - x0, y1 - y0);
  }

  addCorner(point) {
    this.corners.push(point);
    this.drawPreview(point);
    this.onChange();
  }

  closePolygon() {
    if (this.tool !== "polygon" || this.corners.length < 3) return;
    const corners = this.corners;
    this.corners = [];
    this.beginStroke();
    this.fillPolygon(corners);
    this.endStroke();
    this.drawPreview(this.cursor);
    this.onChange();
  }

  // Fills the pixels with a center inside the polygon, by the even-odd rule.
  fillPolygon(corners) {
    const { data, width, height } = this.viewer.mask;
    const y0 = Math.max(0, Math.floor(Math.min(...corners.map((corner) => corner.y))));
    const y1 = Math.min(height, Math.ceil(Math.max(...corners.map((corner) => corner.y))));
    for (let row = y0; row < y1; row += 1) {
      const crossings = findCrossings(corners, row + 0.5);
      for (let index = 0; index + 1 < crossings.length; index += 2) {
        const x0 = Math.max(0, Math.ceil(crossings[index] - 0.5));
        const x1 = Math.min(width, Math.ceil(crossings[index + 1] - 0.5));
        if (x1 > x0) data.fill(this.label, row * width + x0, row * width + x1);
        this.extendChangedBox(x0, row, x1, row + 1);
      }
    }
  }

  // Draws the outline of the brush, or the polygon that is not filled yet.
  // A dark line under a light one is visible on any photo.
  drawPreview(point = null) {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.tool) return;
    const lineWidth = Math.max(1, this.canvas.width / (parseFloat(this.viewer.parts.sheet.style.width) || 1));
    const path = new Path2D();
    if (this.tool === "polygon") {
      const corners = point ? [...this.corners, point] : this.corners;
      corners.forEach((corner, index) => (index ? path.lineTo(corner.x, corner.y) : path.moveTo(corner.x, corner.y)));
      for (const corner of corners) path.rect(corner.x - 2 * lineWidth, corner.y - 2 * lineWidth, 4 * lineWidth, 4 * lineWidth);
    } else if (point) path.arc(point.x, point.y, Math.max(0.71, this.size / 2), 0, 2 * Math.PI);
    for (const [color, width] of [["#000", 3 * lineWidth], ["#fff", 1.4 * lineWidth]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke(path);
    }
  }
}

function findCrossings(corners, y) {
  const crossings = [];
  corners.forEach((one, index) => {
    const other = corners[(index + 1) % corners.length];
    if (one.y <= y !== other.y <= y) crossings.push(one.x + ((y - one.y) / (other.y - one.y)) * (other.x - one.x));
  });
  return crossings.sort((a, b) => a - b);
}

const clamp = (value, limit) => Math.min(limit - 0.5, Math.max(0.5, value));
const span = (center, reach, limit) => [Math.max(0, Math.floor(center - reach)), Math.min(limit, Math.ceil(center + reach))];
