"""What one visitor may ask of a server: bytes, pixels, files, waiting places, seconds."""

from __future__ import annotations

MEGABYTE = 2**20
MOST_FILE_BYTES = 20 * MEGABYTE
MOST_FILES = 200  # in one request
MOST_REQUEST_BYTES = 400 * MEGABYTE  # of files
MOST_QUESTION_BYTES = MEGABYTE  # of anything else
MOST_KEPT_BYTES = 4 * MOST_REQUEST_BYTES  # of everybody's files, until they are old
MOST_PIXELS = 2**26  # of a photograph, after decompression; 200 MB of memory
MOST_WAITING = 512  # photographs before the net
MOST_CONNECTIONS = 400
KEPT_SECONDS = 900  # an uploaded file
IDLE_SECONDS = 10.0  # the longest silence within a request
REQUEST_SECONDS = 120.0  # a whole request, until its last byte is there
ANSWER_SECONDS = 60.0  # until the net has answered


def megabytes(count: int) -> str:
    """Say bytes as `20 MB`."""
    return f"{count / MEGABYTE:g} MB"
