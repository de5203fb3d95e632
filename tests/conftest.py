"""What holds for all tests: hypothesis judges results, not the speed of a machine that others use too."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("recsys", deadline=None)
settings.load_profile("recsys")
