// The playground: four views on one generator and its discriminator. What a model wrote enters the page through
// textContent alone.
const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
const reach = 2.5; // how far the pad goes: nearly all of a standard Gaussian
let info; // the answer of api/model

// ---- Small things -------------------------------------------------------------------------------------------------
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
const span = (className, textContent = "", dir = "") => make("span", { className, textContent, dir });
function bar(className, part) {
  const element = span(className);
  element.style.width = `${100 * part}%`;
  return element;
}

const number = (value, digits = 1) => value.toFixed(digits).replace("-", "\u2212");
const signed = (value) => (Math.abs(value) < 0.05 ? "0.0" : (value > 0 ? "+" : "") + number(value));
const percent = (part) => {
  const value = 100 * part;
  return (value > 0 && value < 0.05 ? "< 0.1" : number(value, value > 0 && value < 9.95 ? 1 : 0)) + "\u00a0%";
};
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const capital = (text) => text.replace(/^./u, (first) => first.toUpperCase());
const held = (event) => event.ctrlKey || event.altKey || event.metaKey;
const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));
const later = (delay, work) => {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(work, delay, ...given);
  };
};
// For screen readers: only what has come to rest, so that dragging does not flood them.
const say = later(500, (text) => ($("say").textContent = text));

// mulberry32: the same seed draws the same plane in every browser.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const gaussian = (draw) => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const length = (a) => Math.sqrt(dot(a, a));
const mix = (a, p, b, q) => a.map((value, i) => p * value + q * b[i]);
const without = (a, unit) => mix(a, 1, unit, -dot(a, unit));
const unit = (a) => a.map((value) => value / (length(a) || 1));

function slerp(a, b, t) {
  const angle = Math.acos(Math.max(-1, Math.min(1, dot(unit(a), unit(b)))));
  if (Math.sin(angle) < 1e-6) return mix(a, 1 - t, b, t);
  return mix(a, Math.sin((1 - t) * angle) / Math.sin(angle), b, Math.sin(t * angle) / Math.sin(angle));
}

// ---- The server ---------------------------------------------------------------------------------------------------
let waiting = 0;
async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers["X-Token"] = token;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  document.body.classList.toggle("busy", ++waiting > 0);
  try {
    const response = await fetch(`api/${path}`, options).catch(() => {
      throw new Error("The server cannot be reached: is it still running?");
    });
    const answer = await response.json().catch(() => null);
    if (!response.ok || !answer) throw new Error(answer?.error ?? `The server answered with status ${response.status}.`);
    $("status").textContent = "";
    return answer;
  } finally {
    document.body.classList.toggle("busy", --waiting > 0);
  }
}

// Runs one task at a time and remembers only the newest of those that came meanwhile: a drag never queues up.
function latest(work) {
  let running = false;
  let next;
  return async (...given) => {
    next = given;
    if (running) return;
    running = true;
    while (next) {
      const now = next;
      next = undefined;
      await work(...now).catch((error) => ($("status").textContent = error.message));
    }
    running = false;
  };
}

// ---- Decoding -----------------------------------------------------------------------------------------------------
const model = () => $("model").info;
const seed = () => Math.max(0, Math.trunc(Number($("seed").value)) || 0);
const value = (id, off) => (Number($(id).value) === off ? null : Number($(id).value));
// What generating and choosing the next token have in common.
const common = () => ({
  model: model().id,
  label: $("label").value || null,
  temperature: Number($("temperature").value),
  top_k: value("top-k", 0),
  top_p: value("top-p", 1),
  min_p: value("min-p", 0),
});
const generate = (more) => {
  const prompt = $("prompt").value.trim() || null;
  return ask("generate", { ...common(), texts: 1, seed: seed(), noise: null, greedy: $("greedy").checked, prompt, ...more });
};

function showSettings() {
  $("temperature-value").value = number(Number($("temperature").value), 2);
  $("top-p-value").value = value("top-p", 1) ?? "off";
  $("min-p-value").value = value("min-p", 0) ?? "off";
  $("greedy-hint").hidden = !$("greedy").checked || !$("greedy-hint").dataset.for.includes(view);
}

