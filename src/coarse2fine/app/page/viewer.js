// A photo with its mask laid over it: opacity, a switch per class, zoom.

import { fill, make, percent } from "./parts.js";

export const IGNORE = 255;
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

export class Viewer {
  constructor(place, run) {
    this.run = run;
    this.parts = fill(place, "viewer");
    this.hidden = new Set();
    this.zoom = 0;
    this.mask = null;
    this.colors = run.colors.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
    this.parts.opacity.oninput = () => this.fade();
    this.parts.on.onchange = () => this.fade();
    this.parts.in.onclick = () => this.zoomBy(1);
    this.parts.out.onclick = () => this.zoomBy(-1);
    this.parts.fit.onclick = () => this.zoomBy(-ZOOMS.length);
    this.watcher = new ResizeObserver(() => this.layOut());
    this.watcher.observe(this.parts.scroll);
    this.keys = {
      o: () => this.changeOpacity(-10),
      O: () => this.changeOpacity(10),
      m: () => this.parts.on.click(),
      "+": () => this.zoomBy(1),
      "=": () => this.zoomBy(1),
      "-": () => this.zoomBy(-1),
      0: () => this.zoomBy(-ZOOMS.length),
    };
    for (let digit = 1; digit <= 9; digit += 1) this.keys[digit] = () => this.switches()[digit - 1]?.click();
    this.fade();
  }

  close() {
    this.watcher.disconnect();
  }

  // The picture may be null where a browser cannot show its format.
  show(picture, width, height) {
    for (const name of ["photo", "overlay", "draft"]) Object.assign(this.parts[name], { width, height });
    const context = this.parts.photo.getContext("2d");
    if (picture) context.drawImage(picture, 0, 0, width, height);
    else {
      context.fillStyle = "#777";
      context.fillRect(0, 0, width, height);
    }
    this.layOut();
  }

  setMask(mask) {
    this.mask = mask;
    this.paint();
    this.drawLegend();
  }

  // Colors of the part of the mask from (x, y), `w` wide and `h` high; a pixel beside another class is white.
  paint(x = 0, y = 0, w = this.mask.width, h = this.mask.height) {
    const { width, height, data } = this.mask;
    const left = Math.max(0, x - 1);
    const top = Math.max(0, y - 1);
    const right = Math.min(width, x + w + 1);
    const bottom = Math.min(height, y + h + 1);
    if (right <= left || bottom <= top) return;
    const image = new ImageData(right - left, bottom - top);
    let at = 0;
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1, at += 4) {
        const own = row * width + column;
        const label = data[own];
        if (label === 0 || this.hidden.has(label)) continue;
        const edge =
          (column > 0 && data[own - 1] !== label) ||
          (row > 0 && data[own - width] !== label) ||
          (column + 1 < width && data[own + 1] !== label) ||
          (row + 1 < height && data[own + width] !== label);
        const color = edge ? [255, 255, 255] : this.colors[label];
        image.data[at] = color[0];
        image.data[at + 1] = color[1];
        image.data[at + 2] = color[2];
        image.data[at + 3] = 255;
      }
    }
    this.parts.overlay.getContext("2d").putImageData(image, left, top);
  }

  drawLegend() {
    const counts = new Array(256).fill(0);
    for (const label of this.mask.data) counts[label] += 1;
    const found = counts.map((count, label) => [label, count]).filter(([label, count]) => label && count);
    const items = found.map(([label, count], index) => this.drawSwitch(label, count / this.mask.data.length, index));
    this.parts.legend.replaceChildren(...(items.length ? items : [make("li", {}, "none: all is background")]));
  }

  drawSwitch(label, share, index) {
    const swatch = make("canvas", { class: "swatch", width: 16, height: 16, "aria-hidden": "true" });
    const context = swatch.getContext("2d");
    context.fillStyle = this.run.colors[label];
    context.fillRect(0, 0, 16, 16);
    const box = make("input", { type: "checkbox", checked: !this.hidden.has(label) });
    box.onchange = () => {
      if (box.checked) this.hidden.delete(label);
      else this.hidden.add(label);
      this.paint();
    };
    const key = index < 9 ? make("kbd", {}, String(index + 1)) : "";
    return make("li", {}, make("label", {}, box, swatch, `${this.nameOf(label)} ${percent(share)}`, key));
  }

  nameOf(label) {
    return label === IGNORE ? "ignored" : (this.run.classes[label] ?? String(label));
  }

  switches() {
    return [...this.parts.legend.querySelectorAll("input")];
  }

  fade() {
    this.parts.overlay.style.opacity = this.parts.on.checked ? Number(this.parts.opacity.value) / 100 : 0;
  }

  changeOpacity(step) {
    this.parts.opacity.value = Number(this.parts.opacity.value) + step;
    this.fade();
  }

  zoomBy(steps) {
    const { scroll } = this.parts;
    const center = [
      (scroll.scrollLeft + scroll.clientWidth / 2) / scroll.scrollWidth,
      (scroll.scrollTop + scroll.clientHeight / 2) / scroll.scrollHeight,
    ];
    this.zoom = Math.min(ZOOMS.length - 1, Math.max(0, this.zoom + steps));
    this.layOut();
    scroll.scrollLeft = center[0] * scroll.scrollWidth - scroll.clientWidth / 2;
    scroll.scrollTop = center[1] * scroll.scrollHeight - scroll.clientHeight / 2;
  }

  layOut() {
    const { scroll, sheet, photo } = this.parts;
    const style = getComputedStyle(scroll);
    const room = [parseFloat(style.width) - 2, parseFloat(style.height) - 2];
    const factor = Math.min(room[0] / photo.width, room[1] / photo.height) * ZOOMS[this.zoom];
    sheet.style.width = `${Math.floor(photo.width * factor)}px`;
    sheet.style.height = `${Math.floor(photo.height * factor)}px`;
  }
}
