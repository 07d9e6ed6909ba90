"""The Python code the examples are made from: pinned wheels and the standard library.

Knows packages, licences and files. Knows nothing of findings, labels or pools.
"""

import csv
import hashlib
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "flywheel" / "code-review"
STDLIB = "python-stdlib"
PYTHON = (3, 11)  # the parser of another minor version accepts other files
FILES_PER_PACKAGE = 200
MAX_FILE_BYTES = 150_000
# Copies of other projects, under their own licences and often in several packages.
VENDORED = {"_vendor", "vendor", "vendored", "_vendored", "extern", "third_party", "_distutils", "node_modules"}


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    role: str  # "source" or "teacher"
    licence: str
    sha256: str


def packages() -> list[Package]:
    with (HERE / "origin.csv").open(newline="", encoding="utf-8") as lines:
        return [Package(**row) for row in csv.DictReader(lines)]


def fetch(package: Package) -> Path:
    """The folder with the unpacked package, downloaded on first use."""
    if package.name == STDLIB:
        return _stdlib(package)
    folder = CACHE / "src" / f"{package.name}-{package.version}"
    if not folder.exists():
        with zipfile.ZipFile(_wheel(package)) as wheel:
            partial = folder.with_suffix(".partial")
            wheel.extractall(partial, [n for n in wheel.namelist() if n.endswith(".py")])
        partial.rename(folder)
    return folder


def _stdlib(package: Package) -> Path:
    running = ".".join(map(str, sys.version_info[:3]))
    if running != package.version:
        raise SystemExit(
            f"origin.csv: {STDLIB} is pinned to Python {package.version}, this is {running}; "
            f"run the script with that version (uv python install {package.version})"
        )
    return Path(sysconfig.get_paths()["stdlib"])


def _wheel(package: Package) -> Path:
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for wheel in wheels.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == package.sha256:
            return wheel
    pin = f"{package.name}=={package.version}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--python-version", "3.11", "-d", str(wheels), pin], check=True)
    for wheel in wheels.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == package.sha256:
            return wheel
    raise SystemExit(f"origin.csv: the wheel of {pin} differs from the recorded sha256; get the x86-64 Linux wheel")


def files(package: Package, everything: bool = False) -> list[Path]:
    """The package's own files, or a fixed sample of them, as paths below its folder."""
    folder = fetch(package)
    found = [path.relative_to(folder) for path in folder.rglob("*.py") if path.stat().st_size <= MAX_FILE_BYTES]
    own = [path for path in found if not VENDORED & set(path.parts) and _wanted(package, path)]
    own.sort(key=lambda path: hashlib.sha256(f"{package.name}/{path.as_posix()}".encode()).digest())
    return sorted(own if everything else own[:FILES_PER_PACKAGE])


def _wanted(package: Package, path: Path) -> bool:
    """The standard library's folder also holds installed packages and 2to3's and the tests' broken files."""
    return package.name != STDLIB or not {"site-packages", "test", "tests", "lib2to3", "idlelib"} & set(path.parts)


def read(package: Package, path: Path) -> str | None:
    """The file's text, None for the few that are not UTF-8."""
    try:
        return (fetch(package) / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