function resetSettings() {
  const { temperature, top_k, top_p, min_p } = info.defaults;
  const values = { temperature, "top-k": top_k ?? "", "top-p": top_p ?? 1, "min-p": min_p ?? 0, seed: 1, label: "", prompt: "" };
  for (const id in values) $(id).value = values[id];
  $("greedy").checked = info.noise > 0; // without noise a greedy text is always the same one
}

// ---- Tokens and how real they look --------------------------------------------------------------------------------
const judge = () => (info.detector.kind === "language-model" ? "the language model" : "the discriminator");
function judgement(logit) {
  const looks = Math.abs(logit) < 0.05 ? "undecided to" : logit > 0 ? "looks real to" : "looks generated to";
  return `${looks} ${judge()}: logit ${signed(logit)}, ${percent(sigmoid(logit))}`;
}

// What a token looks like by itself: a space and a part of a character would be nothing.
const visible = (text) => text.trim() || (text ? "␣" : "◌");

function tokenSpan({ text, probability, realness }, fresh) {
  const element = span("token", text);
  const said = probability == null ? [] : [`probability ${percent(probability)}`];
  if (realness != null) {
    const strength = Math.min(3, Math.round(1.5 * Math.abs(realness)));
    if (strength) element.classList.add(realness > 0 ? "real" : "fake");
    element.dataset.strength = strength;
    said.push(judgement(realness));
  }
  element.title = said.join("; ");
  element.classList.toggle("new", fresh < 900);
  element.style.animationDelay = `${-fresh}ms`;
  return element;
}

// Tokens bring their own white space: one after the other they are the text.
const spans = (tokens, fresh = []) => tokens.flatMap((token, i) => {
  const text = token.text.trim();
  const start = token.text.indexOf(text);
  return [token.text.slice(0, start), tokenSpan({ ...token, text }, fresh[i]), token.text.slice(start + text.length)];
});

// When each token came: those in the longest common subsequence with the text before keep their time, so that only
// what has changed is framed, also when answers follow faster than the frame fades.
function births(old, texts, now) {
  const common = Array.from({ length: old.length + 1 }, () => new Uint16Array(texts.length + 1));
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = texts.length - 1; j >= 0; j--)
      common[i][j] = old[i].text === texts[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  let i = 0;
  return texts.map((text, j) => {
    while (i < old.length && old[i].text !== text && common[i + 1][j] >= common[i][j + 1]) i++;
    return { text, born: old[i]?.text === text ? old[i++].born : now };
  });
}

// Every row starts with its heading; columns after the first `left` ones are numbers.
function table(element, names, left, rows) {
  const kind = (i) => (i < left ? "" : "n");
  const head = names.map((name, i) => make("th", { textContent: name, className: kind(i), scope: "col" }));
  const cell = (textContent, i) =>
    make(i ? "td" : "th", { textContent, className: kind(i), dir: "auto", ...(i ? {} : { scope: "row" }) });
  const body = rows.map((row) => make("tr", {}, ...row.slice(0, names.length).map(cell)));
  element.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}
const logit = ({ realness }) => (realness == null ? "" : signed(realness));

function tokenTable(tokens) {
  const names = ["token", "probability", ...(info.detector ? ["logit", "looks real"] : [])];
  const real = ({ realness }) => (realness == null ? "" : percent(sigmoid(realness)));
  table($("tokens"), names, 1, tokens.map((one) => [visible(one.text), percent(one.probability), logit(one), real(one)]));
}

// ---- Noise --------------------------------------------------------------------------------------------------------
const pad = { x: 0, y: 0, plane: 1 };
const kept = [];
let way = []; // the texts between two of them
let shown; // the last answer with the point it belongs to
let words; // its tokens with the times they came

function spanPlane() {
  const draw = random(pad.plane);
  const vector = () => Array.from({ length: info.noise }, () => gaussian(draw));
  pad.u = unit(vector());
  pad.v = unit(without(vector(), pad.u));
  pad.rest = without(without(vector(), pad.u), pad.v);
  $("plane-number").textContent = `Plane ${pad.plane}: z = x·u + y·v + what is the same everywhere on it`;
}
const noise = () => (info.noise ? mix(mix(pad.u, pad.x, pad.v, pad.y), 1, pad.rest, 1) : null);

