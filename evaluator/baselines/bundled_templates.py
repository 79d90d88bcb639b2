"""Templates for the sets that come with the program: what somebody who looked at the pictures would write."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BUNDLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "digits": ("a handwritten {}", "a scan of the handwritten digit {}"),
    }
)
