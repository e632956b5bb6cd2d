// Opens the pages that textgan writes and serves in a real browser, as a visitor would: wide and on a phone, in light
// and dark, by mouse, by touch and by keyboard. README.md beside this file says how to run it.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const USAGE = "node check.mjs [REPORT.html [COMPARE.html]] [--play URL] [--watch URL] [--shots FOLDER]";
const WIDTHS = [1280, 390];
const SCHEMES = ["light", "dark"];
const VIEWS = ["noise", "words", "detector", "duel"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let failures = 0;
function line(name, wrong, note = "") {
  failures += wrong.length;
  console.log(`${wrong.length ? "FAIL" : "ok  "} ${name}${note && ` (${note})`}${wrong.map((one) => `\n       ${one}`).join("")}`);
}

// ---- Any page -----------------------------------------------------------------------------------------------------

/** A page that keeps a list of all that a visitor's browser would complain about. */
async function open(browser, url, { width, scheme, still, ...more }) {
  const phone = width < 600;
  const viewport = { width, height: phone ? 844 : 900 };
  const context = await browser.newContext({ viewport, colorScheme: scheme, isMobile: phone, hasTouch: phone, ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  // A page from a file may load nothing at all, a served one from its own server alone. `data:` leaves nowhere.
  const own = new URL(url);
  const away = own.protocol === "file:" ? (asked) => asked.pathname !== own.pathname : (asked) => asked.host !== own.host;
  const leaves = (asked) => asked.protocol !== "data:" && away(asked);
  const watch = (asked) => leaves(new URL(asked.url())) && wrong.push(`leaves the page: ${asked.url()}`);
  page.on("request", watch);
  page.on("websocket", watch);
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      console.error(`policy: ${violatedDirective} ${blockedURI}`);
    });
    document.addEventListener("redrawn", () => (window.redrawn = (window.redrawn ?? 0) + 1));
  });
  // A live page that draws itself anew would be another one in the middle of what is done with it.
  if (still) await page.route("**/version*", (route) => route.fulfill({ body: "still" }));
  await page.goto(url);
  await settled(page);
  return { page, wrong, close: () => context.close() };
}

/** The playground shows its main part once the model is there, and says `busy` while a request is under way. */
const settled = (page) => page.waitForFunction(() => !document.querySelector("main[hidden], body.busy"));

/** Closed parts overflow and lack contrast just as open ones do. */
const openAll = (page) => page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));

/** What makes the page wider than the window. (A phone would zoom out until all is in it, and call that its width.) */
const overflow = (page, width) => page.evaluate((width) => {
  const { scrollWidth } = document.documentElement;
  if (scrollWidth <= width) return [];
  const scrolls = (element) => element.closest(".scroll, pre, svg") !== null;
  const reaches = (one) => one.getBoundingClientRect().left + one.scrollWidth > width && !scrolls(one);
  const wide = [...document.body.querySelectorAll("*")].filter(reaches);
  return [`${scrollWidth} px wide: ${wide.slice(0, 4).map((one) => one.outerHTML.slice(0, 60)).join(", ")}`];
}, width);

/** Serious findings of axe. Its own script needs a page without policy, so the page it looks at is another one. */
async function accessible(browser, url, variant) {
  const { page, close } = await open(browser, url, { ...variant, bypassCSP: true, reducedMotion: "reduce" });
  await openAll(page);
  await page.addScriptTag({ content: AXE });
  const options = { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } };
  const { violations } = await page.evaluate((options) => window.axe.run(options), options);
  await close();
  const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const why = (node) => `${node.target.join(" ")}:${node.failureSummary.replace(/^.*\n/, "").replace(/\s+/g, " ")}`;
  return grave.map(({ id, nodes }) => `axe ${id}, ${nodes.length} times, such as ${why(nodes[0])}`);
}

/** What Tab does not come to, though it can be used. */
async function unreached(page) {
  await page.evaluate(() => {
    document.activeElement.blur();
    getSelection().removeAllRanges();
    scrollTo(0, 0);
    const usable = "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, [tabindex='0']";
    window.left = new Set([...document.querySelectorAll(usable)].filter((one) => one.checkVisibility() && one.tabIndex >= 0));
  });
  for (let presses = 0; presses < 600; presses++) {
    await page.keyboard.press("Tab");
    const through = await page.evaluate(() => {
      window.left.delete(document.activeElement);
      return !window.left.size || document.activeElement === document.body;
    });
    if (through) break;
  }
  return page.evaluate(() => [...window.left].map((one) => `Tab does not reach ${one.outerHTML.slice(0, 100)}`));
}

