"""Reading requests as the router of Text Generation Inference 3.3 does, with the refusals of its captured exchanges.

Left out, for no client here sends it: several prompts in one call, adapters, the text of errors in malformed JSON.
"""

from __future__ import annotations

import json
from typing import Any

from fake_engine.generation import PLAIN, Generation, Refusal
from fake_engine.script import Text, answer_to, fitting, json_text, pieces_of, resolved, text_of

MAX_TOTAL_TOKENS = 4096
MAX_STOP_SEQUENCES = 4
MAX_TOP_N_TOKENS = 5
_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}


def read(path: str, raw: bytes, served: str) -> Generation:
    """The generation that ``raw`` asks for.

    Raises:
        Refusal: what is said before the engine looks whether it has room.
    """
    source = raw.decode("utf-8", "replace")
    try:
        body = json.loads(source)
    except ValueError:
        line = f"Failed to parse the request body as JSON: EOF while parsing a value at line 1 column {len(source)}"
        raise Refusal(400, line, PLAIN) from None
    chat = path == "/v1/chat/completions"
    _check_types(body, source, "messages" if chat else "prompt")
    prompt, prompt_tokens, characters = _chat_prompt(body) if chat else _plain_prompt(body)
    max_tokens = body.get("max_tokens") or body.get("max_completion_tokens")
    tool, text, unusable = _answer(body, prompt, max_tokens)
    return Generation(
        chat=chat,
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        model=served if body.get("model") in (None, "tgi") else body["model"],
        text=text,
        prompt_tokens=prompt_tokens,
        characters=characters,
        max_tokens=MAX_TOTAL_TOKENS - prompt_tokens if max_tokens is None else max_tokens,
        tool=tool,
        logprobs=(body.get("top_logprobs") or 0) if chat and body.get("logprobs") else None,
        invalid=_invalid(body, prompt_tokens, max_tokens),
        unusable=unusable,
    )


def _chat_prompt(body: dict[str, Any]) -> tuple[str, int, int]:
    """Text of the last message; tokens and characters of the whole, templated."""
    texts = [text_of(message.get("content")) for message in body["messages"]]
    tokens = 9 + sum(6 + len(pieces_of(text)) for text in texts)
    characters = 64 + sum(52 + len(text) for text in texts)
    return (texts[-1] if texts else ""), tokens, characters


def _plain_prompt(body: dict[str, Any]) -> tuple[str, int, int]:
    prompt = body["prompt"][0] if isinstance(body["prompt"], list) else body["prompt"]
    return prompt, 1 + len(pieces_of(prompt)), len(prompt)


def _check_types(body: dict[str, Any], source: str, needed: str) -> None:
    """What the router's deserializer refuses, with the column where it stops."""
    if isinstance(body.get("stop"), str):
        problem = f"stop: invalid type: string {json.dumps(body['stop'])}, expected a sequence"
        raise _not_deserialized(problem, _end_of(source, "stop"))
    if isinstance(body.get("max_tokens"), str):
        problem = f"max_tokens: invalid type: string {json.dumps(body['max_tokens'])}, expected u32"
        raise _not_deserialized(problem, _end_of(source, "max_tokens"))
    if isinstance(form := body.get("response_format"), dict):
        if form.get("type") not in ("json", "json_object", "regex", "json_schema"):
            known = "expected one of `json`, `json_object`, `regex`, `json_schema`"
            problem = f"response_format.type: unknown variant `{form.get('type')}`, {known}"
            raise _not_deserialized(problem, _end_of(source, "type", source.index('"response_format"')))
        if "value" not in form:
            raise _not_deserialized("response_format: missing field `value`", _end_of(source, "response_format"))
    if needed not in body:
        raise _not_deserialized(f"missing field `{needed}`", len(source))


def _not_deserialized(problem: str, column: int) -> Refusal:
    line = f"Failed to deserialize the JSON body into the target type: {problem} at line 1 column {column}"
    return Refusal(422, line, PLAIN)


def _end_of(source: str, key: str, start: int = 0) -> int:
    """The column at which the value of ``key`` ends."""
    at = source.index(":", source.index(f'"{key}"', start)) + 1
    at += len(source[at:]) - len(source[at:].lstrip())
    return json.JSONDecoder().raw_decode(source, at)[1]


def tool_error(problem: str) -> Refusal:
    return Refusal(422, json_text({"error": f"Tool error: {problem}", "error_type": "tool_error"}))


