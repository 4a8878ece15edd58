// Shows a photo with its mask as an overlay: opacity, one checkbox per class, zoom.

import { createElement, fillTemplate, formatPercent } from "./dom.js";

export const IGNORE = 255;
const MAX_ZOOM = 16;
const ZOOM_STEP = 1.5;
const WHEEL_STEP = 0.002; // of the logarithm of the zoom, per pixel of the wheel
const EDGE_SHARE = 1 / 400; // width of the edges between classes, of the longer side: visible in a large photo, too

export class Viewer {
  constructor(container, run) {
    this.run = run;
    this.parts = fillTemplate(container, "viewer");
    this.hiddenLabels = new Set();
    this.zoom = 1; // 1: the whole photo is visible
    this.mask = null;
    this.colors = run.colors.map((color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16)));
    this.parts.opacity.oninput = () => this.updateOpacity();
    this.parts.show.onchange = () => this.updateOpacity();
    this.parts.larger.onclick = () => this.zoomBy(ZOOM_STEP);
    this.parts.smaller.onclick = () => this.zoomBy(1 / ZOOM_STEP);
    this.parts.fit.onclick = () => this.zoomBy(0);
    this.addPointerListeners();
    this.resizeObserver = new ResizeObserver(() => this.updateSize());
    this.resizeObserver.observe(this.parts.scroll);
    this.keys = {
      o: () => this.changeOpacity(-10),
      O: () => this.changeOpacity(10),
      m: () => this.parts.show.click(),
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      0: () => this.zoomBy(0),
    };
    for (let digit = 1; digit <= 9; digit += 1) this.keys[digit] = () => this.checkboxes()[digit - 1]?.click();
    this.updateOpacity();
  }

  close() {
    this.resizeObserver.disconnect();
  }

  // `image` is null if the browser cannot display its format.
  setPhoto(image, width, height) {
    for (const name of ["photo", "overlay", "preview"]) Object.assign(this.parts[name], { width, height });
    const context = this.parts.photo.getContext("2d");
    if (image) context.drawImage(image, 0, 0, width, height);
    else {
      context.fillStyle = "#777";
      context.fillRect(0, 0, width, height);
    }
    this.updateSize();
  }

  setMask(mask) {
    this.mask = mask;
    this.paint();
    this.updateLegend();
  }

  // Draws the overlay in the rectangle at (x, y) of width `w` and height `h`; the inner edges of classes are white.
  paint(x = 0, y = 0, w = this.mask.width, h = this.mask.height) {
    const { width, height, data } = this.mask;
    const thick = Math.max(1, Math.round(Math.max(width, height) * EDGE_SHARE));
    const left = Math.max(0, x - thick); // neighbors of changed pixels may become or stop being edges
    const top = Math.max(0, y - thick);
    const right = Math.min(width, x + w + thick);
    const bottom = Math.min(height, y + h + thick);
    if (right <= left || bottom <= top) return;
    const pixels = new ImageData(right - left, bottom - top);
    let offset = 0;
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1, offset += 4) {
        const index = row * width + column;
        const label = data[index];
        if (label === 0 || this.hiddenLabels.has(label)) continue;
        let edge = false;
        for (let step = 1; step <= thick && !edge; step += 1) {
          edge =
            (column >= step && data[index - step] !== label) ||
            (row >= step && data[index - step * width] !== label) ||
            (column + step < width && data[index + step] !== label) ||
            (row + step < height && data[index + step * width] !== label);
        }
        const color = edge ? [255, 255, 255] : this.colors[label];
        pixels.data[offset] = color[0];
        pixels.data[offset + 1] = color[1];
        pixels.data[offset + 2] = color[2];
        pixels.data[offset + 3] = 255;
      }
    }
    this.parts.overlay.getContext("2d").putImageData(pixels, left, top);
  }

  updateLegend() {
    const counts = new Array(256).fill(0);
    for (const label of this.mask.data) counts[label] += 1;
    const present = counts.map((count, label) => [label, count]).filter(([label, count]) => label && count);
    const items = present.map(([label, count], index) => this.createLegendEntry(label, count / this.mask.data.length, index));
    this.parts.legend.replaceChildren(...(items.length ? items : [createElement("li", {}, "none: the mask is all background")]));
  }

  createLegendEntry(label, share, index) {
    const swatch = createElement("canvas", { class: "swatch", width: 16, height: 16, "aria-hidden": "true" });
    const context = swatch.getContext("2d");
    context.fillStyle = this.run.colors[label];
    context.fillRect(0, 0, 16, 16);
    const checkbox = createElement("input", { type: "checkbox", checked: !this.hiddenLabels.has(label) });
    checkbox.onchange = () => {
      if (checkbox.checked) this.hiddenLabels.delete(label);
      else this.hiddenLabels.add(label);
      this.paint();
    };
    const key = index < 9 ? createElement("kbd", {}, String(index + 1)) : "";
    return createElement("li", {}, createElement("label", {}, checkbox, swatch, `${this.classNameOf(label)} ${formatPercent(share)}`, key));
  }

  classNameOf(label) {
    return label === IGNORE ? "ignored" : (this.run.classes[label] ?? String(label));
  }

  checkboxes() {
    return [...this.parts.legend.querySelectorAll("input")];
  }

  updateOpacity() {
    this.parts.overlay.style.opacity = this.parts.show.checked ? Number(this.parts.opacity.value) / 100 : 0;
  }

  changeOpacity(step) {
    this.parts.opacity.value = Number(this.parts.opacity.value) + step;
    this.updateOpacity();
  }

  // Multiplies the zoom; the point of the photo at a place of the window, by default at the center, stays where it is.
  zoomBy(factor, place = null) {
    const { scroll, sheet } = this.parts;
    const outer = scroll.getBoundingClientRect();
    const { x, y } = place ?? { x: outer.left + outer.width / 2, y: outer.top + outer.height / 2 };
    const before = sheet.getBoundingClientRect();
    const share = { x: (x - before.left) / before.width, y: (y - before.top) / before.height };
    this.zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    this.updateSize();
    const after = sheet.getBoundingClientRect();
    scroll.scrollLeft += after.left + share.x * after.width - x;
    scroll.scrollTop += after.top + share.y * after.height - y;
  }

  // Wheel and two fingers zoom; without a tool, the mouse moves the photo.
  addPointerListeners() {
    const { scroll } = this.parts;
    scroll.addEventListener("wheel", (event) => this.handleWheel(event), { passive: false });
    let fingers = null; // place and distance of two fingers
    const start = (event) => (fingers = event.touches.length === 2 ? measureFingers(event.touches) : null);
    scroll.addEventListener("touchstart", start, { passive: true });
    scroll.addEventListener("touchend", start, { passive: true });
    scroll.addEventListener("touchcancel", () => (fingers = null));
    scroll.addEventListener(
      "touchmove",
      (event) => {
        if (!fingers || event.touches.length !== 2) return;
        event.preventDefault();
        const now = measureFingers(event.touches);
        this.zoomBy(now.distance / fingers.distance, fingers);
        scroll.scrollLeft += fingers.x - now.x;
        scroll.scrollTop += fingers.y - now.y;
        fingers = now;
      },
      { passive: false },
    );
    scroll.addEventListener("pointermove", (event) => {
      const isDragged = event.pointerType === "mouse" && event.buttons === 1 && !this.isDrawing;
      if (!isDragged) return;
      scroll.scrollLeft -= event.movementX;
      scroll.scrollTop -= event.movementY;
    });
  }

  get isDrawing() {
    return this.parts.sheet.classList.contains("drawing");
  }

  // The page scrolls if the photo cannot become smaller; with Shift, the photo scrolls sideways.
  handleWheel(event) {
    if (event.shiftKey || (this.zoom === 1 && event.deltaY > 0)) return;
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 * event.deltaY : event.deltaY;
    const speed = event.ctrlKey ? 5 : 1; // two fingers on a touchpad arrive as small steps with Ctrl
    this.zoomBy(Math.exp(-WHEEL_STEP * speed * pixels), { x: event.clientX, y: event.clientY });
  }

  updateSize() {
    const { scroll, sheet, photo } = this.parts;
    const style = getComputedStyle(scroll);
    const available = [parseFloat(style.width) - 2, parseFloat(style.height) - 2];
    const scale = Math.min(available[0] / photo.width, available[1] / photo.height) * this.zoom;
    sheet.style.width = `${Math.floor(photo.width * scale)}px`;
    sheet.style.height = `${Math.floor(photo.height * scale)}px`;
    sheet.classList.toggle("zoomed", this.zoom > 1);
  }
}

function measureFingers([one, other]) {
  return {
    x: (one.clientX + other.clientX) / 2,
    y: (one.clientY + other.clientY) / 2,
    distance: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
  };
}
