"""Records made by hand: a few events at exact moments, with the names of fields that a service uses."""

from __future__ import annotations

from random import Random
from typing import Any

from supervisor.chaos.record import Injected, Inspection, Kind, Member, Process, Record, Row, Sample, Service, Settings

INSTANCE = "15f29e55ee77474cb2028020e8687a7b"
KINDS = (
    Kind(kind="kill", place="outside", ends="ending", detected="its end"),
    Kind(kind="freeze", place="outside", ends="maybe", lasting=True, detected="a missed beat", undone="SIGCONT"),
    Kind(kind="cpu", place="inside", ends="never", lasting=True),
    Kind(kind="pipe-garbage", place="inside", ends="maybe"),
    Kind(kind="spawn-fail", place="outside", ends="maybe", lasting=True),
    Kind(kind="kill-supervisor", place="part", ends="ending"),
    Kind(kind="kill-pump", place="part", ends="ending"),
    Kind(kind="kill-template", place="part", ends="ending"),
)
LOOK = Inspection(
    at=0.0,
    supervisor=Process(pid=11, fds=40, threads=1, rss_bytes=40 << 20),
    pump=Process(pid=12, fds=20, threads=1, rss_bytes=20 << 20),
    anchor=Process(pid=10, fds=50, threads=1, rss_bytes=15 << 20),
    workers=3,
)


class Story:
    """Events in the order of their `seq`, and what else is in a record. Moments are seconds after the beginning, at 100."""

    def __init__(self, *workers: str, ends: float = 60.0) -> None:
        self.events: list[dict[str, Any]] = []
        self.faults: list[Injected] = []
        self.workers = [Member(worker=name, chaos=True) for name in workers]
        self.ends = ends
        self.more: dict[str, Any] = {}

    def say(self, at: float, event: str, **fields: Any) -> dict[str, Any]:
        """One line of the service's own."""
        line = {
            "timestamp": "2026-11-23T00:00:00Z", "level": "info", "event": event, "msg": event, **fields,
            "monotonic_s": 100.0 + at, "seq": len(self.events) + 1, "schema": 1, "instance_id": INSTANCE,
        }  # fmt: skip
        self.events.append(line)
        return line

    def hit(
        self, at: float, kind: str, worker: str | None, spawn: int | None = 1, *,
        seconds: float | None = None, chaos_id: str | None = None, pid: int | None = None,
    ) -> str:  # fmt: skip
        """A fault, and its event."""
        chaos_id = chaos_id or f"c{len(self.faults) + 1}"
        spawn_id = None if worker is None or spawn is None else f"{worker}#{spawn}"
        until = None if seconds is None else 100.0 + at + seconds
        self.faults.append(
            Injected(
                chaos_id=chaos_id,
                kind=kind,
                at=100.0 + at,
                until=until,
                worker=worker,
                spawn_id=spawn_id,
                seconds=seconds,
                pid=pid,
            )
        )
        self.say(at, "chaos.injected", chaos_id=chaos_id, kind=kind, **({"worker": worker} if worker else {}))
        return chaos_id

    def undone(self, at: float, chaos_id: str, reason: str = "over", how: str = "SIGCONT") -> None:
        """The end of a lasting one."""
        self.say(at, "chaos.undone", chaos_id=chaos_id, kind="freeze", reason=reason, how=how, lasted_s=1.0)

    def ended(self, at: float, worker: str, spawn: int, how: str = "SIGKILL", chaos_id: str | None = None) -> None:
        """The end of a life."""
        self.say(
            at,
            "worker.ended",
            worker=worker,
            spawn_id=f"{worker}#{spawn}",
            how=how,
            **({"chaos_id": chaos_id} if chaos_id else {}),
        )

    def born(self, at: float, worker: str, spawn: int, *, ready: float | None = None) -> None:
        """The beginning of one; ready: when it was."""
        self.say(at, "worker.spawned", worker=worker, spawn_id=f"{worker}#{spawn}", pid=1000 + spawn)
        if ready is not None:
            self.say(ready, "worker.ready", worker=worker, spawn_id=f"{worker}#{spawn}", pid=1000 + spawn)

    def kill(self, at: float, worker: str, spawn: int, *, delay: float = 0.0) -> str:
        """A kill as it goes: 1 ms until the end is told, 1 ms to decide, the delay, 10 ms to spawn, 20 ms until ready."""
        chaos_id = self.hit(at, "kill", worker, spawn)
        self.ended(at + 0.001, worker, spawn, chaos_id=chaos_id)
        self.say(at + 0.002, "worker.backed_off", worker=worker, delay_s=delay, streak=1)
        self.born(at + 0.012 + delay, worker, 100 + spawn, ready=at + 0.032 + delay)
        return chaos_id

    def sample(self, at: float, **phases: str) -> Sample:
        """One look: worker -> phase (dots in names are written as in `w_0`)."""
        rows = tuple(Row(worker=name.replace("_", "-"), phase=phase) for name, phase in phases.items())
        return Sample(at=100.0 + at, supervisor_pid=11, workers=rows)

    def record(self, **more: Any) -> Record:
        """All of it."""
        given: dict[str, Any] = {
            "service": Service(name="rig", instance_id=INSTANCE, anchor_pid_before=10, anchor_pid_after=10),
            "began": 100.0, "ended": 100.0 + self.ends, "began_wall": "2026-11-23T00:00:00+00:00",
            "workers": tuple(self.workers), "events": tuple(self.events), "faults": tuple(self.faults), "kinds": KINDS,
            "settings": Settings(max_count=1, max_percent=50.0), "before": LOOK, "after": LOOK, "missing": (),
            "samples": (self.sample(0.0, **{each.worker.replace("-", "_"): "ready" for each in self.workers}),),
        }  # fmt: skip
        return Record(**{**given, **self.more, **more})


