// Draws the page anew when what it shows has changed; what was opened stays open, and the place stays.
const query = location.search;
let shown = null;

async function version() {
  const response = await fetch("version" + query);
  if (!response.ok) throw new Error(response.statusText);
  return response.text();
}

async function redraw() {
  const response = await fetch("./" + query);
  if (!response.ok) throw new Error(response.statusText);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const name = (details) => (details.closest("section")?.id ?? "") + details.querySelector("summary").textContent;
  const open = new Map([...document.querySelectorAll("details")].map((d) => [name(d), d.open]));
  for (const details of page.querySelectorAll("details")) {
    if (open.has(name(details))) details.open = open.get(name(details));
  }
  document.title = page.title;
  document.querySelector("header").replaceWith(page.querySelector("header"));
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.dispatchEvent(new Event("redrawn"));
}

async function look() {
  const status = document.querySelector("#live");
  try {
    const now = await version();
    if (shown !== null && now !== shown) await redraw();
    shown = now;
    if (status) status.textContent = "live";
  } catch {
    if (status) status.textContent = "the server is gone: this is the last that was seen";
  }
  setTimeout(look, document.hidden ? 10_000 : 2_000);
}

look();