async function look(browser, name, url, shots) {
  for (const width of WIDTHS) for (const scheme of SCHEMES) {
    const variant = { width, scheme, still: true };
    const { page, wrong, close } = await open(browser, url, variant);
    const file = (part) => ({ path: join(shots, `${name}-${width}-${scheme}${part}.png`), fullPage: true, caret: "initial" });
    if (shots) await page.screenshot(file(""));
    wrong.push(...await overflow(page, width));
    await openAll(page);
    if (shots && await page.locator("details").count()) await page.screenshot(file("-open"));
    wrong.push(...await overflow(page, width), ...await unreached(page));
    await close();
    wrong.push(...await accessible(browser, url, variant));
    line(`${name}, ${width} px, ${scheme}`, [...new Set(wrong)]);
  }
}

// ---- The playground -----------------------------------------------------------------------------------------------

/** Does something, and waits until the page has asked the server for that and has been answered. */
async function asks(page, address, suits, act) {
  const answers = (response) => response.url().includes(`api/${address}`) && suits(response.request().postDataJSON() ?? {});
  const [response] = await Promise.all([page.waitForResponse(answers), act()]);
  if (!response.ok()) throw new Error(`api/${address}: ${response.status()} ${await response.text()}`);
  await settled(page);
  return response.json();
}

const shown = (page, selector) => page.locator(selector).first().textContent();
function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

/** Drags over the pad, with a finger where there are fingers. */
async function drag(page, touch) {
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const { x, y, width, height } = await page.locator("#pad").boundingBox();
  const at = (i) => ({ x: x + width * (0.1 + 0.8 * (i / 24)), y: y + height * (0.15 + 0.7 * Math.abs(Math.sin(i / 3))) });
  const way = Array.from({ length: 25 }, (_, i) => at(i));
  const fingers = touch && await page.context().newCDPSession(page);
  const finger = (type, points) => fingers.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  if (touch) await finger("touchStart", [way[0]]);
  else await page.mouse.move(way[0].x, way[0].y).then(() => page.mouse.down());
  for (const point of way) {
    if (touch) await finger("touchMove", [point]);
    else await page.mouse.move(point.x, point.y);
    await page.waitForTimeout(20);
  }
  if (touch) await finger("touchEnd", []);
  else await page.mouse.up();
  await settled(page);
  const moved = Math.abs((await page.locator("#pad").boundingBox()).y - y);
  expect(moved < 40, `the page scrolls away under the finger, by ${moved} px`);
}

