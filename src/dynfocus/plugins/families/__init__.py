"""The families that the package knows, one file each."""
