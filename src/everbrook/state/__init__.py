"""The fold over the log: who did what, which items exist, what is counted."""