/** What a visitor does, one after the other; each step leaves the page usable for the next. */
const steps = {
  async "a drag over the noise changes the text"(page, touch) {
    // After a minute of training the likeliest text may be one and the same everywhere: so the draws stay in play.
    await asks(page, "generate", ({ greedy }) => greedy === false, () => page.uncheck("#greedy"));
    const before = await shown(page, "#sentence");
    await drag(page, touch);
    await page.waitForFunction((old) => document.querySelector("#sentence").textContent !== old, before);
    await page.focus("#pad");
    const x = await shown(page, "#x-value");
    await page.keyboard.press("ArrowLeft");
    expect(await shown(page, "#x-value") !== x, "the arrow keys do not move the point");
  },
  async "two kept points have texts between them"(page) {
    for (let kept = 0; kept < 2; kept++) {
      await asks(page, "generate", () => true, () => page.click("#plane"));
      await page.click("#keep");
    }
    await page.waitForFunction(() => document.querySelectorAll("#steps tbody tr").length > 2);
    const ends = await page.locator("#steps tbody tr").evaluateAll((rows) => [rows[0], rows.at(-1)].map((row) => row.cells[1].textContent));
    const kept = await page.locator("#kept li > span").allTextContents();
    expect(ends.join() === kept.join(), `the way does not lead from one kept text to the other: ${ends}; ${kept}`);
    await page.focus("#step");
    await page.keyboard.press("ArrowRight");
    expect(await shown(page, "#steps [aria-current] th") === "1 ", "the slider does not move along the steps");
  },
  async "decoding follows temperature, top-k, top-p and min-p"(page) {
    const press = (id, key) => page.focus(id).then(() => page.keyboard.press(key));
    await asks(page, "generate", ({ temperature }) => temperature === 3, () => press("#temperature", "End"));
    await asks(page, "generate", ({ top_k }) => top_k === 4, () => page.fill("#top-k", "4"));
    await asks(page, "generate", ({ top_p }) => top_p === 0.99, () => press("#top-p", "ArrowLeft"));
    await asks(page, "generate", ({ min_p }) => min_p === 0.01, () => press("#min-p", "ArrowRight"));
    await asks(page, "generate", ({ top_k }) => top_k === null, () => page.click("#defaults"));
  },
  async "a prompt begins the text"(page) {
    const prompt = (await shown(page, "#sentence")).trim().split(/\s+/).slice(0, 2).join(" ");
    await asks(page, "generate", (asked) => asked.prompt === prompt, () => page.fill("#prompt", prompt));
    expect((await shown(page, "#sentence")).startsWith(prompt), "the text does not begin with its prompt");
    await asks(page, "generate", (asked) => asked.prompt === null, () => page.fill("#prompt", ""));
  },
  async "a label is chosen, where there are labels"(page) {
    const labels = await page.locator("#label option").evaluateAll((all) => all.map(({ value }) => value).filter(Boolean));
    if (!labels.length) return "no labels";
    await asks(page, "generate", ({ label }) => label === labels[0], () => page.selectOption("#label", labels[0]));
    expect((await shown(page, "#facts")).includes(labels[0]), "the label is not said beside the text");
    await page.selectOption("#label", "");
  },
  async "the checkpoint slider changes the model"(page) {
    if (!await page.locator("#model").isVisible()) return "one checkpoint";
    const before = await shown(page, "#model-title");
    const at = await page.evaluate(() => document.querySelector("#model").info.id);
    await page.focus("#model");
    await asks(page, "generate", ({ model }) => model !== at, () => page.keyboard.press("ArrowLeft"));
    expect(await shown(page, "#model-title") !== before, "the checkpoint's name stays");
    await asks(page, "generate", ({ model }) => model === at, () => page.keyboard.press("End"));
  },
  async "arrow keys go from view to view, and a word can be chosen"(page) {
    await page.focus("#tab-noise");
    await asks(page, "next", ({ ids }) => ids.length === 0, () => page.keyboard.press("ArrowRight"));
    const word = "#candidates button:not(.end):not(.cut)";
    const chosen = await shown(page, `${word} .text`);
    await asks(page, "next", ({ ids }) => ids.length === 1, () => page.locator(word).first().click());
    expect((await shown(page, "#written")).includes(chosen), "the chosen word is not in the text");
    await asks(page, "next", ({ ids }) => ids.length === 0, () => page.click("#undo"));
  },
  async "the detector judges each word of a text"(page) {
    await page.click("#tab-detector");
    if (await page.locator("#no-detector").isVisible()) return "no detector";
    await page.waitForFunction(() => document.querySelector("#judged").value);
    const text = (await page.inputValue("#judged")).split(/\s+/).slice(0, 4).join(" ");
    await page.fill("#judged", "");
    await page.focus("#judged");
    const asked = (body) => body.text === text;
    await asks(page, "realness", asked, () => page.keyboard.insertText(text)); // what pasting does
    const parts = (all) => all.map((chip) => [...chip.children].map((part) => part.textContent));
    const chips = await page.locator("#judged-tokens > span:not(.end)").evaluateAll(parts); // the end is no word
    expect(chips.map(([word]) => word).join("") === text.replace(/\s/g, ""), `the words shown are not those of the text: ${chips}`);
    expect(chips.every(([, logit]) => /^[+\u2212]?\d/.test(logit)), `a word has no realness: ${chips}`);
  },
  async "a round of the duel counts"(page) {
    await page.click("#tab-duel");
    if (await page.locator("#no-duel").isVisible()) return "no real texts";
    await page.locator("#choices button").first().waitFor();
    await asks(page, "duel/answer", ({ choice }) => choice === 1, () => page.locator("#choices button").nth(1).click());
    expect(await shown(page, "#outcome") && /of 1 round /.test(await shown(page, "#score-said")), "the round does not count");
    await page.keyboard.press("Enter"); // the next round has the focus
    await page.waitForFunction(() => !document.querySelector("#outcome").textContent);
    await asks(page, "duel/answer", ({ choice }) => choice === 2, () => page.keyboard.press("3"));
    expect(/of 2 rounds /.test(await shown(page, "#score-said")), "a key does not choose");
  },
};

