"""Generators outside of Python: an ONNX model, and a web page that runs it."""
