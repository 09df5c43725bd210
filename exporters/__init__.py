"""From a checkpoint to one ONNX file that holds the advantage network and nothing else.

Inspection (`lan-inspect`) and evaluation (`lan-eval`) are here too. They need both `trainer` and
`runtime.model_file`, which no other package may import together, and the set of packages is fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.export import ExportReport, export_checkpoint

__all__ = ["ExportReport", "export_checkpoint"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: an import of this package stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from exporters import export

    return getattr(export, name)