const writeText = latest(async () => {
  const at = { x: pad.x, y: pad.y, plane: pad.plane, noise: noise() };
  const start = performance.now();
  const { texts: [text] } = await generate({ noise: at.noise && [at.noise] });
  const now = performance.now();
  shown = { ...at, text: text.text };
  words = births(words ?? [], text.tokens.map((one) => one.text), words ? now : -Infinity);
  $("sentence").replaceChildren(...spans(text.tokens, words.map(({ born }) => now - born)));
  const facts = [`log-probability ${number(text.log_prob)}`, `written in ${Math.round(now - start)}\u00a0ms`];
  if (text.realness != null) facts.unshift(judgement(text.realness));
  if (!text.ended) facts.unshift("cut at the greatest length");
  if (text.label) facts.unshift(`label ${text.label}`);
  $("facts").textContent = capital(facts.join(" · "));
  tokenTable(text.tokens);
  say((document.activeElement === $("pad") ? `${number(at.x)}, ${number(at.y)}: ` : "") + text.text);
});

function placeOf(element, { x, y }) {
  element.style.left = `${50 + (50 * x) / reach}%`;
  element.style.top = `${50 - (50 * y) / reach}%`;
}

function showPoint() {
  placeOf($("handle"), pad);
  for (const axis of ["x", "y"]) {
    $(axis).value = pad[axis];
    $(`${axis}-value`).value = number(pad[axis], 2);
  }
  const z = noise();
  [...$("vector").children].forEach((bar, i) => {
    const height = Math.min(50, (50 * Math.abs(z[i])) / 3);
    bar.firstChild.style.height = `${height}%`;
    bar.firstChild.style.top = `${z[i] > 0 ? 50 - height : 50}%`;
  });
  const usual = Math.sqrt(info.noise);
  $("length").textContent = `${info.noise} numbers; length ${number(length(z))}, where random noise has about ${number(usual)}`;
}

function showPins() {
  for (const pin of $("pad").querySelectorAll(".pin")) pin.remove();
  for (const point of kept.filter(({ plane }) => plane === pad.plane)) {
    $("pad").prepend(span("pin", point.letter));
    placeOf($("pad").firstChild, point);
  }
}

function moveTo(x, y) {
  const clamp = (value) => Math.max(-reach, Math.min(reach, Math.round(100 * value) / 100));
  [pad.x, pad.y] = [clamp(x), clamp(y)];
  showPoint();
  writeText();
}

function moveToPointer(event) {
  const box = $("pad").getBoundingClientRect();
  const part = (at, start, size) => (2 * (at - start)) / size - 1;
  moveTo(reach * part(event.clientX, box.left, box.width), -reach * part(event.clientY, box.top, box.height));
}

function moveByKey(event) {
  const step = event.shiftKey ? 0.5 : 0.1;
  const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step], Home: [-pad.x, -pad.y] };
  const way = ways[event.key];
  if (!way || held(event)) return;
  event.preventDefault();
  moveTo(pad.x + way[0], pad.y + way[1]);
}

function goTo(point) {
  pad.plane = point.plane;
  spanPlane();
  showPins();
  moveTo(point.x, point.y);
}

function keep() {
  if (!shown) return;
  const place = (kept.at(-1)?.place ?? -1) + 1;
  const letter = String.fromCharCode(65 + (place % 26)) + (place < 26 ? "" : Math.floor(place / 26));
  kept.push({ ...shown, place, letter });
  showKept();
  say(`Kept as ${letter}`);
}

function keptItem(point) {
  const button = (textContent, onclick) =>
    make("button", { type: "button", textContent, ariaLabel: `${textContent}: ${point.letter}`, onclick });
  const remove = () => {
    kept.splice(kept.indexOf(point), 1);
    showKept();
    $("keep").focus();
  };
  const text = span("", point.text, "auto");
  return make("li", {}, make("b", {}, point.letter), text, button("Go there", () => goTo(point)), button("Remove", remove));
}

