# SPDX-License-Identifier: GPL-2.0-or-later
"""An archive for the kernel to start from: busybox, modules, and a script that goes over to the host's files.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

S_IFDIR, S_IFREG = 0o040000, 0o100000

INIT = """\
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for module in {modules}; do busybox insmod /modules/$module || echo "guest: no $module"; done
busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose host /host || busybox poweroff -f
busybox mount -t proc proc /host/proc
busybox mount -t sysfs sys /host/sys
busybox mount -t devtmpfs dev /host/dev
busybox mkdir -p /host/dev/shm
busybox mount -t tmpfs shm /host/dev/shm
busybox mount -t tmpfs run /host/run
busybox cp /script /host/run/script
busybox chroot /host /bin/sh /run/script
busybox poweroff -f
"""


def write(path: Path, busybox: Path, modules: Sequence[Path], script: str) -> None:
    """`script` is run by the host's /bin/sh with everything read-only but /run and /dev/shm."""
    files: dict[str, bytes | None] = dict.fromkeys(("bin", "dev", "proc", "host", "modules"))
    files["bin/busybox"] = busybox.read_bytes()
    files["script"] = script.encode()
    files["init"] = INIT.format(modules=" ".join(module.name for module in modules)).encode()
    files |= {f"modules/{module.name}": module.read_bytes() for module in modules}
    path.write_bytes(_archive(files))


def _archive(files: Mapping[str, bytes | None]) -> bytes:
    """None marks a directory."""
    entries = [_entry(i, name, data) for i, (name, data) in enumerate(files.items(), 1)]
    return b"".join([*entries, _entry(0, "TRAILER!!!", b"")])


def _entry(inode: int, name: str, data: bytes | None) -> bytes:
    mode = S_IFDIR | 0o755 if data is None else S_IFREG | 0o755
    content = data or b""
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
