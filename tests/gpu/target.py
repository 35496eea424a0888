# SPDX-License-Identifier: Apache-2.0
"""The machine that a bundle runs on: whether the bundle is whole, which torch is there and how the programs find it,
versions, the device or why there is none. Nothing here starts a CUDA context in this process.
"""

import hashlib
import importlib.util
import json
import pathlib
import platform
import re
import subprocess
import sys

# What torch itself says, in a process of its own: a broken driver may end it.
_PROBE = """
import json, torch
facts = {"torch": torch.__version__, "cuda": torch.version.cuda, "available": torch.cuda.is_available()}
if torch.backends.cudnn.is_available():
    facts["cudnn"] = torch.backends.cudnn.version()
if facts["available"]:
    p = torch.cuda.get_device_properties(0)
    facts["device"] = {"name": p.name, "memory_gb": round(p.total_memory / 1e9, 1), "sm": p.multi_processor_count,
                       "capability": f"{p.major}.{p.minor}"}
else:
    try:
        torch.cuda.init()
        facts["reason"] = "torch finds none"
    except Exception as error:
        facts["reason"] = str(error).strip().splitlines()[0].split(". ")[0]
print(json.dumps(facts))
"""


class Unfit(Exception):
    """This machine or this bundle cannot be used; the text says why and what to do."""


def read_manifest(folder):
    """The manifest, after every file of it was found with its digest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.is_file():
            raise Unfit(f"{entry['path']} is missing from the bundle. Unpack it again.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise Unfit(
                f"{entry['path']} is not the file that the manifest names. Copy the bundle again."
            )
    return manifest


def torch_folder():
    """The folder `torch` that this Python would import, and its version, without importing it."""
    folder = pathlib.Path(importlib.util.find_spec("torch").origin).parent
    version = re.search(r"__version__ = .([^'\"]+)", (folder / "version.py").read_text()).group(1)
    return folder, version


def minor(version):
    return ".".join(version.split(".")[:2])


def number(version):
    return tuple(int(part) for part in version.split("."))


def check_versions(manifest, torch_version, glibc):
    if minor(torch_version) != minor(manifest["torch"]):
        raise Unfit(
            f"the bundle was built for torch {minor(manifest['torch'])} and {sys.executable} has {torch_version}; "
            "C++ interfaces change with every minor version. Name another Python (--python) or build a bundle for it."
        )
    wanted = manifest["needs"].get("GLIBC", "2.0")
    if glibc and number(glibc) < number(wanted):
        raise Unfit(
            f"the bundle needs glibc {wanted} or newer and this system has {glibc}. Build it on an older one."
        )


def link_torch(folder, torch):
    """Where the programs' run paths look: FOLDER/torch."""
    link = folder / "torch"
    if link.is_symlink():
        link.unlink()
    try:
        link.symlink_to(torch)
    except OSError as error:
        raise Unfit(
            f"cannot make the link {link} to torch ({error}). Unpack the bundle into a folder of yours."
        ) from error


def probe():
    """What torch says of itself and of the first device."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _PROBE], capture_output=True, text=True, timeout=180
    )
    if done.returncode != 0:
        text = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unfit(f"torch of {sys.executable} does not start: {text}")
    return json.loads(done.stdout.splitlines()[-1])


def nvidia_smi(*fields):
    """The driver's figures of the first device, as texts by field; empty where nvidia-smi is not there."""
    command = [
        "nvidia-smi",
        f"--query-gpu={','.join(fields)}",
        "--format=csv,noheader,nounits",
        "--id=0",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(fields, values)) if done.returncode == 0 and len(values) == len(fields) else {}


def clocks():
    """Clocks in MHz, power in W and temperature now; recorded beside the results, never changed."""
    found = nvidia_smi("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
    names = ("sm_mhz", "memory_mhz", "power_w", "temperature_c")
    return {
        name: float(value)
        for name, value in zip(names, found.values())
        if re.fullmatch(r"[0-9.]+", value)
    }


def look(folder):
    """Everything about bundle and machine: {"manifest", "versions", "device" or None, "reason"}."""
    manifest = read_manifest(folder)
    torch, torch_version = torch_folder()
    glibc = platform.libc_ver()[1]
    check_versions(manifest, torch_version, glibc)
    link_torch(folder, torch)
    facts = probe()
    versions = {name: facts[name] for name in ("torch", "cuda", "cudnn") if facts.get(name)}
    versions |= {
        "python": platform.python_version(),
        "glibc": glibc,
        "libpref": f"{manifest['libpref']} {manifest['commit']}",
    }
    driver = nvidia_smi("driver_version")
    if driver:
        versions["driver"] = driver["driver_version"]
    device, reason = facts.get("device"), ""
    if not device:
        reason = f"no device: {facts['reason']}"
    elif not manifest["cuda"]:
        device, reason = None, "no device: the bundle holds no CUDA kernels"
    return {"manifest": manifest, "versions": versions, "device": device, "reason": reason}
