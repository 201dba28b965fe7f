"""Faces by id as marked PNG files: pip install fastapi uvicorn; uvicorn serve_fastapi:app."""

from fastapi import FastAPI, Response

from facegan import face_png

app = FastAPI()
face_png(0)  # loads the weights at the start
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


@app.get("/faces/{id}.png")
def face(id: str) -> Response:
    """/faces/user-42.png is face_png("user-42"), and /faces/7.png face_png("7"), of texts both."""
    return Response(face_png(id, weights="full-64"), media_type="image/png", headers=FOREVER)
