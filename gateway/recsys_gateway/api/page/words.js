// What the page says. English texts that stand in the HTML are taken from there; here is what is put together, and Korean.

const ENGLISH = {
  asking: "Asking…",
  telling: "{n} items; the sentence is being written…",
  done: "{n} items in {ms} ms",
  nothing: "Nothing in the catalogue fits this request.",
  cancelled: "Cancelled.",
  failed: "No answer.",
  retry: "Try again",
  retry_after: "It may work in {n} s.",
  unauthorized: "An API key is needed, or this one is not known.",
  unreachable: "The gateway cannot be reached. Is it running?",
  broken_off: "The answer broke off before its end.",
  bad_filter: "Filters: “{text}” is not FIELD=VALUE, such as price=..60 or categories=Jackets.",
  degraded: "Answered with less than everything:",
  score: "score {n}",
  fresh: "new in the list",
  rose: "{n} up",
  fell: "{n} down",
  figures_diversity: "Diversity of the list (ILD)",
  figures_tokens: "Tokens",
  figures_time: "Time, ms",
  figures_models: "Models",
  cosine: "cosine of texts",
  genre: "genre",
  before: "{now}, was {then}",
  ranking_prompt: "ranking prompt sent",
  plain_prompt: "plain prompt",
  saved: "{n} saved against the plain prompt. All told: {prompt} read, {completion} written.",
  unsaved: "All told: {prompt} read, {completion} written.",
  sample: "{name}, a sample model",
  sample_note: "Sample models are small ones, trained on the sample shop: they show the machinery, not the wit of a large model.",
  drawn: "Seed {seed} gives this answer again.",
  total: "total",
  by_tuned: "tuned model",
  by_text: "text",
  by_keywords: "key words",
  by_history: "history",
  by_popular: "popularity",
};

const KOREAN = {
  tagline: "이 게이트웨이의 모델이 카탈로그에서 골라 순위를 매기고 설명하는 추천",
  page_language: "화면 언어",
  query: "무엇을 찾으세요?",
  query_hint: "비 오는 날 등산용 가벼운 재킷",
  ask: "물어보기",
  cancel: "취소",
  key: "API 키",
  key_note: "이 탭을 닫을 때까지만 보관합니다.",
  user: "고객 ID",
  k: "개수",
  filters: "필터",
  language: "답변 언어",
  as_question: "질문과 같게",
  knobs: "조절",
  diversity: "다양성",
  configured: "설정대로",
  lambda: "관련성과 다양성의 비중 (λ)",
  varied: "다양하게",
  relevant: "관련성 위주",
  target: "목표 다양성 (코사인 ILD)",
  ranking: "순위",
  mode: "방식",
  temperature: "온도",
  seed: "시드",
  narrate: "목록을 설명하는 문장",
  exclude_seen: "이미 구매한 상품 제외",
  answer: "답변",
  asking: "묻는 중…",
  telling: "상품 {n}개, 문장을 쓰는 중…",
  done: "상품 {n}개, {ms} ms",
  nothing: "이 요청에 맞는 상품이 카탈로그에 없습니다.",
  cancelled: "취소했습니다.",
  failed: "답변이 없습니다.",
  retry: "다시 시도",
  retry_after: "{n}초 뒤에는 될 수 있습니다.",
  unauthorized: "API 키가 필요하거나, 알 수 없는 키입니다.",
  unreachable: "게이트웨이에 연결할 수 없습니다. 실행 중인가요?",
  broken_off: "답변이 도중에 끊겼습니다.",
  bad_filter: "필터: “{text}”은(는) 필드=값 꼴이 아닙니다. 예: price=..60, categories=Jackets",
  degraded: "일부를 빼고 답했습니다:",
  score: "점수 {n}",
  fresh: "새로 들어옴",
  rose: "{n}계단 위로",
  fell: "{n}계단 아래로",
  figures_diversity: "목록의 다양성 (ILD)",
  figures_tokens: "토큰",
  figures_time: "시간, ms",
  figures_models: "모델",
  cosine: "텍스트 코사인",
  genre: "장르",
  before: "{now} (이전 {then})",
  ranking_prompt: "보낸 순위 프롬프트",
  plain_prompt: "기본 프롬프트",
  saved: "기본 프롬프트보다 {n} 절약. 모두 합해 읽은 토큰 {prompt}, 쓴 토큰 {completion}.",
  unsaved: "모두 합해 읽은 토큰 {prompt}, 쓴 토큰 {completion}.",
  sample: "{name} (샘플 모델)",
  sample_note: "샘플 모델은 샘플 상점으로 학습한 작은 모델입니다. 동작 방식을 보여 줄 뿐, 큰 모델의 품질은 아닙니다.",
  drawn: "시드 {seed}(으)로 같은 답을 다시 얻습니다.",
  total: "합계",
  by_tuned: "튜닝 모델",
  by_text: "텍스트",
  by_keywords: "키워드",
  by_history: "구매 이력",
  by_popular: "인기",
  stage_keywords: "키워드",
  stage_retrieve: "검색",
  stage_prompt: "프롬프트",
  stage_rank: "순위",
  stage_verify: "확인",
  stage_diversify: "다양화",
  stage_narrate: "문장",
  reason_no_model: "모델이 설정되지 않음",
  reason_unavailable: "모델에 연결할 수 없거나 도중에 끊김",
  reason_overloaded: "모델이 과부하이거나 불러오는 중",
  reason_timeout: "제시간에 응답하지 않음",
  reason_refused: "요청을 거절함",
  reason_invalid_answer: "모델의 답이 형식에 맞지 않음",
  reason_unfaithful: "목록에 없는 말을 해서 빼거나 바꿈",
  reason_nothing_said: "모델이 목록에 대해 아무 말도 하지 않음",
  reason_no_embedder: "임베더가 없어 키워드로만 검색함",
  reason_no_store: "벡터 저장소가 없어 메모리의 인기 상품이나 이미 찾은 상품을 씀",
  reason_estimated: "토큰 수는 추정값",
};

const DICTIONARIES = { en: ENGLISH, ko: KOREAN };
let language = "en";

/** The words for `key`, with `{name}`s filled in; `undefined` where this language has none. */
export function words(key, values = {}) {
  return DICTIONARIES[language][key]?.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Put the page's own texts into `wanted`, "en" or "ko". */
export function speak(wanted) {
  language = wanted in DICTIONARIES ? wanted : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    ENGLISH[element.dataset.text] ??= element.textContent;
    element.textContent = words(element.dataset.text);
  }
  for (const element of document.querySelectorAll("[data-hint]")) {
    ENGLISH[element.dataset.hint] ??= element.placeholder;
    element.placeholder = words(element.dataset.hint);
  }
}

export const number = (value, options) => new Intl.NumberFormat(language, options).format(value);
