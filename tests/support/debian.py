"""A fresh, smallest Debian 12 in a folder: what the packages are installed in, and what stands for debian:12-slim."""
import pathlib
import shutil
import subprocess

MIRROR = "http://deb.debian.org/debian"
# What makes programs start services: there is no systemd in here.
POLICY = "#!/bin/sh\nexit 101\n"


def make(root):
    root.chmod(0o755)
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root, MIRROR], check=True, stdout=subprocess.DEVNULL)
    (root / "usr/sbin/policy-rc.d").write_text(POLICY)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    for config in pathlib.Path("/etc/apt/apt.conf.d").glob("*proxy*"):
        shutil.copy(config, root / "etc/apt/apt.conf.d")