function showKept() {
  showPins();
  $("kept").replaceChildren(...kept.map(keptItem));
  $("kept-none").hidden = kept.length > 1;
  $("interpolation").hidden = kept.length < 2;
  for (const [id, otherwise] of [["from", 0], ["to", 1]]) {
    const before = kept.findIndex(({ letter }) => letter === $(id).value);
    $(id).replaceChildren(...kept.map(({ letter }) => make("option", { textContent: letter })));
    $(id).selectedIndex = before < 0 ? otherwise : before;
  }
  interpolate();
}

const interpolate = latest(async () => {
  if (kept.length < 2) return;
  const [from, to] = [kept[$("from").selectedIndex], kept[$("to").selectedIndex]];
  const count = Math.min(9, info.limits.texts);
  const rows = Array.from({ length: count }, (_, i) => slerp(from.noise, to.noise, i / (count - 1)));
  // Each is asked for alone, as the text above is: so all have the same draws, and the ends are the kept texts.
  const texts = (await Promise.all(rows.map((row) => generate({ noise: [row] })))).map(({ texts: [text] }) => text);
  const place = (i) => `${i} ${{ 0: from.letter, [count - 1]: to.letter }[i] ?? ""}`;
  const names = ["step", "text", ...(info.detector ? ["logit"] : [])];
  table($("steps"), names, 2, texts.map((text, i) => [place(i), text.text, logit(text)]));
  $("step").max = count - 1;
  way = texts;
  showStep();
});

function showStep() {
  const step = Number($("step").value);
  const text = way[step];
  if (!text) return;
  $("step-value").value = `${step} of ${$("step").max}`;
  $("step").ariaValueText = `${step}: ${text.text}`;
  $("between").replaceChildren(...spans(text.tokens));
  [...$("steps").tBodies[0].rows].forEach((row, i) => (row.ariaCurrent = i === step ? "true" : null));
}

function startNoise() {
  for (const element of document.querySelectorAll("[data-noise]")) element.hidden = !info.noise;
  $("no-noise").hidden = $("another").hidden = info.noise > 0;
  $("noise-lead").hidden = !info.noise;
  document.querySelector(".field").classList.toggle("alone", !info.noise);
  $("another").onclick = () => {
    $("seed").value = seed() + 1;
    changed();
  };
  if (!info.noise) return;
  $("vector").replaceChildren(...Array.from({ length: info.noise }, () => make("span", {}, make("i"))));
  spanPlane();
  showPoint();
  $("pad").onpointerdown = (event) => {
    $("pad").setPointerCapture(event.pointerId);
    moveToPointer(event);
  };
  $("pad").onpointermove = (event) => $("pad").hasPointerCapture(event.pointerId) && moveToPointer(event);
  $("pad").onkeydown = moveByKey;
  for (const axis of ["x", "y"]) $(axis).oninput = () => moveTo(Number($("x").value), Number($("y").value));
  $("plane").onclick = () => goTo({ ...pad, plane: pad.plane + 1 });
  $("keep").onclick = keep;
  $("from").onchange = $("to").onchange = interpolate;
  $("step").oninput = showStep;
}

// ---- Words --------------------------------------------------------------------------------------------------------
const draft = { tokens: [], ended: false, answer: null, draw: null };
const written = () => draft.tokens.map((one) => one.text).join("");

// The text only grows once the server has answered: after an error the page still shows what was.
const showNext = latest(async (tokens = draft.tokens) => {
  const full = tokens.length >= info.max_length;
  const asked = { ...common(), noise: noise() ?? [], ids: tokens.map((one) => one.id) };
  const answer = full ? { candidates: [], left: 0, end: 1 } : await ask("next", asked);
  const grown = tokens !== draft.tokens;
  Object.assign(draft, { tokens, full, answer, ended: full || (draft.ended && !grown) });
  showWords();
  if (grown) say(full ? written() : `${written()}. Likeliest next: ${options()[0].text}`);
});

function append(candidate) {
  if (candidate.id !== undefined) return showNext([...draft.tokens, candidate]);
  draft.ended = true;
  showWords();
  say(`The text has ended: ${written()}`);
}

