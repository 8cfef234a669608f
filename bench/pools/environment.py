"""Where the other pools are installed: an environment of the bench's own, made from the interpreter that runs the bench.

Ours is measured in it too, from its source and with the three packages it needs, so that all have the same interpreter
and the same NumPy.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys

from bench.peers import OUT

PACKAGES = {"loky": "loky", "joblib": "joblib", "pebble": "pebble", "mpire": "mpire", "billiard": "billiard"}
NEEDED = ("numpy", "structlog", "tenacity", "msgspec")
STANDARD = ("multiprocessing.Pool", "ProcessPoolExecutor")
CONSTRAINTS = os.path.join(os.path.dirname(os.path.dirname(OUT)), "tests", "constraints.txt")
_VENV = os.path.join(OUT, f"pools-{sys.version_info.major}.{sys.version_info.minor}")


def python() -> str:
    return os.path.join(_VENV, "bin", "python")


def install() -> dict[str, str]:
    """Get what is missing; pool -> why it is not there."""
    missing = [package for package in (*PACKAGES.values(), *NEEDED) if not _version(package)]
    if missing:
        try:
            _run(sys.executable, "-m", "venv", _VENV)
            _run(python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"bench: {error}", file=sys.stderr)
    for package in ("supervisor", "workers"):  # as pip has done with everybody else's
        compileall.compile_dir(os.path.join(os.path.dirname(os.path.dirname(OUT)), package), quiet=2)
    return {pool: "not on this machine" for pool, package in PACKAGES.items() if not _version(package)}


def there() -> tuple[str, ...]:
    """The pools that can be measured; ours first."""
    return ("ninelives", *STANDARD, *(pool for pool, package in PACKAGES.items() if _version(package)))


def versions() -> dict[str, str]:
    """Of those that are there, the standard library's by Python's."""
    found = dict.fromkeys(STANDARD, f"of Python {sys.version_info.major}.{sys.version_info.minor}")
    return found | {pool: version for pool, package in PACKAGES.items() if (version := _version(package))}


def _version(package: str) -> str:
    """What is installed, or nothing; read from its folder, without starting an interpreter."""
    site = os.path.join(_VENV, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    for name in os.listdir(site) if os.path.isdir(site) else ():
        stem, _, version = name.removesuffix(".dist-info").partition("-")
        if name.endswith(".dist-info") and stem.lower() == package:
            return version
    return ""


def _run(*argv: str) -> None:
    environment = {**os.environ, "PIP_CONSTRAINT": CONSTRAINTS}
    subprocess.run(argv, capture_output=True, timeout=300, check=True, stdin=subprocess.DEVNULL, env=environment)
