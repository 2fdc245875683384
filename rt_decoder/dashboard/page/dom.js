// Make elements. Whatever comes from outside is text: nothing here makes HTML of it.

export const $ = (selector, within = document) => within.querySelector(selector);

export function make(tag, { text, title, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (title) element.title = title;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function svg(tag, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Set a text only where it changed: screen readers then hear changes alone.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
export const clock = (at) => (at ? CLOCK.format(1000 * at) : "");

// Whether a part of the page is to be made anew: what it shows is not what it showed.
export function isNews(element, shown) {
  const key = JSON.stringify(shown);
  if (element.dataset.key === key) return false;
  element.dataset.key = key;
  return true;
}

export const digits = (value, n = 2) =>
  typeof value === "number" && isFinite(value) ? value.toFixed(n) : "–";

export const chance = (p) => (typeof p === "number" ? (p < 0.001 ? "< .001" : `= ${digits(p, 3)}`) : "–");
