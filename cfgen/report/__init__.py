"""Reports: tables and panels for a terminal. Nothing here imports torch."""
