"""Keep LSL on this machine: nobody else finds a stream, reads it or asks its clock.

liblsl (1.18) offers the samples and the clock of an outlet on all addresses, whatever is
configured: ``ListenAddress`` is that of the search alone. So it takes two steps: a configuration,
before liblsl is loaded, which lets the search listen on loopback only; and `keep_local` for each
outlet. A configuration that the user has set takes precedence; then nothing is closed.
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

__all__ = [
    "can_keep_local",
    "configure_local",
    "configure_loopback",
    "keep_local",
    "keep_quiet",
    "lsl_config",
    "stay_local",
]

_PLACES = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")
_PREFIX = "rt_decoder-lsl-"  # of files written here; processes started from here know it
_LOOPBACK = """\
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
_LOCAL = """\
[ports]
IPv6 = disable

[multicast]
ListenAddress = 127.0.0.1

[lab]
KnownPeers = {127.0.0.1}

[log]
level = -3
"""
# What ends liblsl alone: else it tells which files it has read, and that it reconnects where a stream
# is gone. Our inlets do not, and events tell of losses.
_QUIET = "[log]\nlevel = -3\n"


def configure_loopback(session: str = "") -> Path:
    """Point liblsl, in this process and those it starts, to a loopback-only configuration.

    For the demonstration, the tests and any session whose streams all live on one computer. It
    also works where multicast does not: in containers, behind VPNs, on locked-down networks.

    liblsl reads its configuration once, at the first stream, query or clock reading: call this
    before. It goes through the environment (``LSLAPICFG``) and not through
    `pylsl.set_config_content`, which child processes would not inherit. A configuration that the
    user has already chosen through ``LSLAPICFG`` is kept.

    Parameters
    ----------
    session : str
        LSL's SessionID: processes of another one do not find these streams. Empty for LSL's own.

    Returns
    -------
    path : Path
        The configuration file in force, removed at exit if it was written here.
    """
    mine = f"[lab]\nSessionID = {session}\n" if session else "[lab]\n"
    return _configure(_LOOPBACK.replace("[lab]\n", mine))


def configure_local() -> Path | None:
    """Look for streams on the network as usual, but offer those of this process to no one else.

    For programs that read an amplifier on another machine and whose answers are private. As
    `configure_loopback`, and also a configuration where liblsl finds one by itself is kept.

    Returns
    -------
    path : Path or None
        The file that ``LSLAPICFG`` names; None if liblsl finds a configuration by itself.
    """
    return None if _finds_own() else _configure(_LOCAL)


def _finds_own() -> bool:
    """Whether liblsl finds a configuration of the user's by itself."""
    return not os.environ.get("LSLAPICFG") and bool(_own_config())


def _own_config() -> str:
    """Return the first file that liblsl finds by itself, as it is written here; empty for none."""
    return next((path for path in _PLACES if Path(path).expanduser().is_file()), "")


def lsl_config() -> str:
    """Say where liblsl takes its configuration from.

    Returns
    -------
    str
    """
    if os.environ.get("LSLAPICFG"):
        return "set by LSLAPICFG"
    return _own_config() or "liblsl's default"


def keep_quiet() -> None:
    """Keep liblsl's lines off stderr, and leave the rest as it is; call it before liblsl is used.

    In this process alone; a configuration of the user's is kept.
    """
    if os.environ.get("LSLAPICFG") or _finds_own():
        return
    import pylsl

    pylsl.set_config_content(_QUIET)


def _configure(text: str) -> Path:
    chosen = os.environ.get("LSLAPICFG")
    if chosen:
        return Path(chosen)
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".cfg")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
    os.environ["LSLAPICFG"] = name
    path = Path(name)
    atexit.register(path.unlink, missing_ok=True)
    return path


def stay_local(offers: bool = True) -> None:
    """Offer the streams of this process to this machine only; call it before liblsl is used.

    Parameters
    ----------
    offers : bool
        Whether there will be streams at all.

    Raises
    ------
    ValueError
        If this system cannot keep others out.
    """
    configure_local()
    if offers and not can_keep_local():
        raise ValueError(
            "need --network (network=True): this system cannot keep our streams from other "
            "machines (Linux from 5.7 on can); a firewall can, or a configuration of your own "
            "named by LSLAPICFG"
        )


def can_keep_local() -> bool:
    """Tell whether `keep_local` can shut others out, or the user's own configuration has to.

    It cannot on systems other than Linux 5.7 or later, nor where a container forbids it.
    """
    if not _is_ours():
        return True
    device = getattr(socket, "SO_BINDTODEVICE", None)
    if device is None:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.setsockopt(socket.SOL_SOCKET, device, b"lo")
        except OSError:
            return False
    return True


def _is_ours() -> bool:
    """Whether the configuration in force was written here."""
    return Path(os.environ.get("LSLAPICFG", "")).name.startswith(_PREFIX)


def keep_local(outlet: pylsl.StreamOutlet) -> bool:
    """Let only this machine reach an outlet, if this module wrote the configuration in force.

    Binds the two ports of the outlet to the loopback interface and cuts off connections from
    elsewhere, so call it right after the outlet was made. Connections through this machine's own
    network addresses are refused as well; these configurations announce no such address.

    Parameters
    ----------
    outlet : pylsl.StreamOutlet
        The outlet.

    Returns
    -------
    bool
        True if others are shut out. False under a configuration of the user's, and on systems
        other than Linux 5.7 or later, which need a firewall.
    """
    device = getattr(socket, "SO_BINDTODEVICE", None)
    if device is None or not _is_ours():
        return False
    info = ElementTree.fromstring(outlet.get_info().as_xml())  # noqa: S314  (our own)
    wanted = {
        (socket.SOCK_STREAM, int(info.findtext("v4data_port") or 0)),
        (socket.SOCK_DGRAM, int(info.findtext("v4service_port") or 0)),
    }
    bound = set()
    for sock in _own_sockets():
        with sock, suppress(OSError):
            place = (sock.type, sock.getsockname()[1])
            if place in wanted:
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
