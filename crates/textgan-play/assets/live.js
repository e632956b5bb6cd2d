// Draws the page anew when what it shows has changed. What was opened stays open, and the place and the focus stay.
const query = location.search;
let shown = null;

async function version() {
  const response = await fetch("version" + query);
  if (!response.ok) throw new Error(response.statusText);
  return response.text();
}

// What can be opened, scrolled by itself or have the focus, by its section and what it says; tables by their order.
function holders(root) {
  const found = new Map();
  for (const element of root.querySelectorAll("header a, main a, main summary, main [tabindex]")) {
    let key = (element.closest("section")?.id ?? "") + (element.matches("a, summary") ? element.textContent : "table");
    while (found.has(key)) key += ", another";
    found.set(key, element);
  }
  return found;
}

async function redraw() {
  const response = await fetch("./" + query);
  if (!response.ok) throw new Error(response.statusText);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const after = holders(page);
  const stays = [...holders(document)].filter(([key]) => after.has(key)).map(([key, old]) => {
    const now = after.get(key);
    if (now.matches("summary")) now.parentElement.open = old.parentElement.open;
    return { now, left: old.scrollLeft, top: old.scrollTop, focused: old === document.activeElement };
  });
  document.title = page.title;
  document.querySelector("header").replaceWith(page.querySelector("header"));
  document.querySelector("main").replaceWith(page.querySelector("main"));
  for (const { now, left, top, focused } of stays) {
    [now.scrollLeft, now.scrollTop] = [left, top];
    if (focused) now.focus({ preventScroll: true });
  }
  document.dispatchEvent(new Event("redrawn"));
}

// Said once, not at every look: screen readers read out what is written there.
function say(text) {
  const status = document.querySelector("#live");
  if (status && status.textContent !== text) status.textContent = text;
}

async function look() {
  try {
    const now = await version();
    if (shown !== null && now !== shown) await redraw();
    shown = now;
    say("live");
  } catch {
    say("the server is gone: this is the last that was seen");
  }
  setTimeout(look, document.hidden ? 10_000 : 2_000);
}

look();
