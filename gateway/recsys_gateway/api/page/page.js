// The page: asks, shows what comes, and says it in the reader's language. Every text goes in as text, never as markup.

import { Problem, ask, requestOf } from "./asking.js";
import { number, speak, words } from "./words.js";

const at = (id) => document.getElementById(id);
const form = at("form");
const fields = form.elements;

/** What is on the screen. `answer` is the whole answer once it is done; `before` the one that it is compared with. */
let shown = { phase: "", items: [], answer: null, before: null, problem: null, topic: "" };
let running = null;

/** An element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Asking

async function submit() {
  running?.abort();
  const mine = (running = new AbortController());
  const last = shown.answer ?? shown.before;
  shown = { ...shown, phase: "asking", items: [], answer: null, before: null, problem: null };
  at("sentence").textContent = "";
  show();
  try {
    const request = requestOf(form);
    const topic = JSON.stringify([request.query, request.user_id, request.k, request.filters]);
    shown = { ...shown, topic, before: topic === shown.topic ? last : null };
    for await (const [name, data] of ask(request, { key: fields.key.value, signal: mine.signal })) {
      if (name === "delta") at("sentence").append(data.text);
      if (name === "items") shown = { ...shown, phase: "telling", items: data.items };
      if (name === "done") shown = { ...shown, phase: "done", items: data.items, answer: data };
      if (name !== "delta") show();
    }
    at("sentence").textContent = shown.answer.answer ?? "";
  } catch (error) {
    if (running !== mine) return; // another question has taken this one's place
    if (error.name === "AbortError") shown.phase = "cancelled";
    else if (error instanceof Problem) Object.assign(shown, { phase: "failed", problem: error });
    else throw error;
  } finally {
    if (running === mine) finish();
  }
}

function finish() {
  const held = document.activeElement === at("cancel");
  running = null;
  show();
  if (held) fields.query.focus();
  if (shown.problem?.code === "unauthorized") fields.key.focus();
}

// Showing

function show() {
  const { phase, items, answer, problem } = shown;
  at("cancel").hidden = running === null;
  at("answer").setAttribute("aria-busy", String(running !== null));
  at("status").textContent = status(phase, items, answer);
  at("problem").replaceChildren(...(problem ? trouble(problem) : []));
  at("degraded").replaceChildren(...(answer?.degraded.length ? lacking(answer.degraded) : []));
  at("items").replaceChildren(...items.map(entry));
  at("figures").replaceChildren(...(answer ? figures(answer, shown.before) : []));
}

function status(phase, items, answer) {
  if (phase === "done" && !items.length) return words("nothing");
  return words(phase, { n: number(items.length), ms: number(answer?.timings_ms.total, { maximumFractionDigits: 0 }) }) ?? "";
}

function trouble({ code, detail, retryAfter, values }) {
  const retry = make("button", { type: "button" }, words("retry"));
  retry.addEventListener("click", () => form.requestSubmit());
  const said = [words(code, values), detail, retryAfter && words("retry_after", { n: retryAfter })];
  return [make("p", {}, said.filter(Boolean).join(" ")), retry];
}

function lacking(degraded) {
  const one = ({ stage, reason, detail }) => {
    const translated = words(`reason_${reason}`);
    return make("li", {}, translated ? `${words(`stage_${stage}`)}: ${translated}` : detail);
  };
  return [make("p", {}, words("degraded")), make("ul", {}, ...degraded.map(one))];
}

function entry(item, place) {
  const price = item.price === null ? null : make("span", { class: "price" }, number(item.price, { minimumFractionDigits: 2 }));
  const chips = item.confirmed_by.map((source) => make("li", { class: source }, words(`by_${source}`) ?? source));
  return make("li", {},
    make("div", { class: "title" }, make("h3", {}, item.title), price),
    make("p", { class: "categories" }, [...item.categories, item.id].join(" · ")),
    make("p", { class: "reason" }, item.reason),
    make("div", { class: "why" },
      make("ul", { class: "chips" }, ...chips),
      make("span", { class: "score" }, words("score", { n: number(item.score, { minimumFractionDigits: 3, maximumFractionDigits: 3 }) })),
      moved(item, place)));
}

/** How an item's place differs from the one that it had for the same question before. */
function moved({ id }, place) {
  const old = shown.before?.items.findIndex((item) => item.id === id) ?? place;
  if (old === place) return null;
  if (old < 0) return make("span", { class: "moved" }, words("fresh"));
  return make("span", { class: "moved" }, words(old > place ? "rose" : "fell", { n: Math.abs(old - place) }));
}

