"""Getting an LM onto this machine: which are known, where they come from, what a name stands for.

Importing this package imports no torch; only converting a GGUF file does, once.
"""

from cfgen.weights.cache import Progress as Progress
from cfgen.weights.cache import no_progress as no_progress
from cfgen.weights.entries import AdapterEntry as AdapterEntry
from cfgen.weights.entries import BaseEntry as BaseEntry
from cfgen.weights.entries import Part as Part
from cfgen.weights.entries import Terms as Terms
from cfgen.weights.entries import is_gguf as is_gguf
from cfgen.weights.fetch import fetch as fetch
from cfgen.weights.gguf import read_header as read_header
from cfgen.weights.licences import is_accepted as is_accepted
from cfgen.weights.licences import terms_text as terms_text
from cfgen.weights.names import Weights as Weights
from cfgen.weights.names import find_weights as find_weights
from cfgen.weights.own import convert_own as convert_own
from cfgen.weights.page import plain_text as plain_text
from cfgen.weights.quiet import quiet as quiet
from cfgen.weights.registry import ModelListing as ModelListing
from cfgen.weights.registry import list_models as list_models
from cfgen.weights.registry import load_entries as load_entries
from cfgen.weights.wheels import download_wheels as download_wheels
from cfgen.weights.wheels import join_parts as join_parts
