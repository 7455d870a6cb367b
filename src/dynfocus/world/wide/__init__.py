"""The widened FocusWorld, which is to take the place of the world that nano knows."""
