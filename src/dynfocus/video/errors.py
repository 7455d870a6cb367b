"""What can go wrong with a video file."""


class UnreadableVideoError(ValueError):
    """The file holds no video that can be decoded."""


class StuckVideoError(TimeoutError, UnreadableVideoError):
    """Reading or decoding made no progress for too long and was given up."""


class DamagedVideoWarning(UserWarning):
    """Some wanted frames of a video could not be decoded, the others were kept."""
