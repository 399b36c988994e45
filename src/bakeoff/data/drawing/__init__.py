"""What the pictures of `plates` are drawn with."""
