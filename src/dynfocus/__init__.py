"""Answer questions about long videos with few tokens (DynFocus and SlowFocus)."""