def crowd(workers: int = 200, faults: int = 300, *, seed: int = 7, ends: float = 300.0) -> Story:
    """A seeded run as a soak gives it: kills, freezes, garbage, deaths of supervisor and pump; every worker is `w-N`."""
    random = Random(seed)
    story = Story(*(f"w-{number}" for number in range(workers)), ends=ends)
    spawn = dict.fromkeys((member.worker for member in story.workers), 1)
    free = dict.fromkeys(spawn, 0.0)
    kinds = ["kill"] * 6 + ["freeze"] * 3 + ["cpu", "pipe-garbage", "kill-supervisor", "kill-pump", "kill-template"]
    for at in sorted(random.uniform(1, ends - 20) for _ in range(faults)):
        kind = random.choice(kinds)
        worker = random.choice([name for name in spawn if free[name] < at])
        if kind.startswith("kill-"):
            story.hit(at, kind, None, pid=500)
            part = kind.removeprefix("kill-")
            took = random.lognormvariate(-1.5, 0.4)
            if part == "supervisor":
                story.say(at + took, "supervisor.resumed", reason="SIGKILL", away_s=took)
            else:
                story.say(at + 0.002, f"{part}.ended", pid=500)
                story.say(at + took, f"{part}.ready", pid=501)
            continue
        number = spawn[worker]
        if kind in ("cpu", "pipe-garbage"):
            chaos_id = story.hit(at, kind, worker, number, seconds=5.0 if kind == "cpu" else None)
            free[worker] = at + 6
            story.undone(at + 5, chaos_id, how="stopped")
            continue
        chaos_id = story.hit(at, kind, worker, number, seconds=10.0 if kind == "freeze" else None)
        late = 0.0005 + random.lognormvariate(-7, 0.5) if kind == "kill" else random.uniform(1.0, 1.4)
        delay = random.choice([0.0, 0.0, 0.1, 0.4])
        if kind == "freeze":
            story.say(at + 0.001, "worker.frozen", worker=worker, spawn_id=f"{worker}#{number}", signal="SIGSTOP")
            story.say(at + late, "worker.hung", worker=worker, spawn_id=f"{worker}#{number}", chaos_id=chaos_id)
        story.ended(at + late + 0.001, worker, number, chaos_id=chaos_id)
        story.say(at + late + 0.0015, "worker.backed_off", worker=worker, delay_s=delay, streak=1)
        spawn[worker] = number + 1000
        took = random.lognormvariate(-4, 0.5)
        story.born(at + late + 0.004 + delay, worker, spawn[worker], ready=at + late + 0.004 + delay + took)
        free[worker] = at + late + delay + took + 1
    story.more["settings"] = Settings(max_count=20, max_percent=50)
    return story
