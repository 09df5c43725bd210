"""The game host: plays battles through agents. Never imports onnxruntime."""
