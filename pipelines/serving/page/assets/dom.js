"use strict";
// Elements, and numbers as people read them. Scripts here are plain ones, so that the page also runs
// from disk, where a browser loads no modules.

const byId = (id) => document.getElementById(id);

// make("p", {class: "note"}, "text", element): text is never read as HTML.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "circle", "text", "title"].includes(tag);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Only what changes is written, so that a selection, and what a screen reader has, stay.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = (number) => Math.round(number).toLocaleString("en");
const share = (number) => number.toFixed(2);
const percent = (number) => `${(100 * number).toFixed(0)}%`;
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

// A bar from 0 to 1. The number beside it says the same in words, so readers pass over it.
function bar(value, line = null) {
  const outer = make("span", { class: "bar", "aria-hidden": "true" });
  const inner = make("span", { class: "fill" });
  inner.style.width = `${100 * Math.min(1, value)}%`;
  outer.append(inner);
  if (line !== null && line <= 1) {
    const mark = make("span", { class: "line" });
    mark.style.left = `${100 * line}%`;
    outer.append(mark);
  }
  return outer;
}
