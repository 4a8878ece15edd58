// Shows a photo with its mask as an overlay: opacity, one checkbox per class, zoom.

import { createElement, fillTemplate, formatPercent } from "./dom.js";

export const IGNORE = 255;
const ZOOM_FACTORS = [1, 1.5, 2, 3, 4, 6, 8];

export class Viewer {
  constructor(container, run) {
    this.run = run;
    this.parts = fillTemplate(container, "viewer");
    this.hiddenLabels = new Set();
    this.zoomIndex = 0;
    this.mask = null;
    this.colors = run.colors.map((color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16)));
    this.parts.opacity.oninput = () => this.updateOpacity();
    this.parts.show.onchange = () => this.updateOpacity();
    this.parts.larger.onclick = () => this.zoomBy(1);
    this.parts.smaller.onclick = () => this.zoomBy(-1);
    this.parts.fit.onclick = () => this.zoomBy(-ZOOM_FACTORS.length);
    this.resizeObserver = new ResizeObserver(() => this.updateSize());
    this.resizeObserver.observe(this.parts.scroll);
    this.keys = {
      o: () => this.changeOpacity(-10),
      O: () => this.changeOpacity(10),
      m: () => this.parts.show.click(),
      "+": () => this.zoomBy(1),
      "=": () => this.zoomBy(1),
      "-": () => this.zoomBy(-1),
      0: () => this.zoomBy(-ZOOM_FACTORS.length),
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

  // Draws the overlay in the rectangle at (x, y) of width `w` and height `h`; edges between classes are white.
  paint(x = 0, y = 0, w = this.mask.width, h = this.mask.height) {
    const { width, height, data } = this.mask;
    const left = Math.max(0, x - 1); // neighbors of changed pixels may become or stop being edges
    const top = Math.max(0, y - 1);
    const right = Math.min(width, x + w + 1);
    const bottom = Math.min(height, y + h + 1);
    if (right <= left || bottom <= top) return;
    const pixels = new ImageData(right - left, bottom - top);
    let offset = 0;
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1, offset += 4) {
        const index = row * width + column;
        const label = data[index];
        if (label === 0 || this.hiddenLabels.has(label)) continue;
        const edge =
          (column > 0 && data[index - 1] !== label) ||
          (row > 0 && data[index - width] !== label) ||
          (column + 1 < width && data[index + 1] !== label) ||
          (row + 1 < height && data[index + width] !== label);
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

  zoomBy(steps) {
    const { scroll } = this.parts;
    const center = [
      (scroll.scrollLeft + scroll.clientWidth / 2) / scroll.scrollWidth,
      (scroll.scrollTop + scroll.clientHeight / 2) / scroll.scrollHeight,
    ];
    this.zoomIndex = Math.min(ZOOM_FACTORS.length - 1, Math.max(0, this.zoomIndex + steps));
    this.updateSize();
    scroll.scrollLeft = center[0] * scroll.scrollWidth - scroll.clientWidth / 2;
    scroll.scrollTop = center[1] * scroll.scrollHeight - scroll.clientHeight / 2;
  }

  updateSize() {
    const { scroll, sheet, photo } = this.parts;
    const style = getComputedStyle(scroll);
    const available = [parseFloat(style.width) - 2, parseFloat(style.height) - 2];
    const scale = Math.min(available[0] / photo.width, available[1] / photo.height) * ZOOM_FACTORS[this.zoomIndex];
    sheet.style.width = `${Math.floor(photo.width * scale)}px`;
    sheet.style.height = `${Math.floor(photo.height * scale)}px`;
  }
}