function choose() {
  const all = options();
  draft.draw ??= random(seed());
  let left = draft.draw() * all.reduce((sum, one) => sum + one.probability, 0);
  append(all.find((one) => (left -= one.probability) < 0) ?? all[0]);
}

function options() {
  const end = { text: "end of the text", probability: draft.answer.end };
  return [...draft.answer.candidates, end].sort((a, b) => b.probability - a.probability);
}

// The longest bar is as wide as there is room: of many words even the likeliest has a small probability.
function candidateItem(one, longest) {
  const end = one.id === undefined; // what the end had before truncation the server does not tell
  const button = make("button", { type: "button", className: "candidate", onclick: () => append(one) },
    span("text", visible(one.text), "auto"),
    make("span", { className: "bars" }, bar("after", one.probability / longest), ...(end ? [] : [bar("before", one.raw / longest)])),
    make("span", { className: "n" }, span("hidden", ", "), one.probability ? percent(one.probability) : "cut"),
    make("span", { className: "n raw" }, ...(end ? [] : [span("hidden", ", before "), percent(one.raw)])));
  button.classList.toggle("cut", !one.probability);
  button.classList.toggle("end", end);
  return make("li", {}, button);
}

function showWords() {
  const { ended, full, answer } = draft;
  $("written").textContent = written() + (ended ? "" : " …");
  const note = full ? "The greatest length is reached." : ended ? "The text has ended." : "";
  $("words-note").textContent = note || (info.noise ? "The noise is that of the Noise view." : "");
  const active = document.activeElement;
  const lost = $("candidates").contains(active) || (ended && active === $("choose"));
  const all = ended ? [] : options();
  const rest = Math.max(0, 1 - all.reduce((sum, one) => sum + one.probability, 0));
  $("choose").disabled = $("next").hidden = ended;
  const longest = Math.max(...all.flatMap(({ probability, raw = 0 }) => [probability, raw]));
  $("candidates").replaceChildren(...all.map((one) => candidateItem(one, longest)));
  $("others").textContent = answer.left ? `${count(answer.left, "other token")}, together ${percent(rest)}` : "";
  if (lost) (ended ? $("restart") : $("candidates").querySelector("button")).focus();
}

function undo() {
  if (!draft.ended || draft.full) return showNext(draft.tokens.slice(0, -1));
  draft.ended = false;
  showWords();
}

function startWords() {
  $("choose").onclick = choose;
  $("undo").onclick = undo;
  $("restart").onclick = () => showNext([]);
  $("seed").addEventListener("input", () => (draft.draw = null));
}

// ---- Detector -----------------------------------------------------------------------------------------------------
const judgeText = latest(async () => {
  const text = $("judged").value.trim();
  const asked = { model: model().id, label: $("label").value || null, text };
  const { realness, tokens, unknown } = text ? await ask("realness", asked) : { realness: null, tokens: [], unknown: [] };
  $("judgement").textContent = text && capital(judgement(realness));
  const chip = (one) => make("span", {}, tokenSpan({ ...one, text: visible(one.text) }), make("small", {}, logit(one)));
  $("judged-tokens").replaceChildren(...tokens.map(chip));
  // A language model judges the end too, whether a text may stop there: that is what the words leave of the whole.
  if (text && info.detector.kind === "language-model") {
    const rest = tokens.reduce((rest, one) => rest - one.realness, realness);
    const end = chip({ text: "end of the text", realness: rest });
    end.className = "end";
    $("judged-tokens").append(end);
  }
  $("unknown").hidden = !unknown.length;
  $("unknown").textContent = `Not in the vocabulary: ${unknown.join(", ")}`;
});

let taken = 0;
const take = latest(async () => {
  const { texts: [{ text, label }] } = await generate({ seed: seed() + taken++ });
  $("judged").value = text;
  // A text is judged as of the label that it was written for.
  if (label) $("label").value = label;
  await judgeText();
});

const leads = {
  discriminator: "The discriminator learned to tell real texts from generated ones: write a text, or take one, and see which tokens give it away.",
  "language-model": "The language model judges by comparison: a token looks real where it finds that token likelier than the generator does. A text from here has no noise of its own, so both are averaged over noise.",
};

