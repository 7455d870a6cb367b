"""What only the nano model needs before the stages of the paper."""
