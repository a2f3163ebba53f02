# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the guest and notes when it said what."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.guest import initramfs

KERNEL_ENVIRONMENT = "HA_TEST_KERNEL"
"""A folder with boot/vmlinuz-* and lib/modules of a full (not a cloud) kernel: an unpacked linux-image package."""

MODULES = ("virtio_pci", "9pnet_virtio", "9p")
MARK = "MARK "
QEMU = "qemu-system-x86_64"
TIMEOUT_S = 300


class Missing(Exception):
    """What a machine like this needs and this host lacks, in a sentence."""


@dataclass(frozen=True, slots=True)
class Parts:
    qemu: str
    busybox: Path
    kernel: Path
    modules: Path


def parts() -> Parts:
    """Raises Missing."""
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise Missing(f"{QEMU} is not installed")
    busybox = shutil.which("busybox")
    if (
        busybox is None
        or b"INTERP" in subprocess.run(["readelf", "-l", busybox], capture_output=True, check=False).stdout
    ):
        raise Missing("a static busybox is not installed (Debian: busybox-static)")
    root = Path(os.environ.get(KERNEL_ENVIRONMENT, "/"))
    for kernel in sorted((root / "boot").glob("vmlinuz-*"), reverse=True):
        modules = root / "lib/modules" / kernel.name.removeprefix("vmlinuz-")
        if next(modules.rglob("9p.ko*"), None) is not None:
            return Parts(qemu, Path(busybox), kernel, modules)
    raise Missing(f"no kernel with 9p below {root}: unpack Debian's linux-image-amd64 and set {KERNEL_ENVIRONMENT}")


@dataclass(slots=True)
class Run:
    """What became of a guest. Times are seconds of the host's monotonic clock."""

    marks: list[tuple[float, str]] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    ended_at: float = 0

    def at(self, mark: str) -> float:
        """When it was said. AssertionError with the console when it never was."""
        for moment, text in self.marks:
            if text == mark:
                return moment
        raise AssertionError(f"the guest never said {mark!r}:\n" + "\n".join(self.console[-40:]))

    def said(self, mark: str) -> bool:
        return any(text == mark for _, text in self.marks)


def run(folder: Path, script: str, driver: str) -> Run:
    """Boot, run `script` (see `initramfs.write`), and wait for the guest's end: power-off, or reset by its watchdog."""
    found = parts()
    image = folder / "initramfs"
    initramfs.write(image, found.busybox, list(_with_dependencies(found.modules, (*MODULES, driver))), script)
    device = ["-device", "i6300esb"] if driver == "i6300esb" else []
    command = [
        found.qemu, "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "512", "-smp", "1", "-nodefaults", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", str(found.kernel), "-initrd", str(image),
        "-append", "console=ttyS0 quiet panic=-1 " + ("softdog.soft_noboot=0" if driver == "softdog" else ""),
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host", "-action", "watchdog=reset", *device,
    ]  # fmt: skip
    outcome = Run()
    with subprocess.Popen(
        ["timeout", str(TIMEOUT_S), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as qemu:
        assert qemu.stdout is not None
        for raw in qemu.stdout:
            line = raw.decode(errors="replace").strip()
            outcome.console.append(line)
            if line.startswith(MARK):
                outcome.marks.append((time.monotonic(), line.removeprefix(MARK)))
    outcome.ended_at = time.monotonic()
    return outcome


def _with_dependencies(modules: Path, wanted: tuple[str, ...]) -> Iterator[Path]:
    """Files of the modules, each after those it needs. What is built into the kernel has none."""
    files = {path.name.partition(".ko")[0]: path for path in modules.rglob("*.ko")}
    seen: set[str] = set()

    def visit(name: str) -> Iterator[Path]:
        if name in seen or name not in files:
            return
        seen.add(name)
        for needed in _needs(files[name]):
            yield from visit(needed)
        yield files[name]

    for name in wanted:
        yield from visit(name)


def _needs(module: Path) -> list[str]:
    """From the module's own section .modinfo: `depends=a,b`."""
    data = module.read_bytes()
    begin = data.find(b"\0depends=")
    if begin < 0:
        return []
    return [name for name in data[begin + 9 : data.index(b"\0", begin + 1)].decode().split(",") if name]
