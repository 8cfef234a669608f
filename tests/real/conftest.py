"""What several files of these tests stand on: a template with odd modules, a control socket with its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import Pool
from tests.real import pool_world
from tests.real.control_world import Client, Host
from tests.real.pool_child import Child
from tests.real.template_acts import MODULES
from tests.real.template_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.real.pool_child import Link


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of modules for the workers of a template."""
    path = tmp_path_factory.mktemp("modules")
    path.chmod(0o755)
    path.parent.chmod(0o755)
    for name, text in MODULES.items():
        (path / f"{name}.py").write_text(text)
    return str(path)


@pytest.fixture
def world(folder: str) -> Iterator[World]:
    """A template that has them."""
    with World("odd", path=(folder,)) as one:
        yield one


@pytest.fixture
def everyones_path() -> Iterator[Path]:
    """A folder that other users, whom some tests become, may enter."""
    # Not tmp_path, whatever its mode is made: each pytest that starts takes the folder of all sessions from the others.
    with tempfile.TemporaryDirectory(prefix="ninelives-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def host(everyones_path: Path) -> Iterator[Host]:
    """A process that serves a control socket, once it is told to."""
    made = Host(everyones_path / "fake.sock")
    yield made
    made.end()


@pytest.fixture
def connect(host: Host) -> Iterator[Callable[[], Client]]:
    """Makes clients of it."""
    made: list[Client] = []

    def one() -> Client:
        made.append(host.client())
        return made[-1]

    yield one
    for client in made:
        client.close()


@pytest.fixture
def hire() -> Iterator[Callable[..., Pool]]:
    """Makes pools; afterwards they are gone, and every thread of theirs (processes and descriptors: tests/conftest.py)."""
    before = pool_world.threads()
    made: list[Pool] = []

    def one(workers: int = 2, **options: object) -> Pool:
        made.append(Pool(workers, **options))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for pool in made:
        pool_world.terminate(pool)
    assert not pool_world.threads() - before


@pytest.fixture
def pool(hire: Callable[..., Pool]) -> Pool:
    """One of two workers."""
    return hire()


@pytest.fixture
def born() -> Iterator[Callable[[Callable[[Link], None]], Child]]:
    """Forks a process that leads the life it is given; those not over are killed."""
    children: list[Child] = []

    def fork(life: Callable[[Link], None]) -> Child:
        children.append(Child(life))
        return children[-1]

    yield fork
    for child in children:
        if not child.is_over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            child.end()
