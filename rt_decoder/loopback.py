"""Keep LSL on this machine: no multicast, no IPv6, no other host.

For the demonstration, the tests and any session whose streams all live on one computer. It also
works where multicast does not: in containers, behind VPNs, on locked-down networks.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

__all__ = ["configure_loopback"]

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