function figures(answer, before) {
  const parts = [diversity(answer.ild, before?.ild), tokens(answer.tokens), times(answer.timings_ms), models(answer)];
  return parts.map(([title, ...content]) => make("section", {}, make("h3", {}, words(title)), ...content));
}

function diversity(ild, before) {
  const bars = ["cosine", "genre"].map((kind) => {
    const [now, then] = [ild[kind], before?.[kind]].map((value) => value?.toFixed(2));
    return bar(words(kind), then && then !== now ? words("before", { now, then }) : now, ild[kind]);
  });
  return ["figures_diversity", ...bars];
}

function tokens({ prompt, completion, plain_prompt: plain, saved, by_stage: stages }) {
  const sent = stages.rank.prompt;
  const most = Math.max(sent, plain ?? 0, 1);
  const share = saved > 0 ? number(saved / plain, { style: "percent" }) : null;
  const told = words(share ? "saved" : "unsaved", { n: share, prompt: number(prompt), completion: number(completion) });
  const bars = [["ranking_prompt", sent], ["plain_prompt", plain]].filter(([, count]) => count !== null);
  return ["figures_tokens", ...bars.map(([key, count]) => bar(words(key), number(count), count / most)), make("p", {}, told)];
}

function times({ total, ...stages }) {
  const whole = (value) => number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });
  const bars = Object.entries(stages).map(([stage, value]) => bar(words(`stage_${stage}`) ?? stage, whole(value), value / total));
  return ["figures_time", ...bars, bar(words("total"), whole(total), 1)];
}

function models({ models: known, seed }) {
  const lines = Object.entries(known).map(([role, { name, sample }]) =>
    make("p", {}, `${role}: ${sample ? words("sample", { name }) : name}`));
  const note = Object.values(known).some(({ sample }) => sample) ? make("p", { class: "note" }, words("sample_note")) : null;
  return ["figures_models", ...lines, ...(note ? [note] : []), make("p", {}, words("drawn", { seed }))];
}

/** A line of a figure: its name, its value, and a bar of `share` (0 to 1) below. */
function bar(name, value, share) {
  const line = make("div", { class: "bar" }, make("span", {}, name), make("span", {}, value));
  line.style.setProperty("--share", Math.min(1, Math.max(0, share)));
  return line;
}

// Controls

/** The gateway's settings, which come after the page: whoever was quicker has asked already, and moved what they moved. */
function offer(settings) {
  at("key-line").hidden = !settings.keys;
  fields.k.placeholder = settings.k;
  for (const slider of [fields.lambda, fields.target_ild]) {
    if (fields.by.value !== slider.name) slider.value = settings[slider.name] ?? slider.value;
    slide(slider);
  }
  at("configured").value = settings.target_ild === null ? `λ ${settings.lambda}` : `ILD ${settings.target_ild}`;
  at("mode-line").hidden = settings.modes.length === 0;
  for (const mode of settings.modes) fields.mode.append(make("option", { value: mode }, mode));
}

function slide(slider) {
  slider.nextElementSibling.value = Number(slider.value).toFixed(2);
}

function translate(language) {
  at("page-language").value = language;
  speak(language);
  show();
}

/** sessionStorage may be forbidden; then the key lives as long as the page. */
function kept(name, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(name, value);
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
at("cancel").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => event.key === "Escape" && running?.abort());
at("page-language").addEventListener("change", (event) => translate(kept("language", event.target.value) ?? event.target.value));
fields.key.value = kept("key") ?? "";
fields.key.addEventListener("change", () => kept("key", fields.key.value));
for (const slider of [fields.lambda, fields.target_ild]) {
  slider.addEventListener("input", () => {
    fields.by.value = slider.name; // who moves a slider means it
    slide(slider);
  });
}
at("knobs").open = matchMedia("(min-width: 60rem)").matches;
translate(kept("language") ?? (navigator.language.startsWith("ko") ? "ko" : "en"));
fields.query.focus();
offer(await fetch("page/settings.json").then((response) => response.json()));
