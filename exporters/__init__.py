"""From a checkpoint to one ONNX file that holds the advantage network and nothing else."""
