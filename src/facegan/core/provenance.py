"""The machine-readable mark of a synthetic image: an XMP packet with the facts of its drawing."""

import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from typing import Any, Self
from xml.sax.saxutils import quoteattr

from facegan.core.checks import check_choice, check_number

# IPTC's digital source type of media that a trained model has made
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
NAMESPACE = "urn:x-facegan:provenance:1.0#"
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:facegan="{NAMESPACE}"
  xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><rdf:Description rdf:about=""
  Iptc4xmpExt:DigitalSourceType="{GENERATED}" %s/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""
PNG_KEY = "XML:com.adobe.xmp"  # of the iTXt chunk, and in `Image.info` of Pillow
MP4_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # of the box with an XMP packet
GIF_TRAILER = bytes([1, *range(255, -1, -1), 0])  # ends the packet for readers that skip blocks


@dataclass(frozen=True)
class Provenance:
    """How an image was drawn. `facegan.verify` draws it again from these facts."""

    weights: str  # digest of the generator's weights
    seeds: str = ""  # "3,7,12"; empty if the latents are of no seed
    truncation: float = 1.0
    edit: str = ""  # "Smiling:2,Young:-1"
    attributes: str = ""  # "Smiling,-Eyeglasses": the order of the faces
    motion: str = ""  # "interpolation" or "sweep": the faces are near those of the seeds
    license: str = ""  # terms of the weights
    columns: int = 0  # of a grid, as in `grid`
    upscale: float = 1
    filter: str = "nearest"

    def __post_init__(self) -> None:
        check_number("columns", self.columns, 0, 10**6)
        check_number("truncation", self.truncation, 0, 10, whole=False)
        check_number("upscale", self.upscale, 1, 100, whole=False)
        check_choice("filter", self.filter, ("nearest", "lanczos"))

    def to_xmp(self) -> str:
        """The XMP packet. Empty facts are left out."""
        facts = {f"facegan:{name}": str(v) for name, v in asdict(self).items() if v != ""}
        facts["xmp:CreatorTool"] = f"facegan {version('facegan')}"
        for name, text in facts.items():  # XML does not allow control characters
            facts[name] = quoteattr("".join(c if c.isprintable() else " " for c in text))
        return PACKET % " ".join(f"{name}={text}" for name, text in facts.items())

    def template(self) -> str:
        """An XMP packet for other programs, which replace seeds, edit, attributes and motion."""
        return replace(self, seeds="0", edit="none", attributes="none", motion="none").to_xmp()

    @classmethod
    def from_xmp(cls, packet: str) -> Self | None:
        """The facts in an XMP packet, if there are any. Raises ValueError or SyntaxError."""
        values: dict[str, str] = {}
        for node in ET.fromstring(packet).iter():  # other programs write elements, not attributes
            values |= {node.tag: node.text or "", **node.attrib}
        types: dict[str, Any] = {f"{{{NAMESPACE}}}{f.name}": f.type for f in fields(cls)}
        facts = {key.partition("}")[2]: types[key](values[key]) for key in types if key in values}
        return cls(**facts) if "weights" in facts else None


def is_marked(data: bytes) -> bool:
    """Whether the bytes of an image of any format contain a packet of this package."""
    return NAMESPACE.encode() in data


def is_grid(data: bytes) -> bool:
    """Whether the packet in the bytes of an image names the seeds of several faces."""
    return re.search(rb'facegan:seeds="\d+,', data) is not None


def mark_gif(data: bytes, packet: str) -> bytes:
    """The bytes of a GIF with an XMP application extension, which Pillow does not write."""
    start = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 128 else 0)  # after global colours
    return data[:start] + b"\x21\xff\x0bXMP DataXMP" + packet.encode() + GIF_TRAILER + data[start:]


def mp4_box(packet: str) -> bytes:
    """The XMP packet as a box that is appended to an MP4."""
    data = b"uuid" + MP4_UUID + packet.encode()
    return (4 + len(data)).to_bytes(4, "big") + data
