// A question as the gateway takes it, and the gateway's answer as events.

/** What went wrong: `code` is the gateway's or one of the page's own; `detail` and `errors` are the gateway's words. */
export class Problem extends Error {
  constructor(code, { detail = "", errors = [], retryAfter = null, values = {} } = {}) {
    super(detail || code);
    Object.assign(this, { code, detail, errors, retryAfter, values });
  }
}

/** The body of a request for what the form holds; what is left empty is the gateway's to choose. */
export function requestOf({ elements: fields }) {
  const text = (name) => fields[name].value.trim() || undefined;
  const figure = (name) => (fields[name].value === "" ? undefined : fields[name].valueAsNumber);
  const by = fields.by.value;
  return {
    query: fields.query.value,
    user_id: text("user"),
    k: figure("k"),
    filters: filtersOf(fields.filters.value),
    language: text("language"),
    diversity: by ? { [by]: figure(by) } : undefined,
    mode: text("mode"),
    temperature: figure("temperature"),
    top_k: figure("top_k"),
    top_p: figure("top_p"),
    seed: figure("seed"),
    narrate: fields.narrate.checked,
    exclude_seen: fields.exclude_seen.checked,
  };
}

/** `price=20..60; brand=Northwind; brand=Larkspur` as filters: a range, or any of the values. */
export function filtersOf(text) {
  const filters = {};
  for (const part of text.split(";").map((each) => each.trim()).filter(Boolean)) {
    const [, field, value] = part.match(/^([^=]*[^=\s])\s*=\s*(.+)$/) ?? [];
    if (!field) throw new Problem("bad_filter", { values: { text: part } });
    const [, low, high] = value.match(/^(-?[\d.]*?)\.\.(-?[\d.]*)$/) ?? [];
    const range = { ...(low && { gte: Number(low) }), ...(high && { lte: Number(high) }) };
    if (Object.keys(range).length) filters[field] = { ...filters[field], ...range };
    else (filters[field] ??= { in: [] }).in = [...(filters[field].in ?? []), scalar(value)];
  }
  return filters;
}

const scalar = (text) => (/^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text);

/** The events of an answer, `[name, data]` each, `done` last. Throws a Problem, or an AbortError once `signal` says so. */
export async function* ask(body, { key, signal }) {
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  const request = { method: "POST", headers, body: JSON.stringify({ ...body, stream: true }), signal };
  const response = await fetch("v1/recommendations", request).catch((error) => fail(error, "unreachable"));
  if (!response.ok) throw await problemOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { value, done } = await reader.read().catch((error) => fail(error, "broken_off"));
    if (done) throw new Problem("broken_off");
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = block.match(/^event: (.+)\ndata: (.+)$/);
      if (name === "error") throw new Problem(JSON.parse(data).code, JSON.parse(data));
      yield [name, JSON.parse(data)];
      if (name === "done") return;
    }
  }
}

function fail(error, code) {
  throw error.name === "AbortError" ? error : new Problem(code);
}

/** The RFC 9457 problem of a refusal; a proxy between may answer something else. */
async function problemOf(response) {
  const told = await response.json().catch(() => ({ detail: `HTTP ${response.status}` }));
  return new Problem(told.code ?? "http", { ...told, retryAfter: response.headers.get("retry-after") });
}
