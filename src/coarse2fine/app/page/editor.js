// Draws on a viewer's mask: brush, eraser, polygon; by pointer or by keys; undo.

const UNDOS = 100;

export class Editor {
  // `changed` is called after each stroke, undo or change of tool.
  constructor(viewer, changed) {
    this.viewer = viewer;
    this.changed = changed;
    this.canvas = viewer.parts.draft;
    this.tool = null;
    this.label = 1;
    this.size = 12;
    this.reset();
    this.canvas.onpointerdown = (event) => this.press(event);
    this.canvas.onpointermove = (event) => this.move(event);
    this.canvas.onpointerup = () => this.release();
    this.canvas.onpointercancel = () => this.release();
    this.canvas.onpointerleave = () => this.last || this.sketch();
    this.canvas.ondblclick = () => this.closePolygon();
  }

  get isDirty() {
    return this.undos.length > 0 || this.corners.length > 0;
  }

  // Begins anew on another mask, or after it was saved.
  reset() {
    this.undos = [];
    this.corners = [];
    this.before = null;
    this.last = null;
    this.touched = null;
    this.cursor = null;
  }

  choose(tool) {
    this.tool = this.tool === tool ? null : tool;
    this.corners = [];
    this.viewer.parts.sheet.classList.toggle("drawing", this.tool !== null);
    if (this.tool) this.canvas.focus({ preventScroll: true });
    this.sketch();
    this.changed();
  }

  resize(size) {
    this.size = Math.min(120, Math.max(1, size));
    this.sketch(this.cursor);
    this.changed();
  }

  undo() {
    if (this.corners.length) this.corners.pop();
    else {
      const step = this.undos.pop();
      if (!step) return;
      const { data, width } = this.viewer.mask;
      for (let row = 0; row < step.h; row += 1) {
        data.set(step.data.subarray(row * step.w, (row + 1) * step.w), (step.y + row) * width + step.x);
      }
      this.viewer.paint(step.x, step.y, step.w, step.h);
      this.viewer.drawLegend();
    }
    this.sketch(this.cursor);
    this.changed();
  }

  press(event) {
    if (!this.tool || event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.cursor = this.place(event);
    if (this.tool === "polygon") {
      if (event.detail < 2) this.addCorner(this.cursor);
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.begin();
    this.last = this.cursor;
    this.stamp(this.cursor, this.cursor);
  }

  move(event) {
    if (!this.tool) return;
    this.cursor = this.place(event);
    if (this.last) {
      this.stamp(this.last, this.cursor);
      this.last = this.cursor;
    }
    this.sketch(this.cursor);
  }

  release() {
    if (!this.last) return;
    this.last = null;
    this.end();
  }

  // Arrows, Space and Enter while a tool is chosen and the mask has the focus; false where the key means nothing here.
  pressKey(event) {
    if (!this.tool || document.activeElement !== this.canvas) return false;
    const { width, height } = this.viewer.mask;
    const step = event.shiftKey ? 1 : Math.max(2, Math.round(this.tool === "polygon" ? width / 60 : this.size / 2));
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { x, y } = this.cursor ?? { x: width / 2, y: height / 2 };
    this.cursor = { x, y };
    if (way) {
      this.cursor = { x: clamp(x + way[0] * step, width), y: clamp(y + way[1] * step, height) };
    } else if (event.key === " " && this.tool === "polygon") this.addCorner(this.cursor);
    else if (event.key === " ") {
      this.begin();
      this.stamp(this.cursor, this.cursor);
      this.end();
    } else if (event.key === "Enter") this.closePolygon();
    else return false;
    this.sketch(this.cursor);
    return true;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.viewer.mask;
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  }

  begin() {
    this.before = this.viewer.mask.data.slice();
    this.touched = null;
  }

  // Keeps what a stroke has changed, so that it can be undone.
  end() {
    const { touched, before } = this;
    const { data, width } = this.viewer.mask;
    this.before = null;
    if (!touched) return;
    const [x, y, w, h] = [touched.x0, touched.y0, touched.x1 - touched.x0, touched.y1 - touched.y0];
    const kept = new Uint8Array(w * h);
    let differs = false;
    for (let row = 0; row < h; row += 1) {
      const at = (y + row) * width + x;
      kept.set(before.subarray(at, at + w), row * w);
      differs ||= kept.subarray(row * w, (row + 1) * w).some((label, column) => label !== data[at + column]);
    }
    if (!differs) return;
    this.undos.push({ x, y, w, h, data: kept });
    if (this.undos.length > UNDOS) this.undos.shift();
    this.viewer.drawLegend();
    this.changed();
  }

  // A disc along the way from one place to another.
  stamp(from, to) {
    const radius = this.size / 2;
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(0.5, radius / 2)));
    for (let step = 0; step <= steps; step += 1) {
      const share = step / steps;
      this.disc(from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share, radius);
    }
  }