async function use(browser, url, shots) {
  for (const width of WIDTHS) {
    const { page, wrong, close } = await open(browser, url, { width, scheme: "light" });
    await openAll(page);
    const noise = await page.locator("#pad").isVisible();
    for (const [number, [name, step]] of Object.entries(steps).entries()) {
      const needs = !noise && /noise|points/.test(name) ? "no noise" : null;
      const note = needs ?? await step(page, width < 600).catch((error) => void wrong.push(error.message));
      const bar = await shown(page, "#status"); // what the page itself says went wrong
      if (bar) wrong.push(`the page says: ${bar}`);
      if (shots) await page.screenshot({ path: join(shots, `play-used-${width}-${number + 1}.png`), fullPage: true, caret: "initial" });
      line(`play, ${width} px: ${name}`, wrong.splice(0), note);
    }
    await close();
  }
}

// ---- The live report ----------------------------------------------------------------------------------------------

/** Waits until a run that trains has changed: then its page must draw itself anew, and leave the visitor in peace. */
async function live(browser, url) {
  const { page, wrong, close } = await open(browser, url, { width: 390, scheme: "light" });
  const version = async () => (await page.request.get(new URL(`version${new URL(url).search}`, url).href)).text();
  const first = await version();
  await openAll(page);
  // The visitor has scrolled the page and a table, and has the focus on the last summary.
  await page.evaluate(() => {
    for (const table of document.querySelectorAll(".scroll")) table.scrollLeft = 60;
    [...document.querySelectorAll("summary")].at(-1)?.focus({ preventScroll: true });
    scrollTo({ top: 300, behavior: "instant" });
  });
  const state = () => page.evaluate(() => ({
    place: [scrollY],
    // A new step opens by itself; none that was open may close.
    "what is open": [...document.querySelectorAll("details[open] > summary")].map((one) => one.textContent),
    "the place in a table": [document.querySelector(".scroll")?.scrollLeft],
    focus: [document.activeElement.textContent.slice(0, 40)],
  }));
  const before = await state();
  let note = "the run does not change: nothing to refresh";
  for (let seconds = 0; seconds < 40 && note; seconds++) {
    await page.waitForTimeout(1000);
    if (await version() === first) continue;
    note = "";
    const drawn = await page.waitForFunction(() => window.redrawn, undefined, { timeout: 15_000 }).catch(() => null);
    if (!drawn) wrong.push("the run has changed, the page has not");
    const after = await state();
    for (const what in before) {
      const lost = before[what].filter((one) => !after[what].includes(one));
      if (lost.length) wrong.push(`lost ${what}: ${lost}, then ${after[what]}`);
    }
  }
  await close();
  line("watch: a change of the run shows by itself", wrong, note);
}

// ---- All of them --------------------------------------------------------------------------------------------------

const { values, positionals: [report, compare, ...rest] } = parseArgs({
  allowPositionals: true,
  options: { play: { type: "string" }, watch: { type: "string" }, shots: { type: "string" } },
});
if (rest.length || !(report || values.play || values.watch)) {
  console.error(`usage: ${USAGE}`);
  process.exit(2);
}
if (values.shots) mkdirSync(values.shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const file = (path) => pathToFileURL(resolve(path)).href;
if (report) await look(browser, "report", file(report), values.shots);
if (compare) await look(browser, "compare", file(compare), values.shots);
if (values.watch) {
  await live(browser, values.watch);
  await look(browser, "watch", values.watch, values.shots);
}
if (values.play) {
  await use(browser, values.play, values.shots);
  for (const view of VIEWS) await look(browser, `play-${view}`, `${values.play}#${view}`, values.shots);
}
await browser.close();
console.log(failures ? `${failures} things are wrong` : "all is well");
process.exit(failures ? 1 : 0);
