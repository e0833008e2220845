"""What a plugin author imports. Nothing heavier than click and pluggy is imported here.

from distill import CheckpointHeader, GenerationRequest, GenerativeModel, ModelLoader, hookimpl, options
"""

from distill import options
from distill.checkpoint import CheckpointHeader
from distill.hookspecs import PLUGIN_API, hookimpl
from distill.models import (
    Generation,
    GenerationRequest,
    GenerativeModel,
    ModelLoader,
    Passage,
    PriorLearner,
    Settings,
    Tokenizer,
)

__all__ = [
    "PLUGIN_API",
    "CheckpointHeader",
    "Generation",
    "GenerationRequest",
    "GenerativeModel",
    "ModelLoader",
    "Passage",
    "PriorLearner",
    "Settings",
    "Tokenizer",
    "hookimpl",
    "options",
]
