"""Language models: which there are, how they get here, and what a position in a prompt is to them.

Importing this package imports no torch; :mod:`cfgen.lm.load` does.
"""