  disc(x, y, radius) {
    const { data, width, height } = this.viewer.mask;
    const label = this.tool === "erase" ? 0 : this.label;
    const reach = Math.max(radius, 0.71); // the smallest brush still meets the middle of one pixel
    const [x0, x1] = span(x, reach, width);
    const [y0, y1] = span(y, reach, height);
    for (let row = y0; row < y1; row += 1) {
      for (let column = x0; column < x1; column += 1) {
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= reach * reach) data[row * width + column] = label;
      }
    }
    this.touch(x0, y0, x1, y1);
  }

  touch(x0, y0, x1, y1) {
    if (x1 <= x0 || y1 <= y0) return;
    const old = this.touched ?? { x0, y0, x1, y1 };
    this.touched = { x0: Math.min(old.x0, x0), y0: Math.min(old.y0, y0), x1: Math.max(old.x1, x1), y1: Math.max(old.y1, y1) };
    this.viewer.paint(x0, y0, x1 - x0, y1 - y0);
  }

  addCorner(place) {
    this.corners.push(place);
    this.sketch(place);
    this.changed();
  }

  closePolygon() {
    if (this.tool !== "polygon" || this.corners.length < 3) return;
    const corners = this.corners;
    this.corners = [];
    this.begin();
    this.fillPolygon(corners);
    this.end();
    this.sketch(this.cursor);
    this.changed();
  }

  // Pixels whose middle lies inside, by the even-odd rule.
  fillPolygon(corners) {
    const { data, width, height } = this.viewer.mask;
    const y0 = Math.max(0, Math.floor(Math.min(...corners.map((corner) => corner.y))));
    const y1 = Math.min(height, Math.ceil(Math.max(...corners.map((corner) => corner.y))));
    for (let row = y0; row < y1; row += 1) {
      const crossings = findCrossings(corners, row + 0.5);
      for (let at = 0; at + 1 < crossings.length; at += 2) {
        const x0 = Math.max(0, Math.ceil(crossings[at] - 0.5));
        const x1 = Math.min(width, Math.ceil(crossings[at + 1] - 0.5));
        if (x1 > x0) data.fill(this.label, row * width + x0, row * width + x1);
        this.touch(x0, row, x1, row + 1);
      }
    }
  }

  // What is not drawn yet: the brush's outline, or a polygon's corners.
  sketch(place = null) {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.tool) return;
    const thin = Math.max(1, this.canvas.width / (parseFloat(this.viewer.parts.sheet.style.width) || 1));
    const path = new Path2D();
    if (this.tool === "polygon") {
      const all = place ? [...this.corners, place] : this.corners;
      all.forEach((corner, index) => (index ? path.lineTo(corner.x, corner.y) : path.moveTo(corner.x, corner.y)));
      for (const corner of all) path.rect(corner.x - 2 * thin, corner.y - 2 * thin, 4 * thin, 4 * thin);
    } else if (place) path.arc(place.x, place.y, Math.max(0.71, this.size / 2), 0, 2 * Math.PI);
    for (const [color, width] of [["#000", 3 * thin], ["#fff", 1.4 * thin]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke(path);
    }
  }
}

function findCrossings(corners, y) {
  const found = [];
  corners.forEach((one, index) => {
    const other = corners[(index + 1) % corners.length];
    if (one.y <= y !== other.y <= y) found.push(one.x + ((y - one.y) / (other.y - one.y)) * (other.x - one.x));
  });
  return found.sort((a, b) => a - b);
}

const clamp = (value, limit) => Math.min(limit - 0.5, Math.max(0.5, value));
const span = (middle, reach, limit) => [Math.max(0, Math.floor(middle - reach)), Math.min(limit, Math.ceil(middle + reach))];
