from .onnx_model import largest_difference as largest_difference
from .onnx_model import to_onnx as to_onnx
from .page import build_page as build_page
