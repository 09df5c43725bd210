"""From a checkpoint to one ONNX file that holds the advantage network and nothing else.

`lan-inspect` and `lan-eval` are here too: they need both `trainer` and `runtime.model_file`, which no other
package may import together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.lazy import lazy_names

if TYPE_CHECKING:
    from exporters.export import ExportReport, export_checkpoint

__all__ = ["ExportReport", "export_checkpoint"]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "exporters.export"))
