"""What the options of `recsys up` become."""

from __future__ import annotations

from pathlib import Path

import pytest
from recsys_operator.api.recommender_system import ResourceError
from recsys_operator.local.catalog_job import OnError
from recsys_operator.local.prepare import UpOptions, prepare, quickstart_file, read_system
from recsys_operator.local.state import DataDirectory
from recsys_operator.local.up import _arguments

DIRECTORY = DataDirectory(Path("/data"))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_what_a_bad_row_does_is_passed_on(on_error: OnError) -> None:
    options = UpOptions(quickstart_file(), "127.0.0.1", 8080, on_error=on_error)
    assert prepare(read_system(options), options, DIRECTORY).on_error == on_error
    arguments = _arguments(options, DIRECTORY)
    assert arguments[arguments.index("--on-error") + 1] == on_error


@pytest.mark.parametrize("role", ["base", "tuned"])
def test_an_address_that_an_option_gave_is_the_fault_of_the_option(role: str) -> None:
    options = UpOptions(quickstart_file(), "127.0.0.1", 8080, **{role: "file:///absent.gguf"})  # type: ignore[arg-type]  # role names a field
    with pytest.raises(ResourceError, match=f"^--{role}: /absent.gguf: no such file$"):
        prepare(read_system(options), options, DIRECTORY)
