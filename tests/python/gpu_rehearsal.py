# SPDX-License-Identifier: Apache-2.0
"""A root folder like a GPU machine's, for test_gpu_bundle.py: glibc, libstdc++, bash, a Python with libraries of its
own, and the torch of the build by hard links. No package that libpref is built with is in it. Nothing is mounted.

Hard links share their content with the original: whatever is changed here is copied first, and only names are deleted.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from pref_command import ROOT

# What a system with torch has in its library folder.
SYSTEM = {
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libutil.so.1",
    "ld-linux-x86-64.so.2",
    "libstdc++.so.6",
    "libgcc_s.so.1",
}
TOOLS = ("bash", "mktemp", "rm", "dirname")
# Python's own libraries lie where only Python looks.
PYTHON_LIBRARIES = "/opt/python-libraries"
LEFT_OUT = {
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "ensurepip",
    "include",
    "triton",
    "pip",
    "setuptools",
    "share",
}

# Where a Python keeps what, asked of it.
FACTS = """
import importlib.util, json, os, sys, sysconfig
torch = os.path.dirname(importlib.util.find_spec("torch").origin)
print(json.dumps({"executable": os.path.realpath(sys.executable), "prefix": sys.prefix, "base": sys.base_prefix,
                  "stdlib": sysconfig.get_paths()["stdlib"], "site": os.path.dirname(torch)}))
"""


def needed(path):
    """The sonames that an ELF file names."""
    text = subprocess.run(
        ["readelf", "-d", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]


def linked(path):
    """{soname: file} of all that the dynamic linker takes for an ELF file of this machine."""
    text = subprocess.run(["ldd", str(path)], capture_output=True, text=True).stdout
    pairs = [line.split() for line in text.splitlines() if "=>" in line]
    return {words[0]: pathlib.Path(words[2]) for words in pairs if words[2].startswith("/")}


def scratch_folder(beside):
    """A new folder on the file system of `beside`, where hard links to it are possible; None where there is none."""
    device = os.stat(beside).st_dev
    for parent in (tempfile.gettempdir(), ROOT / "build"):
        if os.path.isdir(parent) and os.stat(parent).st_dev == device:
            return pathlib.Path(tempfile.mkdtemp(prefix="gpu-rehearsal-", dir=parent))
    return None


class Root:
    """A folder for chroot. `python`: whose torch is used, as its absolute path inside and outside."""

    def __init__(self, folder, python):
        self.folder = folder
        self.python = python
        asked = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, check=True)
        self.facts = json.loads(asked.stdout)
        for name in ("bin", "lib", "lib64"):
            (folder / "usr" / name).mkdir(parents=True)
            (folder / name).symlink_to(f"usr/{name}")
        for name in ("tmp", "dev", "proc", "etc"):
            (folder / name).mkdir()
        # Ordinary files do: what is written to null stays in it, and torch reads a few bytes of urandom.
        (folder / "dev" / "null").touch()
        (folder / "dev" / "urandom").write_bytes(os.urandom(1 << 16))
        (folder / "proc" / "cpuinfo").write_text(pathlib.Path("/proc/cpuinfo").read_text())
        self._system()
        self._python()

    def at(self, path):
        """The place of an absolute path, its folder made."""
        place = self.folder / str(path).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _system(self):
        multiarch = "/usr/lib/x86_64-linux-gnu/"
        for tool in TOOLS:
            path = shutil.which(tool)
            shutil.copy(path, self.at(f"/usr/bin/{tool}"))
            for name, file in linked(path).items():
                if name not in SYSTEM:
                    shutil.copy(file, self.at(multiarch + name))
        found = linked(pathlib.Path(self.facts["site"]) / "torch" / "lib" / "libtorch_cpu.so")
        for name in SYSTEM - {"ld-linux-x86-64.so.2"}:
            shutil.copy(found.get(name) or multiarch + name, self.at(multiarch + name))
        shutil.copy("/lib64/ld-linux-x86-64.so.2", self.at("/usr/lib64/ld-linux-x86-64.so.2"))

    def _link_tree(self, source, left_out=frozenset()):
        """The files of a folder by hard links, at the same path; symbolic links stay symbolic links."""

        def ignore(folder, names):
            return [name for name in names if name in left_out]

        shutil.copytree(
            source,
            self.at(source),
            symlinks=True,
            ignore=ignore,
            dirs_exist_ok=True,
            copy_function=lambda a, b: os.link(a, b, follow_symlinks=False),
        )

    def _own_copy(self, path, place):
        """A copy of an ELF file whose run path is Python's own libraries, and these copied there."""
        if place.exists():
            place.unlink()  # a hard link: the name goes, the original stays
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        place.chmod(0o755)
        subprocess.run(
            ["patchelf", "--force-rpath", "--set-rpath", PYTHON_LIBRARIES, str(place)], check=True
        )
        for name, file in linked(path).items():
            library = self.at(f"{PYTHON_LIBRARIES}/{name}")
            if name not in SYSTEM and not library.exists():
                self._own_copy(file, library)

    def _python(self):
        facts = self.facts
        self._link_tree(facts["stdlib"], LEFT_OUT)
        for module in pathlib.Path(facts["stdlib"]).glob("lib-dynload/*.so"):
            self._own_copy(module, self.at(module))
        self._own_copy(facts["executable"], self.at(facts["executable"]))
        self._link_tree(facts["site"], LEFT_OUT - {"site-packages", "dist-packages", "tests"})
        if facts["prefix"] != facts["base"]:
            shutil.copy(
                pathlib.Path(facts["prefix"]) / "pyvenv.cfg",
                self.at(f"{facts['prefix']}/pyvenv.cfg"),
            )
            place = self.at(self.python)
            if not place.exists():
                place.symlink_to(facts["executable"])

    def run(self, *command, origin, timeout=1600):
        """A command inside, in an environment that names nothing of this machine. Without a /proc the dynamic linker
        cannot tell where a program lies: `origin` is what $ORIGIN means in programs (libraries know by themselves).
        """
        environment = {
            "PATH": "/usr/bin",
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "LC_ALL": "C",
            "LD_ORIGIN_PATH": origin,
        }

        def enter():
            os.chroot(self.folder)
            os.chdir("/")

        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            stdin=subprocess.DEVNULL,
            preexec_fn=enter,
        )
