"""Exact restoration of an image in horizontal strips, in bounded memory.

The network itself is run, on a `StripImage` in place of the tensor: its local operations are noted
and computed strip by strip, its statistics over the image are summed over all strips.
"""
