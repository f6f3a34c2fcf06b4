// Keeps the board up to date. Everything works without it, on reload.
"use strict";

const canonical = () => document.querySelector("main").dataset.url;

// After a refused action the address is the form's; the page is the board.
if (location.pathname !== "/") history.replaceState(null, "", canonical());

setTimeout(() => document.querySelector(".notice")?.remove(), 8000);

// What is replaced between a press and its release would lose the click.
let pressed = false;
addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => { setTimeout(() => { pressed = false; }, 50); });
}

async function refresh() {
  if (document.hidden || pressed) return;
  const url = canonical();
  const answer = await fetch(url, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (pressed || url !== canonical()) return;
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = next.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (!other || other.isEqualNode(part)) continue;
    const top = part.scrollTop;
    const focused = document.activeElement?.dataset?.key;
    part.replaceWith(other);
    other.scrollTop = top;
    if (focused) other.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

async function forever() {
  for (;;) {
    await new Promise((done) => setTimeout(done, 1000));
    // The simulator may be restarted meanwhile.
    await refresh().catch(() => {});
  }
}
forever();
