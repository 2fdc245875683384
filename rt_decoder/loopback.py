"""Keep LSL on this machine: no multicast, no IPv6, no other host.

For the demonstration, the tests and any session whose streams all live on one computer. It also
works where multicast does not: in containers, behind VPNs, on locked-down networks.

The configuration alone keeps the search for streams on this machine. The samples themselves and
the clock are offered by liblsl (1.18) on all addresses whatever is configured: ``ListenAddress``
is that of the search. `keep_local` shuts these two ports to other machines.
"""

from __future__ import annotations

import atexit
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    import pylsl

__all__ = ["configure_loopback", "keep_local"]

_CONFIG = """\
[ports]
IPv6 = disable
PortRange = 128

[multicast]
ResolveScope = machine
ListenAddress = 127.0.0.1
AddressesOverride = {127.0.0.1}

[lab]
KnownPeers = {127.0.0.1}

[tuning]
MulticastMinRTT = 0.1
UnicastMinRTT = 0.1
TimeProbeInterval = 0.016

[log]
level = -3
"""


def configure_loopback() -> Path:
    """Point liblsl, in this process and those it starts, to a loopback-only configuration.

    liblsl reads its configuration once, at the first stream, query or clock reading: call this
    before. It goes through the environment (``LSLAPICFG``) and not through
    `pylsl.set_config_content`, which child processes would not inherit. A configuration that the
    user has already chosen through ``LSLAPICFG`` is kept.

    Returns
    -------
    path : Path
        The configuration file in force, removed at exit if it was written here.
    """
    chosen = os.environ.get("LSLAPICFG")
    if chosen:
        return Path(chosen)
    handle, name = tempfile.mkstemp(prefix="rt_decoder-loopback-", suffix=".cfg")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(_CONFIG)
    os.environ["LSLAPICFG"] = name
    path = Path(name)
    atexit.register(path.unlink, missing_ok=True)
    return path


def keep_local(outlet: pylsl.StreamOutlet) -> bool:
    """Let only this machine reach an outlet's samples and its clock.

    Binds the two ports of the outlet to the loopback interface, where also what this machine sends
    to its own network address passes. Call it right after the outlet was made. Other hosts can
    still see the outlet's name and address, unless the search is kept here by
    `configure_loopback`.

    Returns
    -------
    bool
        False where the system does not allow it (all but Linux from 5.7 on): there a firewall has
        to keep others out.
    """
    device = getattr(socket, "SO_BINDTODEVICE", None)
    if device is None:
        return False
    info = ElementTree.fromstring(outlet.get_info().as_xml())  # noqa: S314  (our own)
    wanted = {
        (kind, int(info.findtext(f"{version}{name}_port") or 0))
        for version in ("v4", "v6")
        for name, kind in (("data", socket.SOCK_STREAM), ("service", socket.SOCK_DGRAM))
    }
    wanted = {(kind, port) for kind, port in wanted if port}
    bound = set()
    for sock in _own_sockets():
        with sock:
            place = (sock.type, sock.getsockname()[1])
            if place in wanted:  # whoever has connected already is cut off, unless from here
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, device, b"lo")
                    bound.add(place)
    return bound == wanted


def _own_sockets() -> list[socket.socket]:
    """Copies of this process's internet sockets, to be closed."""
    found: dict[str, socket.socket] = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed by now
            name = path.readlink().name  # a copy may have taken the number of what was closed
            if name.startswith("socket:") and name not in found:
                found[name] = socket.socket(fileno=os.dup(int(path.name)))
    internet = (socket.AF_INET, socket.AF_INET6)
    for sock in found.values():
        if sock.family not in internet:
            sock.close()
    return [sock for sock in found.values() if sock.family in internet]
