"""What a run depended on besides its table and settings."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from seqloom.training.settings import TrainSection

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyarrow", "torch", "lightning-fabric", "safetensors")


def environment(settings: TrainSection) -> dict[str, Any]:
    """Versions, platform, device and seeds asked for, command line, state of the git checkout the command ran in."""
    return {
        "version": version("seqloom"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": settings.device,
        "seed": settings.seed,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "command": " ".join(["seqloom", *sys.argv[1:]])
        if sys.argv[:1] and sys.argv[0].endswith("seqloom")
        else "python",
        "git": _git_state(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git_state() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "no git"
    return done.stdout.strip() if done.returncode == 0 else "no git"
