"""Interventions: what to change where in the LM, and the engines that do it."""
