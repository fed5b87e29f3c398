"""A user's own images: decoded, restored and encoded in any common format."""
