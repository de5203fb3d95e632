"""What was left out of an answer and why: the closed sets behind ``degraded``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recsys_gateway.recommend.stages import Stage
from recsys_gateway.serving.failures import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)


class Reason(StrEnum):
    """Why a stage did less than it should. The values are part of the API."""

    NO_MODEL = "no_model"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    INVALID_ANSWER = "invalid_answer"
    UNFAITHFUL = "unfaithful"
    NOTHING_SAID = "nothing_said"
    NO_EMBEDDER = "no_embedder"
    NO_STORE = "no_store"
    ESTIMATED = "estimated"


_DETAILS = {
    (Stage.RETRIEVE, Reason.NO_EMBEDDER): "the embedder is not there: searched by key words alone",
    (Stage.RETRIEVE, Reason.NO_STORE): "the vector store is not there: popular items from memory",
    (Stage.RETRIEVE, Reason.TIMEOUT): "the vector store did not answer in time: popular items from memory",
    (Stage.RETRIEVE, Reason.REFUSED): "the vector store refused the search: popular items from memory",
    (Stage.PROMPT, Reason.ESTIMATED): "the engine did not count tokens: the prompt's length is an estimate",
    (Stage.VERIFY, Reason.NO_STORE): "the vector store is not there: checked against what retrieval had found",
    (Stage.VERIFY, Reason.TIMEOUT): "the vector store did not answer in time: checked against what retrieval had found",
    (Stage.VERIFY, Reason.REFUSED): "the vector store refused to look up items: checked against what retrieval found",
}
_CAUSES = {
    Reason.NO_MODEL: "is not configured",
    Reason.UNAVAILABLE: "cannot be reached or broke off",
    Reason.OVERLOADED: "is overloaded or still loading",
    Reason.TIMEOUT: "did not answer in time",
    Reason.REFUSED: "refused the request",
    Reason.INVALID_ANSWER: "answered something else than the schema",
    Reason.UNFAITHFUL: "said something that the list does not bear out",
    Reason.NOTHING_SAID: "said nothing about the list",
}
_MODELS = {
    Stage.RANK: ("tuned", "order of retrieval"),
    Stage.NARRATE: ("base", "its checked sentences or a plain template"),
}


@dataclass(frozen=True, slots=True)
class Degradation:
    """One entry of ``degraded``."""

    stage: Stage
    reason: Reason

    @property
    def detail(self) -> str:
        """One line for people: what happened and what was done instead."""
        if (self.stage, self.reason) in _DETAILS:
            return _DETAILS[self.stage, self.reason]
        model, instead = _MODELS[self.stage]
        return f"the {model} model {_CAUSES[self.reason]}: {instead}"


_OF_FAILURE: dict[type[UpstreamError], Reason] = {
    UpstreamUnavailable: Reason.UNAVAILABLE,
    UpstreamOverloaded: Reason.OVERLOADED,
    UpstreamTimeout: Reason.TIMEOUT,
    UpstreamRefused: Reason.REFUSED,
    UpstreamInvalid: Reason.INVALID_ANSWER,
}


def reason_of(error: UpstreamError) -> Reason:
    """Why a model could not help."""
    return _OF_FAILURE.get(type(error), Reason.UNAVAILABLE)
