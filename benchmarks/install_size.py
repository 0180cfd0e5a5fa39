"""What an install weighs: the files of all packages that it brings, as they lie in the running environment, and the plain install's
share of the one for training.

    python benchmarks/install_size.py
"""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def brought(wanted: list[str]) -> dict[str, int]:
    """Bytes by package, for requirements and all that they require."""
    out: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    left = [Requirement(one) for one in wanted]
    while left:
        need = left.pop()
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        for extra in ["", *need.extras]:
            if (need.name.lower(), extra) in seen:
                continue
            seen.add((need.name.lower(), extra))
            try:
                found = distribution(need.name)
            except PackageNotFoundError:
                print(f"not installed here: {need.name}")
                continue
            name = found.metadata["Name"]
            if name not in out:
                files = (Path(str(file.locate())) for file in found.files or [])
                out[name] = sum(file.stat().st_size for file in files if file.is_file())
            for line in found.requires or []:
                more = Requirement(line)
                if more.marker is None or more.marker.evaluate({"extra": extra}):
                    more.marker = None
                    left.append(more)
    return out


def main() -> None:
    """Print counts and ratios."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain = project["dependencies"]
    extras = project["optional-dependencies"]
    sizes = {"plain": brought(plain), "train": brought(plain + extras["train"])}
    if "mcp" in extras:
        sizes["mcp"] = brought(plain + extras["mcp"])
    whole = sum(sizes["train"].values())
    for name, found in sizes.items():
        weight = sum(found.values())
        print(f"{name}: {len(found)} packages, {weight / 2**20:,.0f} MiB, {weight / whole:.2f} of the install for training")
    most = sorted(sizes["plain"].items(), key=lambda one: -one[1])[:6]
    print("heaviest of the plain install:", ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in most))


if __name__ == "__main__":
    main()
