"""What becomes of the pump and the templates, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor import forensics
from supervisor.nursery import Template

if TYPE_CHECKING:
    from supervisor.aide import Aide
    from supervisor.host import Host


def tell_template(host: Host, template: Template, message: dict[str, Any]) -> None:
    """What a template says of itself."""
    if message.get("kind") == "ready":
        host.announce(
            "template.ready",
            template=template.spec.name,
            pid=template.pid,
            took_s=message.get("took_s"),
            modules=message.get("modules"),
        )
    elif message.get("kind") == "failed":
        module = f" {message['module']}" if message.get("module") else ""
        why = f"{message.get('what')}{module}: {message.get('error')}"
        host.announce("template.failed", template=template.spec.name, why=why, stack=message.get("traceback"))


def tell_ended(host: Host, aide: Aide, packet: dict[str, Any]) -> None:
    """An aide has ended that was wanted, and that nobody told to leave to the next one."""
    if not aide.wanted or aide.replaced:
        return
    ending = forensics.fields(packet.get("status"))
    if isinstance(aide, Template):
        host.announce("template.ended", template=aide.spec.name, pid=aide.pid, **ending, why=packet.get("why"))
    else:
        host.announce("pump.ended", pid=aide.pid, **ending, why=packet.get("why"))
