"""A page in the browser: faces, edits, evaluation reports and a training to watch.

python -m facegan.app                      http://127.0.0.1:7860
python -m facegan.app photos=DIR           own photographs can be trained on, too
"""

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING, DictConfig

from facegan.cli.command import command
from facegan.cli.config import number
from facegan.core.errors import FaceganError


@dataclass
class AppConfig:
    """The types of conf/app.yaml."""

    host: str = MISSING
    port: int = number(1, 65535)
    outputs: str = MISSING
    photos: str | None = MISSING


@command("app", AppConfig)
def main(cfg: DictConfig) -> None:
    from facegan.web.faces import MAX_BYTES  # seconds of imports, which --help does not need
    from facegan.web.markup import CSS
    from facegan.web.training import Training

    try:
        from starlette.middleware import Middleware

        from facegan.web.guard import Guard
        from facegan.web.page import SESSIONS, build_page
    except ImportError as error:
        raise FaceganError(f"facegan.app needs {error.name}: pip install -e '.[app]'") from error
    outputs = Path(cfg.outputs).absolute()
    training = Training(outputs, cfg.photos)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio's own requests
    with tempfile.TemporaryDirectory(prefix="facegan-app-") as files:
        os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = files  # uploads, also unfinished ones
        page = build_page(outputs, training)
        try:
            page.launch(
                server_name=cfg.host,
                server_port=cfg.port,
                max_file_size=MAX_BYTES,
                state_session_capacity=SESSIONS,
                app_kwargs={"middleware": [Middleware(Guard, host=cfg.host, files=Path(files))]},
                css=CSS,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
            )
            print(f"Running on http://{cfg.host}:{cfg.port}", flush=True)
            page.block_thread()
        except OSError as error:
            raise FaceganError(
                f"http://{cfg.host}:{cfg.port} cannot be opened ({error}); choose another port=…"
            ) from error
        finally:
            training.stop()


if __name__ == "__main__":
    main()
