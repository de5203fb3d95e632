"""How a call to an engine fails. Whoever calls decides what to do by the class alone; messages carry no prompt text."""

from __future__ import annotations


class UpstreamError(Exception):
    """A call to an engine that gave no usable answer."""


class UpstreamUnavailable(UpstreamError):
    """No engine could be reached, or it broke off: connection refused or lost, status 5xx."""


class UpstreamOverloaded(UpstreamError):
    """The engine is too busy, or still loading."""


class UpstreamTimeout(UpstreamError):
    """The engine did not answer in time."""


class UpstreamRefused(UpstreamError):
    """The engine refused the request (status 4xx): another try would be refused as well."""


class UpstreamInvalid(UpstreamError):
    """The engine answered with success, but not with what its protocol says."""
