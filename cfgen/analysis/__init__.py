"""Analysis: run an experiment on an LM, count what came out, and say how sure that is."""
