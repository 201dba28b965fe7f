"""Faces by id as marked PNG files: pip install fastapi uvicorn; uvicorn serve_fastapi:app."""

from fastapi import FastAPI, Response

from facegan import face_png

app = FastAPI()
face_png(0)  # loads the weights at the start
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


@app.get("/faces/{id}.png")
def face(id: str) -> Response:
    """/faces/7.png is the face of seed 7, /faces/user-42.png that of a text."""
    seed = int(id) if id.isdecimal() and len(id) < 10 else id
    return Response(face_png(seed, weights="full-64"), media_type="image/png", headers=FOREVER)