function startDetector() {
  for (const element of document.querySelectorAll("[data-detector]")) element.hidden = !info.detector;
  $("no-detector").hidden = info.detector !== null;
  if (!info.detector) return;
  $("detector-lead").textContent = leads[info.detector.kind] ?? leads.discriminator;
  $("detector-title").textContent = `Who judges: ${info.detector.title}`;
  $("judged").maxLength = info.limits.characters;
  $("judged").oninput = later(250, judgeText);
  $("take").onclick = take;
}

// ---- Duel ---------------------------------------------------------------------------------------------------------
const duel = { seed: Math.floor(Math.random() * 1e6), round: null, scores: new Map() };
const scoreOf = (model) => duel.scores.get(model) ?? { rounds: 0, you: 0, judged: 0, detector: 0 };

const deal = latest(async (focus) => {
  const round = { model: model().id, seed: ++duel.seed };
  round.texts = (await ask("duel", round)).texts;
  duel.round = round;
  showRound();
  if (focus) $("choices").querySelector("button").focus();
});

const pick = latest(async (choice) => {
  const { round } = duel;
  if (!round || round.answer) return;
  round.answer = await ask("duel/answer", { model: round.model, seed: round.seed, choice });
  round.choice = choice;
  record(round);
  showRound();
  $("next-round").focus();
});

function record({ model, choice, answer }) {
  const score = scoreOf(model);
  score.rounds += 1;
  score.you += choice === answer.real;
  score.judged += answer.detector != null;
  score.detector += answer.detector === answer.real;
  duel.scores.set(model, score);
}

function choiceItem(content, i) {
  const { answer, choice } = duel.round;
  const marks = [];
  if (answer) {
    if (i === answer.real) marks.push("real");
    if (i === choice) marks.push("your choice");
    if (i === answer.detector) marks.push(`chosen by ${judge()}`);
    if (answer.realness) marks.push(`logit ${signed(answer.realness[i])}`);
  }
  const button = make("button", { type: "button", onclick: () => pick(i), ariaDisabled: answer ? "true" : null },
    span("number", i + 1), span("text", content, "auto"), span("marks", marks.join(" · ")));
  button.classList.toggle("right", answer?.real === i);
  button.classList.toggle("wrong", Boolean(answer) && choice === i && answer.real !== i);
  return make("li", {}, button);
}

function showRound() {
  const { texts, answer, choice, seed } = duel.round;
  $("choices").replaceChildren(...texts.map(choiceItem));
  $("next-round").hidden = !answer;
  $("outcome").textContent = answer ? outcome(answer, choice) : "";
  $("round").textContent = `Seed of this round: ${seed}`;
  showScore();
}

function outcome({ real, detector }, choice) {
  const right = choice === real;
  const yours = right ? "Right: that one is real." : `No: text ${real + 1} is the real one.`;
  if (detector == null) return yours;
  const its = detector === real ? `${right ? "also " : ""}found it` : `took text ${detector + 1}`;
  return `${yours} ${capital(judge())} ${its}.`;
}

// How probable at least so many hits are for somebody who guesses one of five.
function luck(rounds, hits) {
  let term = 0.8 ** rounds;
  let below = 0;
  for (let k = 0; k < hits; k++) {
    below += term;
    term *= ((rounds - k) / (k + 1)) * 0.25;
  }
  return 1 - below;
}

function verdictOn(you, rounds) {
  if (rounds < 5) return "So few rounds say nothing yet.";
  if (luck(rounds, you) < 0.05) return "You find the real text more often than luck explains: these generated texts give themselves away.";
  return "Guessing could do as well: so far nothing shows that you can tell these texts from real ones.";
}

function scoreRow(name, hits, rounds) {
  const said = rounds ? `${hits} of ${rounds} · ${percent(hits / rounds)}` : "no round yet";
  return make("p", {}, span("", name), make("span", { className: "track" }, bar("", rounds && hits / rounds)), span("n", said));
}

