"""`vllm serve` with one model, for as long as its engine is open: started here, given back however we end."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pipeline.config.engines import EngineConfig
from pipeline.engines.vllm_engine import SHORT_OF_MEMORY
from pipeline.errors import ModelLoadError, ServerError, StarError
from pipeline.process import Background

NAME = "star"
"""What the server calls its model."""
OPENING_LIMIT_S = 1800.0
"""Seconds that opening a model may take: a large one comes from a slow disk and is compiled."""
GRACE_S = 5.0
_LOOK_EVERY_S = 0.25
_LONGEST_FOLDER = 75  # the path of a socket has at most 103 bytes on macOS, 107 on Linux


class Served:
    """The server, listening on a socket in a folder that only this user can open: no port, so no key.

    `device` and `versions` say what it runs on. ModelLoadError with its last words where it does not start.
    """

    url = "http://vllm/v1"

    def __init__(self, config: EngineConfig, model_path: Path, context: int) -> None:
        self._model_path = model_path
        self._folder = Path(tempfile.mkdtemp(prefix="star-vllm-", dir=_short_folder()))
        self.socket = self._folder / "socket"
        told = {
            "engine": config.model_dump(mode="json"),
            "model": str(model_path),
            "context": context,
            "socket": str(self.socket),
            "name": NAME,
        }
        source = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        self._process = Background(
            [sys.executable, "-P", "-m", "pipeline.engines.vllm_server", json.dumps(told)],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(config.threads)},
            grace_s=GRACE_S,
        )
        try:
            about = self._process.first_line(OPENING_LIMIT_S)
            self.device: str = about["device"]
            self.versions: dict[str, str] = about["versions"]
            self._wait_until_it_answers()
        except StarError as error:
            self.close()
            raise ModelLoadError(
                f"vllm serve cannot load the model in {model_path} ({context} tokens of context, "
                f"tensor_parallel {config.tensor_parallel}): {error}. {SHORT_OF_MEMORY}"
            ) from None
        except BaseException:
            self.close()
            raise

    def _wait_until_it_answers(self) -> None:
        import httpx2

        deadline = time.monotonic() + OPENING_LIMIT_S
        transport = httpx2.HTTPTransport(uds=str(self.socket))
        with httpx2.Client(transport=transport, timeout=OPENING_LIMIT_S, trust_env=False) as client:
            while True:
                if not self.alive:
                    raise StarError(self._process.last_words())
                if time.monotonic() > deadline:
                    raise StarError(
                        f"not ready after {OPENING_LIMIT_S:g} s; it said: {self._process.last_words()}"
                    )
                try:
                    if client.get("http://vllm/health").is_success:
                        return
                except httpx2.TransportError:
                    pass  # not listening yet
                time.sleep(_LOOK_EVERY_S)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.alive

    def ended(self) -> ServerError:
        """What to say where it ended by itself."""
        return ServerError(
            f"vllm serve ended while it wrote with the model in {self._model_path}; it said: "
            f"{self._process.last_words()}. What was written is kept: the same command goes on. "
            f"{SHORT_OF_MEMORY}"
        )

    def close(self) -> None:
        """End it and all below it, and remove its socket. Safe to call twice."""
        self._process.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _short_folder() -> str:
    """The folder for temporary files, or /tmp where its path is too long for a socket."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= _LONGEST_FOLDER else "/tmp"
