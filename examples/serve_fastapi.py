"""Faces by seed as marked PNG files: pip install fastapi uvicorn; uvicorn serve_fastapi:app."""

from fastapi import FastAPI, Path, Response

from facegan import Generator
from facegan.core.images import png

app, generator = FastAPI(), Generator.from_pretrained("full-64")


@app.get("/faces/{seed}.png")
def face(seed: int = Path(ge=0, lt=2**32)) -> Response:
    (image,) = generator.sample(seeds=[seed])
    facts = generator.provenance([seed])
    return Response(png(image, 4, "lanczos", facts), media_type="image/png")