function showScore() {
  const { rounds, you, judged, detector } = scoreOf(duel.round.model);
  const rows = [scoreRow("You", you, rounds), scoreRow("Guessing", 1, 5)];
  if (info.detector) rows.splice(1, 0, scoreRow(capital(judge().slice(4)), detector, judged));
  $("score").replaceChildren(...rows);
  const found = `You found the real text in ${you} of ${count(rounds, "round")} (${percent(you / rounds)}).`;
  $("score-said").textContent = rounds ? `${found} ${verdictOn(you, rounds)}` : "No round played yet with this checkpoint.";
}

function startDuel() {
  $("game").hidden = !info.real_texts;
  $("no-duel").hidden = info.real_texts;
  $("next-round").onclick = () => deal(true);
  document.addEventListener("keydown", (event) => {
    const choice = ["1", "2", "3", "4", "5"].indexOf(event.key);
    if (view === "duel" && $("keys").checked && choice >= 0 && !held(event)) pick(choice);
  });
}

// ---- The page -----------------------------------------------------------------------------------------------------
let view = "noise";
const tabs = [...document.querySelectorAll("[role=tab]")];
const refresh = {
  noise: () => (writeText(), interpolate()),
  words: () => showNext(),
  detector: () => info.detector && ($("judged").value ? judgeText() : take()),
  duel: () => info.real_texts && duel.round?.model !== model().id && deal(false),
};

function show(name) {
  view = Object.hasOwn(refresh, name) ? name : "noise";
  for (const tab of tabs) {
    const chosen = tab.id === `tab-${view}`;
    tab.ariaSelected = String(chosen);
    tab.tabIndex = chosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  const unused = view === "duel" || (view === "detector" && !info.detector);
  $("settings").hidden = unused;
  $("main").classList.toggle("alone", unused);
  for (const element of document.querySelectorAll("[data-for]")) element.hidden = !element.dataset.for.includes(view);
  changed();
}

function changed() {
  showSettings();
  refresh[view]();
}

function moveTab(event) {
  const at = tabs.indexOf(event.target);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs.at(to % tabs.length);
  tab.focus();
  tab.click();
}

// The slider runs as training does: the trained model, which the server names first, stands at its right end.
function startCheckpoints() {
  const order = [...info.models.slice(1), info.models[0]];
  const slider = $("model");
  slider.max = order.length - 1;
  slider.value = slider.max;
  slider.hidden = order.length < 2;
  const choose = () => {
    slider.info = order[Number(slider.value)];
    slider.ariaValueText = $("model-title").value = slider.info.title;
  };
  choose();
  slider.oninput = () => {
    choose();
    changed();
  };
  $("checkpoint").hidden = false;
}

function startPage() {
  document.title = `${info.name} – textgan playground`;
  $("name").textContent = info.name;
  // What the verdict comes to; the numbers that it rests on follow the first colon, for those who want them.
  const [, said, why] = (info.verdict ?? "").match(/^([^:]*):?\s*(.*)$/su);
  const [summary, rest] = $("verdict").children;
  summary.textContent = said;
  rest.textContent = capital(why);
  $("verdict").hidden = !said;
  $("top-k").max = info.vocabulary;
  $("label").append(...info.labels.map((label) => make("option", { textContent: label, value: label })));
  $("label-control").hidden = !info.labels.length;
  const typed = later(300, changed); // half a word in the prompt is no request
  $("settings").firstElementChild.open = matchMedia("(min-width: 58rem)").matches;
  $("settings").addEventListener("input", ({ target }) => (target === $("prompt") ? typed() : changed()));
  $("defaults").onclick = () => {
    resetSettings();
    changed();
  };
  for (const tab of tabs) tab.onclick = () => {
    history.pushState(null, "", `#${tab.id.slice(4)}`);
    show(tab.id.slice(4));
  };
  tabs[0].parentElement.addEventListener("keydown", moveTab);
  addEventListener("popstate", () => show(location.hash.slice(1)));
  $("main").hidden = false;
}

try {
  info = await ask("model");
  resetSettings();
  for (const start of [startCheckpoints, startNoise, startWords, startDetector, startDuel, startPage]) start();
  show(location.hash.slice(1));
} catch (error) {
  $("name").textContent = "No model";
  $("status").textContent = error.message;
}