def _answer(body: dict[str, Any], prompt: str, max_tokens: int | None) -> tuple[str | None, Text, Refusal | None]:
    """The tool called, the text, and why the text will not do."""
    tools, choice = body.get("tools"), body.get("tool_choice") or "auto"
    stop = body.get("stop") or ()
    if tools is None or choice == "none":
        return None, answer_to(prompt, max_tokens, stop, _constrained(body.get("response_format"))), None
    if body.get("response_format") is not None:
        raise tool_error("Grammar and tools are mutually exclusive")
    if not tools:
        text = answer_to(prompt, max_tokens, stop)
        return None, text, _unparseable("".join(text.pieces)) if choice == "auto" else None
    function = _chosen(tools, choice)
    arguments = fitting(resolved(function.get("parameters") or {}))
    call = {"function": {"_name": function["name"]} | (arguments if isinstance(arguments, dict) else {})}
    return _tool_call(answer_to(prompt, max_tokens, stop, json_text(call)))


def _chosen(tools: list[dict[str, Any]], choice: Any) -> dict[str, Any]:
    functions: list[dict[str, Any]] = [tool["function"] for tool in tools]
    if not isinstance(choice, dict):
        return functions[0]
    name = choice["function"]["name"]
    for function in functions:
        if function["name"] == name:
            return function
    raise tool_error(f"Tool with name {name} not found")


def _tool_call(made: Text) -> tuple[str | None, Text, Refusal | None]:
    """What the router makes of generated text: a call, a second answer where no tool was picked, or an error."""
    written = "".join(made.pieces)
    try:
        arguments = dict(json.loads(written)["function"])
    except (ValueError, KeyError, TypeError):
        return None, made, _unparseable(written)
    name = arguments.pop("_name")
    if name == "no_tool":
        return None, answer_to("@@N:4@@", None), None
    return name, Text(pieces_of(json_text(arguments)), made.reason), None


def _unparseable(text: str) -> Refusal:
    try:
        json.loads(text)
        problem = "missing field `function` at line 1 column 1"
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            problem = f"EOF while parsing a string at line 1 column {len(text)}"
        else:
            problem = f"expected value at line 1 column {error.pos + 1}"
    return tool_error(f"Failed to parse generated text: {problem} {json.dumps(text)}")


def _constrained(form: dict[str, Any] | None) -> str | None:
    """What a model says under the grammar; None without one."""
    if form is None:
        return None
    if form["type"] == "regex":
        return "yes"
    return json_text(fitting(resolved(_schema(form))))


def _schema(form: dict[str, Any]) -> dict[str, Any]:
    value = form["value"]
    schema = json.loads(value) if isinstance(value, str) else value
    if form["type"] == "json_schema":
        schema = schema.get("schema", schema)
    return dict(schema)


def _invalid(body: dict[str, Any], prompt_tokens: int, max_tokens: int | None) -> Refusal | None:
    """What the router's validation says, in the order in which it looks."""
    top_p, temperature = body.get("top_p"), body.get("temperature")
    problem = None
    if body.get("suffix") is not None:
        line = "Suffix is not supported and can be achieved by preprocessing the prompt."
        return Refusal(422, json_text({"error": line, "error_type": "suffix not supported"}))
    if temperature is not None and temperature < 0:
        problem = "`temperature` must be strictly positive"
    elif body.get("presence_penalty") is not None and body["presence_penalty"] + 2 <= 0:
        problem = "`repetition_penalty` must be strictly positive"
    elif top_p is not None and not 0 < top_p < 1:
        problem = "`top_p` must be > 0.0 and < 1.0"
    elif body.get("max_tokens") == 0:
        problem = "`max_new_tokens` must be strictly positive"
    elif len(body.get("stop") or ()) > MAX_STOP_SEQUENCES:
        given = len(body["stop"])
        problem = f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {given}"
    elif (top_n := body.get("top_logprobs") or 0) > MAX_TOP_N_TOKENS:
        problem = f"`top_n_tokens` must be >= 0 and <= {MAX_TOP_N_TOKENS}. Given: {top_n}"
    elif prompt_tokens + (max_tokens or 0) > MAX_TOTAL_TOKENS:
        problem = (
            f"`inputs` tokens + `max_new_tokens` must be <= {MAX_TOTAL_TOKENS}. "
            f"Given: {prompt_tokens} `inputs` tokens and {max_tokens or 0} `max_new_tokens`"
        )
    else:
        problem = _invalid_grammar(body.get("response_format"))
    if problem is None:
        return None
    return Refusal(422, json_text({"error": f"Input validation error: {problem}", "error_type": "validation"}))


def _invalid_grammar(form: dict[str, Any] | None) -> str | None:
    if form is None or form["type"] == "regex":
        return None
    schema = _schema(form)
    if "type" in schema and schema["type"] not in _TYPES:
        known = "is not valid under any of the schemas listed in the 'anyOf' keyword"
        return f"grammar is not valid: {json.dumps(schema['type'])} {known}"
    if "properties" not in schema:
        return "grammar is not valid: Grammar must have a 'properties' field"
    return None
