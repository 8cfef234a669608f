"""The Chaos Toolkit's way in: what this extension offers, as its catalogue lists it.

`chaos discover --no-install ninelives` calls `supervisor.discover`, which is this. Actions and probes are found by the
toolkit's own rules in the modules experiments name; nothing else is needed to run the same file under `chaos run`.
Needs the extra `chaostoolkit` (chaostoolkit-lib, Python 3.12 or newer).
"""

from __future__ import annotations

import os
from typing import Any

from supervisor import __version__, place

MODULES = {"action": "supervisor.chaos.actions", "probe": "supervisor.chaos.probes"}


class NoToolkit(ImportError):
    """The Chaos Toolkit's library is not installed."""


def discover(discover_system: bool = True) -> dict[str, Any]:
    """Return the catalogue: every action and probe, and, if asked, the services that answer on this machine."""
    try:
        from chaoslib.discovery.discover import discover_activities, initialize_discovery_result  # noqa: PLC0415
    except ImportError as error:
        raise NoToolkit(
            "this needs the Chaos Toolkit: pip install 'ninelives[chaostoolkit]' (Python 3.12 or newer)"
        ) from error
    found: dict[str, Any] = initialize_discovery_result("ninelives", __version__, "ninelives")
    for kind, module in MODULES.items():
        found["activities"] += discover_activities(module, kind)
    if discover_system:
        found["system"] = {"services": sorted(place.services()), "user": os.getuid()}
    return found
