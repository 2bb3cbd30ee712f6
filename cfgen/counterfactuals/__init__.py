"""Counterfactuals: edits, designs, hypotheses, and the pairs they make."""
